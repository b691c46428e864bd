"""Diagrams show what is computed, and nothing else."""

import numpy as np
import pytest
import torch
from scipy import stats

from autoencoders.figures import diagrams, images


def test_the_plane_is_cut_into_cells_of_equal_mass():
    codes = diagrams.plane_grid(4, 2.0)
    shares = stats.norm(scale=2.0).cdf(codes.numpy())
    assert np.allclose(shares[:4, 0], [0.125, 0.375, 0.625, 0.875], atol=1e-5)
    assert np.allclose(shares[::4, 1], [0.875, 0.625, 0.375, 0.125], atol=1e-5)


def test_the_plane_shows_codes_posteriors_and_prior():
    codes, labels = torch.randn(20, 2), torch.arange(20) % 2
    decoded = torch.rand(9, 1, 4, 4)
    planes = [
        diagrams.Plane("AE", codes, decoded),
        diagrams.Plane("VAE", codes, decoded, torch.full((20, 2), 0.3)),
    ]
    figure = diagrams.latent_planes(planes, labels, ("a", "b"), 1.5, "title")
    ae, vae, _, grid = figure.axes
    assert [patch.radius for patch in ae.patches] == [1.5, 3.0]
    ellipses = vae.patches[2:]
    assert [patch.center for patch in ellipses] == [tuple(code) for code in codes.tolist()]
    assert ellipses[0].width == pytest.approx(0.6)
    shown = torch.from_numpy(np.array(grid.get_images()[0].get_array()))
    assert torch.equal(shown, images.montage(decoded.split(3))[0])


def test_the_trick_adds_gradients_to_the_encoder():
    plain, trick = diagrams.reparameterization().axes

    def gradients(axes):
        return [p for p in axes.patches if p.get_linestyle() == "--"]

    assert len(gradients(plain)) == 2  # the decoder's
    assert len(gradients(trick)) == 2 + 4  # and those by mean and log_var to the encoder
