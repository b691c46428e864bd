"""What the samplers that train a network share."""

import copy
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt, PrivateAttr, ValidationError
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel
from typing_extensions import Self

from autoencoders.distributions import Prior
from autoencoders.errors import InputError
from autoencoders.files import write_whole
from autoencoders.networks.base import Size
from autoencoders.samplers.files import checked, require_draws

LEAST_STD = 1e-6  # of codes: a dimension with none stays where it is
NETWORK = "network."  # how its tensors' names in a file begin
EMA = 0.999  # the share that the average weights keep at a step


class Learned(BaseModel, extra="forbid"):
    """A sampler that trains a network on standardised codes.

    A tenth of the codes is held out. Of the weights' moving average the state after the epoch with
    the least held-out loss is kept.

    Args:
        hidden_dim: width of the network's hidden layers.
        layers: how many hidden layers it has.
        epochs: passes over the codes, at most.
        patience: epochs without a lower held-out loss, after which training stops.
        batch_size: codes in a step.
        lr: Adam's learning rate, which falls to 0 along a cosine.
    """

    hidden_dim: Size = 256
    layers: PositiveInt = 3
    epochs: PositiveInt = 100
    patience: PositiveInt = 10
    batch_size: PositiveInt = 512
    lr: Annotated[PositiveFloat, Field(allow_inf_nan=False)] = 1e-3

    _network: nn.Module = PrivateAttr()
    _centre: Tensor = PrivateAttr()  # (latent_dim,)
    _scale: Tensor = PrivateAttr()  # (latent_dim,)

    def build(self, latent_dim: int) -> nn.Module:
        """The network, untrained."""
        raise NotImplementedError

    def prepare(self, network: nn.Module, x: Tensor, seed: int) -> None:
        """Fit to standardised codes (N, latent_dim) what the network holds beside its weights."""

    def loss(self, network: nn.Module, x: Tensor) -> Tensor:
        """What training minimises, of standardised codes (B, latent_dim): their mean."""
        raise NotImplementedError

    def generate(self, n: int, generator: torch.Generator | None) -> Tensor:
        """n standardised codes, (n, latent_dim)."""
        raise NotImplementedError

    def check(self, network: nn.Module) -> None:
        """Raise ValueError where a network that was read holds what training does not leave."""

    @property
    def latent_dim(self) -> int:
        return len(self._centre)

    def fit(
        self,
        codes: Tensor,
        prior: Prior | None = None,
        seed: int = 0,
        labels: Tensor | None = None,
    ) -> Self:
        """Train on codes (N, latent_dim), on the CPU.

        Raises:
            InputError: a code is NaN or infinite, or the held-out loss is from the start.
        """
        x = codes.cpu().float()
        if not x.isfinite().all():
            raise InputError(f"the sampler {type(self).__name__} was given NaN or infinite codes")
        self._centre, self._scale = x.mean(0), x.std(0, correction=0).clamp_min(LEAST_STD)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = self._train(self._standardised(x)[torch.randperm(len(x))], seed)
        return self

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        with torch.no_grad():
            return self._centre + self._scale * self.generate(n, generator)  # (n, latent_dim)

    def save(self, path: Path) -> None:
        weights = {f"{NETWORK}{k}": v.clone() for k, v in self._network.state_dict().items()}
        tensors = {"centre": self._centre, "scale": self._scale, **weights}
        write_whole(path, save(tensors, {"settings": self.model_dump_json()}))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        with safe_open(path, "pt") as file:
            settings = (file.metadata() or {}).get("settings")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        sampler = cls._from_settings(settings)
        weights = {key for key in tensors if key.startswith(NETWORK)}
        sampler._place({key: v for key, v in tensors.items() if key not in weights})
        with torch.random.fork_rng(devices=[]):  # what a network begins with is drawn, and replaced
            sampler._network = sampler._restore(
                {key.removeprefix(NETWORK): tensors[key] for key in weights}
            )
        require_draws(sampler)
        return sampler

    @classmethod
    def _from_settings(cls, settings: str | None) -> Self:
        """The sampler, not fitted, that a file's settings describe."""
        if settings is None:
            raise ValueError(f"holds no settings; must hold those of a {cls.__name__}")
        try:
            return cls.model_validate_json(settings)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, ("settings", *first["loc"])))
            raise ValueError(f"{key}: {first['msg']}; must be of a {cls.__name__}") from error

    def _place(self, tensors: dict[str, Tensor]) -> None:
        """Take from a file's tensors where the codes lie."""
        parts = checked(tensors, {"centre": ("latent_dim",), "scale": ("latent_dim",)})
        self._centre, self._scale = parts["centre"].float(), parts["scale"].float()
        if not (self._scale > 0).all():
            raise ValueError("scale must be above 0")

    def _restore(self, tensors: dict[str, Tensor]) -> nn.Module:
        """The network with a file's weights."""
        network = self.build(self.latent_dim)
        built = network.state_dict()
        shapes = {name: tuple(value.shape) for name, value in built.items()}
        whole = [name for name, value in built.items() if not value.is_floating_point()]
        network.load_state_dict(checked(tensors, shapes, whole))
        self.check(network)
        return network

    def _standardised(self, codes: Tensor) -> Tensor:
        return (codes.cpu().float() - self._centre) / self._scale

    def _train(self, x: Tensor, seed: int) -> nn.Module:
        held_out, train = x[: max(len(x) // 10, 1)], x[len(x) // 10 :]
        network = self.build(x.shape[1])
        self.prepare(network, train, seed)
        average = AveragedModel(network, avg_fn=_average)
        optimizer = torch.optim.Adam(network.parameters(), self.lr)
        steps = self.epochs * -(-len(train) // self.batch_size)
        scheduler = CosineAnnealingLR(optimizer, steps)
        best: nn.Module | None = None
        least, best_epoch = torch.inf, 0
        for epoch in range(self.epochs):
            for batch in train[torch.randperm(len(train))].split(self.batch_size):
                optimizer.zero_grad()
                self.loss(network, batch).backward()
                clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                average.update_parameters(network)
            loss = self._held_out_loss(average.module, held_out)
            if loss < least:
                best, least, best_epoch = copy.deepcopy(average.module), loss, epoch
            if epoch - best_epoch == self.patience:
                break
        if best is None:
            raise InputError(
                f"the sampler {type(self).__name__} has diverged on the codes; lower its lr"
            )
        return best

    def _held_out_loss(self, network: nn.Module, x: Tensor) -> float:
        """With the same random numbers at every call."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            return self.loss(network, x).item()


def _average(average: Tensor, weights: Tensor, steps: Tensor | int) -> Tensor:
    """The moving average's next state; it forgets the first steps' weights sooner."""
    return torch.lerp(average, weights, max(1 - EMA, 9 / (10 + int(steps))))
