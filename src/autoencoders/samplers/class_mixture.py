"""A Gaussian mixture for each class of codes."""

from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import Self

from autoencoders.distributions import Prior
from autoencoders.samplers.mixture import Mixture


class ClassMixture(Mixture):
    """p(z) = sum over classes c of p(c) p(z|c), each p(z|c) a Gaussian mixture.

    It draws codes of all classes, by their shares, or of one: `of_class`.

    Args:
        components: of each class; see `Mixture`.

    Attributes:
        classes: (K,), the label of each component's class.
    """

    classes: Tensor
    tensors = Mixture.tensors | {"classes": ("K",)}
    whole = ("classes",)

    def fit(
        self,
        codes: Tensor,
        prior: Prior | None = None,
        seed: int = 0,
        labels: Tensor | None = None,
    ) -> Self:
        """Fit on codes (N, latent_dim) with labels (N,); those of no class, -1, are left out.
        Without labels all are of class 0."""
        labels = torch.zeros(len(codes), dtype=torch.long) if labels is None else labels
        if len(labels) != len(codes):
            raise ValueError(f"{len(codes)} codes need as many labels, not {len(labels)}")
        parts = {
            label: Mixture(self.components).fit(codes[labels == label], prior, seed)
            for label in labels[labels >= 0].unique().tolist()
        }
        known = (labels >= 0).sum()
        shares = {label: (labels == label).sum().double() / known for label in parts}
        self.weights = torch.cat([shares[label] * part.weights for label, part in parts.items()])
        self.means = torch.cat([part.means for part in parts.values()])
        self.covariances = torch.cat([part.covariances for part in parts.values()])
        self.classes = torch.cat(
            [torch.full((len(part.weights),), label) for label, part in parts.items()]
        )
        return self

    @classmethod
    def load(cls, path: Path | str) -> Self:
        sampler = super().load(path)
        if sampler.classes.min() < 0:
            raise ValueError(f"classes has {sampler.classes.min()}; must be at least 0")
        for label in sampler.labels:
            if not sampler.weights[sampler.classes == label].sum() > 0:
                raise ValueError(f"class {label} has the weight 0; must be above 0")
        return sampler

    @property
    def labels(self) -> list[int]:
        return self.classes.unique().tolist()

    def of_class(self, label: int) -> Mixture:
        """The mixture of one class.

        Raises:
            ValueError: there is no such class.
        """
        chosen = self.classes == label
        if not chosen.any():
            allowed = ", ".join(map(str, self.labels))
            raise ValueError(f"label={label}: no training code has it; allowed: {allowed}")
        part = Mixture(int(chosen.sum()))
        part.weights = self.weights[chosen] / self.weights[chosen].sum()
        part.means, part.covariances = self.means[chosen], self.covariances[chosen]
        return part
