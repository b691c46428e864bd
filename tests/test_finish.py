"""What the projector shows of each example."""

import pytest
import torch
from matplotlib.colors import to_rgb

from autoencoders.figures.style import PALETTE
from autoencoders.runs.finish import thumbnails


def test_grey_thumbnails_are_drawn_in_their_class_s_colour():
    values = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    values[:, :, 0, 0] = 255
    images = thumbnails(values, torch.tensor([0, 8, 11]), classes=True)
    for image, colour in zip(images, (PALETTE[0], PALETTE[8], PALETTE[1]), strict=True):
        assert image[:, 0, 0].tolist() == pytest.approx(to_rgb(colour))
        assert torch.equal(image[:, 1, 1], torch.ones(3))  # white
    labels = torch.zeros(3, dtype=torch.long)
    coloured = torch.randint(255, (3, 3, 2, 2), dtype=torch.uint8)
    assert torch.equal(thumbnails(coloured, labels, classes=True), coloured / 255)
    assert torch.equal(thumbnails(values, labels, classes=False), values / 255)
