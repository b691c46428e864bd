"""Which modules a model calls: in what order, on what, and with which parameters.

The model is watched while it computes. Nothing is assumed about how its modules are nested or what
they are called.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Sources = frozenset[int]  # the calls, by number, that a tensor was computed from most recently


@dataclass
class Call:
    """A call of a module.

    name: the module's, dotted.
    sources: the calls whose outputs it takes.
    takes: the shape of what it takes, for one example; empty if that is no tensor.
    inner: the calls that it makes itself.
    shape: of its output, likewise.
    own: what it learns that no earlier call and no inner one does: numbers of parameters, by name.
    """

    number: int
    name: str
    module: nn.Module
    sources: Sources
    takes: tuple[int, ...]
    inner: list["Call"] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    own: dict[str, int] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        return sum(self.own.values())

    @property
    def total(self) -> int:
        """The parameters of this call and of all inside it."""
        return self.parameters + sum(call.total for call in self.inner)

    def leaves(self) -> list["Call"]:
        """The innermost calls, in order."""
        return [leaf for call in self.inner for leaf in call.leaves()] if self.inner else [self]

    @property
    def depth(self) -> int:
        """How many calls deep inside this one the innermost is."""
        return max((1 + call.depth for call in self.inner), default=0)

    def down_to(self, depth: int) -> list[tuple["Call", bool]]:
        """The calls at most so deep inside, and whether what is inside them counts as theirs; of
        the others those with parameters of their own."""
        if not depth or not self.inner:
            return [(self, True)]
        own = [(self, False)] if self.own else []
        return [*own, *(part for call in self.inner for part in call.down_to(depth - 1))]


class Watch(TorchFunctionMode):
    """Follows every tensor through the calls of a model's modules, for a `with` block.

    Attributes:
        networks: the outermost calls.
        outlets: for each of them, by number, the calls that its output comes from.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.networks: list[Call] = []
        self.outlets: dict[int, Sources] = {}
        self._model = model
        self._open: list[Call] = []  # begun and not yet ended, the outermost first
        self._count = 0
        # Tensors by id; kept, since the id of one that is gone may become another's.
        self._known: dict[int, tuple[Tensor, Sources]] = {}
        self._claimed: set[int] = set()  # ids of parameters that a call has been given
        self._hooks = ExitStack()

    def __enter__(self) -> "Watch":
        for name, module in self._model.named_modules():
            if module is self._model:
                continue
            for handle in (
                module.register_forward_pre_hook(self._begin(name), with_kwargs=True),
                module.register_forward_hook(self._end),
            ):
                self._hooks.callback(handle.remove)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._hooks.close()
        self._known.clear()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """What an operation returns was computed from all that it takes."""
        out = func(*args, **(kwargs or {}))
        sources = self._sources((args, kwargs))
        if sources:
            # Assigning to a part of a tensor returns nothing and changes what it takes first.
            self._set(args[:1] if out is None else out, sources)
        return out

    def _begin(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            sources, takes = self._sources((args, kwargs)), shape_of((args, kwargs))
            call = Call(self._count, name, module, sources, takes)
            self._count += 1
            if self._open:
                self._open[-1].inner.append(call)
            else:  # what it takes is followed anew inside a network
                self.networks.append(call)
                self._set((args, kwargs), frozenset({call.number}))
            self._open.append(call)

        return hook

    def _end(self, module: nn.Module, args: Any, out: Any) -> None:
        call = self._open.pop()
        new = {n: p for n, p in module.named_parameters() if id(p) not in self._claimed}
        self._claimed |= set(map(id, new.values()))
        call.own = {name: parameter.numel() for name, parameter in new.items()}
        call.shape = shape_of(out)
        if not call.inner:
            self._set(out, frozenset({call.number}))
        if not self._open:
            self.outlets[call.number] = self._sources(out)

    def unclaimed(self) -> dict[str, int]:
        """The parameters that no call has used, by name: the model's own, and those of modules that
        were not called."""
        named = self._model.named_parameters()
        return {name: p.numel() for name, p in named if id(p) not in self._claimed}

    def _sources(self, value: Any) -> Sources:
        known = (self._known.get(id(tensor)) for tensor in tensors(value))
        return frozenset().union(*(sources for entry in known if entry for sources in entry[1:]))

    def _set(self, value: Any, sources: Sources) -> None:
        for tensor in tensors(value):
            self._known[id(tensor)] = (tensor, sources)


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in what a function takes or returns, however it is nested."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))
    elif dataclasses.is_dataclass(value):
        yield from tensors(list(vars(value).values()))


def shape_of(value: Any) -> tuple[int, ...]:
    """The first tensor's for one example; empty if there is none."""
    return next((tuple(tensor.shape[1:]) for tensor in tensors(value)), ())


def is_chain(network: Call, outlet: Sources) -> bool:
    """Whether each of a network's innermost calls takes what the one before returns, and nothing
    else, and all parameters are theirs: only then does a row of boxes show what is computed.

    Args:
        outlet: the calls that the network's output comes from.
    """
    leaves = network.leaves()
    before = [network.number, *(leaf.number for leaf in leaves)]
    linked = all(leaf.sources == {n} for leaf, n in zip(leaves[1:], before[1:], strict=False))
    first = leaves[0] is network or leaves[0].sources == {before[0]}
    owned = sum(leaf.parameters for leaf in leaves) == network.total
    return first and linked and owned and outlet == {before[-1]}


def watch(model: nn.Module, compute: Callable[[], object]) -> Watch:
    """Have a model compute something, in evaluation mode and without gradients, and note its calls.

    Model and random state are left as they were. A network that is called again is noted once,
    unless the later call uses further parameters.
    """
    training = {module: module.training for module in model.modules()}
    model.eval()
    seen = Watch(model)
    try:
        with torch.no_grad(), torch.random.fork_rng(), seen:
            compute()
    finally:
        for module, mode in training.items():
            module.training = mode
    modules: set[nn.Module] = set()
    networks, seen.networks = seen.networks, []
    for call in networks:
        has_parameters = any(True for _ in call.module.parameters())
        if call.total or (has_parameters and call.module not in modules):
            seen.networks.append(call)
        modules.add(call.module)
    return seen
