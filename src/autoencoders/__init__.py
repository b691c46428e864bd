"""Auto-encoders on PyTorch Lightning: AE, VAE and Wasserstein auto-encoders side by side.

docs/python.md promises the names in `__all__`. Each is imported when it is first asked for: torch
takes seconds, which `import autoencoders` need not wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoencoders.data import (
        CIFAR10,
        MNIST,
        PBMC,
        SVHN,
        Avatars,
        Batch,
        CelebA,
        DataModule,
        Digits,
        Examples,
        FashionMNIST,
        Folder,
        Table,
    )
    from autoencoders.models import (
        AE,
        CVAE,
        CWAE,
        RAE,
        SWAE,
        VAE,
        WAEGAN,
        WAEMMD,
        AutoEncoder,
        BetaTCVAE,
        InfoVAE,
        Output,
        VampVAE,
    )
    from autoencoders.networks import MLP, Network, Paper, Strided, Tutorial
    from autoencoders.runs import Run, load, load_model, load_run, load_sampler
    from autoencoders.samplers import (
        ClassMixture,
        Flow,
        FlowMatching,
        Mixture,
        Prior,
        Sampler,
        TwoStage,
    )

__all__ = [
    "AE",
    "CIFAR10",
    "CVAE",
    "CWAE",
    "MLP",
    "MNIST",
    "PBMC",
    "RAE",
    "SVHN",
    "SWAE",
    "VAE",
    "WAEGAN",
    "WAEMMD",
    "AutoEncoder",
    "Avatars",
    "Batch",
    "BetaTCVAE",
    "CelebA",
    "ClassMixture",
    "DataModule",
    "Digits",
    "Examples",
    "FashionMNIST",
    "Flow",
    "FlowMatching",
    "Folder",
    "InfoVAE",
    "Mixture",
    "Network",
    "Output",
    "Paper",
    "Prior",
    "Run",
    "Sampler",
    "Strided",
    "Table",
    "Tutorial",
    "TwoStage",
    "VampVAE",
    "load",
    "load_model",
    "load_run",
    "load_sampler",
]

if not TYPE_CHECKING:  # or a type checker would believe in every name

    def __getattr__(name: str) -> Any:
        if name in __all__:
            for room in ("runs", "data", "models", "networks", "samplers"):
                module = import_module(f"{__name__}.{room}")
                if name in module.__all__:
                    return getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
