"""One GPU: the whole training step as one CUDA graph.

A GPU computes these networks' step in less time than Python takes to launch its few hundred
kernels one by one. Captured once as a graph, the step is launched by a single call.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor

from autoencoders.data import Batch
from autoencoders.training.precision import on_gpu

Step = Callable[[Batch], dict[str, Tensor]]

WARM_UP = 3  # steps before a capture, in which libraries choose algorithms and allocate


class CapturedStep:
    """A training step that the GPU repeats by itself.

    The first steps run as they are, the next is captured and from then on replayed on new batches.
    A batch of another shape, an epoch's last, runs as it is. A step that cannot be captured, such
    as one that looks at a value on the host, goes on as it is, after one warning.

    Args:
        step: forward, backward and the optimizers' steps on a batch; returns scalars by name.

    Attributes:
        replayed: whether the last call ran no Python of the step.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.run = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.refused = False
        self.replayed = False
        self.batch: Batch
        self.terms: dict[str, Tensor]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        self.replayed = False
        if self.run < WARM_UP:
            self.run += 1
            return self._aside(batch)
        if self.graph is None and not self.refused:
            self._capture(batch)
        elif self.graph is not None and batch.x.shape == self.batch.x.shape:
            self.replayed = True
        if self.graph is None or batch.x.shape != self.batch.x.shape:
            return self.step(batch)
        for ours, new in zip(tensors(self.batch), tensors(batch), strict=True):
            ours.copy_(new)
        self.graph.replay()
        return self.terms

    def forget(self) -> None:
        """Capture anew: a graph holds whatever was a Python number, such as the learning rate."""
        self.graph = None

    def _aside(self, batch: Batch) -> dict[str, Tensor]:
        """Run the step as captures do, on a stream of its own."""
        stream, main = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(main)
        with torch.cuda.stream(stream):
            terms = self.step(batch)
        main.wait_stream(stream)
        return terms

    def _capture(self, batch: Batch) -> None:
        covariates = {name: values.clone() for name, values in batch.covariates.items()}
        labels = None if batch.labels is None else batch.labels.clone()
        self.batch = Batch(batch.x.clone(), labels, covariates)
        graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[self.batch.x.device.index]
        random_state = generator.clone_state()
        try:
            with torch.cuda.graph(graph):
                self.terms = self.step(self.batch)
        except RuntimeError as error:
            self.refused = True
            generator.graphsafe_set_state(random_state)  # torch leaves the other one unusable
            warnings.warn(
                "this training step cannot be captured as a CUDA graph and runs without:"
                f" {str(error).splitlines()[0]}",
                stacklevel=2,
            )
        else:
            self.graph = graph


def tensors(batch: Batch) -> list[Tensor]:
    """All that a batch holds, in a fixed order."""
    labels = [] if batch.labels is None else [batch.labels]
    return [batch.x, *labels, *(batch.covariates[name] for name in sorted(batch.covariates))]


class CudaGraphStrategy(SingleDeviceStrategy):
    """Lightning's strategy for one GPU whose training step is a `CapturedStep`.

    Under automatic optimization the step takes in the backward pass and the optimizer's step, which
    Lightning is then not asked for; hooks between them (`on_before_backward`, gradient clipping)
    do not run.
    """

    strategy_name = "cuda_graph"

    def setup(self, trainer: Any) -> None:
        super().setup(trainer)
        self._captured = CapturedStep(self._whole_step)
        self._epoch = -1

    def training_step(self, batch: Batch, *args: Any) -> dict[str, Tensor]:
        model = self.lightning_module
        assert model is not None  # there is none outside of fit
        if model.current_epoch != self._epoch:
            self._epoch = model.current_epoch
            self._captured.forget()
        terms = self._captured(batch)
        if self._captured.replayed and self._by_hand():
            loop = model.trainer.fit_loop.epoch_loop.manual_optimization
            for _ in range(self._steps):  # Lightning counts the optimizers' steps in Python
                loop.optim_step_progress.increment_ready()
                loop.optim_step_progress.increment_completed()
        return terms

    def _whole_step(self, batch: Batch) -> dict[str, Tensor]:
        model = self.lightning_module
        assert model is not None
        before = model.trainer.global_step
        output = super().training_step(batch, 0)
        self._steps = model.trainer.global_step - before
        terms: Mapping[str, Any] = output if isinstance(output, Mapping) else {"loss": output}
        if model.automatic_optimization:
            (optimizer,) = self.optimizers
            optimizer.zero_grad()
            terms["loss"].backward()
            optimizer.step()
        return {name: value.detach() for name, value in terms.items()}

    def backward(self, closure_loss: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self._by_hand():
            return super().backward(closure_loss, *args, **kwargs)
        return closure_loss

    def optimizer_step(self, optimizer: Any, closure: Any, *args: Any, **kw: Any) -> Any:
        if self._by_hand():
            return super().optimizer_step(optimizer, closure, *args, **kw)
        return closure()

    def _by_hand(self) -> bool:
        """Whether the model's own training_step makes the optimizers' steps."""
        assert self.lightning_module is not None
        return not self.lightning_module.automatic_optimization


def choose_strategy(trainer: Mapping[str, Any], reason: str = "") -> Any:
    """Resolve `trainer.strategy=auto`.

    Args:
        trainer: the Trainer's arguments.
        reason: why a CUDA graph cannot train this model, see `optimizers.why_eager`; said in a
            line where there would be one.

    Returns:
        A CudaGraphStrategy where one GPU trains and nothing is asked for between a step's backward
        pass and the optimizer; of several processes the DDP that every model trains with; what
        `eager` and every other setting mean to Lightning, otherwise.
    """
    setting = trainer["strategy"]
    if setting != "auto":
        return "auto" if setting == "eager" else setting
    if trainer.get("num_nodes", 1) != 1 or _devices(trainer) > 1:
        return "ddp_find_unused_parameters_true"  # WAE-GAN runs several backward passes in a step
    callbacks = str(trainer.get("callbacks"))
    hooks = trainer.get("gradient_clip_val") or trainer.get("accumulate_grad_batches", 1) != 1
    hooks = hooks or "GradientAccumulationScheduler" in callbacks
    scaled = trainer["precision"] == "16-mixed"
    alone = trainer["devices"] in (1, "1")
    if on_gpu(trainer["accelerator"]) and alone and not hooks and not scaled:
        if reason:
            print(f"trainer.strategy=eager: {reason}, which a CUDA graph cannot")
            return "auto"
        return CudaGraphStrategy(device="cuda:0")
    return "auto"


def _devices(trainer: Mapping[str, Any]) -> int:
    """On how many devices of this machine Lightning would train."""
    if trainer["devices"] in ("auto", -1, "-1"):
        return torch.cuda.device_count() if on_gpu(trainer["accelerator"]) else 1
    listed = str(trainer["devices"]).split(",")  # 2, "2", "0,1" or [0, 1]
    return int(listed[0]) if len(listed) == 1 and listed[0].isdecimal() else len(listed)
