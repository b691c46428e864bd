"""scikit-learn's handwritten digits."""

import torch
import torch.nn.functional as F

from autoencoders.data.base import DataModule
from autoencoders.data.examples import Examples


class Digits(DataModule):
    """The 1,797 handwritten digits that scikit-learn carries: no file, no download.

    Their 8x8 pixels of 17 grey levels are resized to 28x28. scikit-learn names no test set; the
    last 297 serve as one.
    """

    label = "digits"
    extractor = "digits"
    shape = (1, 28, 28)
    class_names = tuple("0123456789")

    def load(self) -> tuple[Examples, Examples]:
        from sklearn.datasets import load_digits  # takes a second: only who needs it pays

        pixels, labels = load_digits(return_X_y=True)
        images = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / 16
        images = F.interpolate(images, self.shape[1:], mode="bilinear", align_corners=False)
        digits = Examples((images * 255).round().to(torch.uint8), torch.from_numpy(labels).long())
        return digits.subset(torch.arange(1500)), digits.subset(torch.arange(1500, 1797))
