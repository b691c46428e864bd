"""A model's networks as it computes with them: a row of boxes where one layer follows another, a
table of modules elsewhere.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from autoencoders.figures.calls import Call, Watch, is_chain, watch
from autoencoders.figures.style import INK, PALETTE, headed, pale

GREY = PALETTE[6]
BOXES = 14  # in a row, at most
LINES = 40  # in a table, at most
BOX = 1.17  # inches from one to the next
LINE = 0.21  # inches, of a table
NAME = 38  # letters of a name in a table, at most
LEAST = 7  # boxes: a table needs as much width


class Layer(NamedTuple):
    """A box or a table's line.

    name: of its operations, in lines; of a module in a table.
    shape: of its output for one example, such as (C, H, W), (C, T) or (features,).
    parameters: how many it learns.
    kind: what a module in a table does.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int
    kind: str = ""


class Network(NamedTuple):
    """A network as it is drawn: `layers` are boxes if it is a chain, else a table's lines."""

    heading: str
    layers: list[Layer]
    is_chain: bool

    @property
    def width(self) -> int:
        """In boxes, of which twelve letters of the heading take one."""
        return max(len(self.layers), math.ceil(len(self.heading) / 12))


def network_diagram(
    model: nn.Module, compute: Callable[[], object], title: str, note: str = ""
) -> Figure:
    """Draw every network that a model calls; the numbers add up to all of its parameters.

    Args:
        compute: has the model compute, such as its forward pass and its losses.
    """
    seen = watch(model, compute)
    panels = _panels([_network(call, seen) for call in seen.networks])
    columns = max([LEAST, *(sum(n.width for n in p) for p in panels if p[0].is_chain)])
    heights = [2.75 if p[0].is_chain else LINE * (len(p[0].layers) + 3) for p in panels]
    figure = Figure(figsize=(BOX * columns + 0.4, sum(heights) + 0.5), layout="constrained")
    colours = itertools.cycle(PALETTE[:5])
    if panels:
        grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, panel in zip(grid[:, 0], panels, strict=True):
            axes.axis("off")
            axes.set_xlim(-0.6, columns - 0.4)
            (_chains if panel[0].is_chain else _tables)(axes, panel, colours)
    total = sum(parameter.numel() for parameter in model.parameters())
    notes = [part for part in (_uncalled(seen), note) if part]
    return headed(figure, f"{title}, {total:,} parameters", "; ".join(notes))


def _network(call: Call, seen: Watch) -> Network:
    heading = f"{call.name}: {call.total:,} parameters"
    if shared := sum(p.numel() for p in call.module.parameters()) - call.total:
        heading += f" and {shared:,} shared with the above"
    boxes = [Layer("input", call.takes, 0), *_boxes(call.leaves())]
    if is_chain(call, seen.outlets[call.number]) and len(boxes) <= BOXES:
        return Network(heading, boxes, True)
    return Network(heading, table(call), False)


def _panels(networks: Sequence[Network]) -> list[list[Network]]:
    """Networks that are drawn beside each other: chains, as many as there is room for."""
    panels: list[list[Network]] = []
    for network in networks:
        beside = [*panels[-1], network] if panels else [network]
        fit = sum(n.width for n in beside) <= BOXES
        if len(beside) > 1 and fit and all(n.is_chain for n in beside):
            panels[-1] = beside
        else:
            panels.append([network])
    return panels


def _uncalled(seen: Watch) -> str:
    """The parameters that no call uses, summed for each attribute of the model."""
    counts: dict[str, int] = {}
    for name, count in seen.unclaimed().items():
        attribute = name.partition(".")[0]
        counts[attribute] = counts.get(attribute, 0) + count
    parts = [f"{name} ({count:,} parameters)" for name, count in counts.items()]
    return f"not drawn, since not called as a module: {', '.join(parts)}" if parts else ""


# Chains -------------------------------------------------------------------------------------------


def _boxes(leaves: Sequence[Call]) -> list[Layer]:
    """A box for each layer with a weight matrix or kernel, which normalization, activation and
    reshaping behind it join."""
    # Padding belongs to the layer that follows, and flattening to no layer.
    skipped = nn.ZeroPad2d | nn.Flatten
    boxes: list[Layer] = []
    for leaf in leaves:
        if isinstance(leaf.module, skipped):
            continue
        name = operation(leaf.module)
        if any(p.ndim > 1 for p in leaf.module.parameters()) or not boxes:
            boxes.append(Layer(name, leaf.shape, leaf.parameters))
        else:
            last = boxes[-1]
            names = "\n".join(part for part in (last.name, name) if part)
            boxes[-1] = Layer(names, leaf.shape, last.parameters + leaf.parameters)
    return boxes


def operation(module: Any) -> str:
    """What a module does, in the field's words; nothing for what only reshapes or drops."""
    kind = type(module).__name__
    if isinstance(module, nn.Unflatten | nn.Identity | nn.Dropout):
        return ""
    if convolution := re.fullmatch(r"Conv(Transpose)?\dd", kind):
        kernel, stride = "x".join(map(str, module.kernel_size)), max(module.stride)
        word = "transposed\nconv" if convolution[1] else "conv"
        return f"{word} {kernel}" + (f"\nstride {stride}" if stride > 1 else "")
    if norm := re.fullmatch(r"(Batch|Layer|Group|Instance)Norm(\dd)?", kind):
        return f"{norm[1].lower()} norm"
    return "linear" if kind == "Linear" else re.sub(r"(?<=[a-z]{6})(?=[A-Z])", "\n", kind)


def _chains(axes: Axes, networks: Sequence[Network], colours: Iterator[str]) -> None:
    x = 0
    for network in networks:
        _chain(axes, x, network, next(colours))
        x += network.width
    axes.set_ylim(-1.95, 1.75)


def _chain(axes: Axes, x: int, network: Network, colour: str) -> None:
    """A network's boxes from x on, an arrow between each two, its name above."""
    boxes = network.layers
    heading = {"ha": "center", "fontsize": 11, "color": colour, "weight": "bold"}
    axes.text(x + (len(boxes) - 1) / 2, 1.45, network.heading, heading)
    axes.plot([x - 0.35, x + len(boxes) - 0.65], [1.36, 1.36], color=colour, lw=1.5)
    longest = max((box.shape[-1] for box in boxes if len(box.shape) > 1), default=1)
    for position, box in enumerate(boxes, start=x):
        _box(axes, position, box, colour if position > x else GREY, scale=1.05 / longest)
        if position > x:
            arrow = {"arrowstyle": "-|>", "color": INK}
            axes.annotate("", (position - 0.4, 0), (position - 0.6, 0), arrowprops=arrow)


def _box(axes: Axes, x: int, layer: Layer, colour: str, scale: float) -> None:
    """A map is a stack of rectangles, deeper the more channels; a series a strip as long as it is;
    a vector a thin bar."""
    *leading, last = layer.shape or (1,)
    h, w, sheets = 0.13 * math.log2(math.prod(layer.shape[:1]) + 1), 0.1, 1
    if leading:
        w = max(0.62 * last * scale, 0.05)
    if len(leading) > 1:
        h, sheets = max(leading[-1] * scale, 0.07), 1 + round(math.log2(leading[0]) / 2)
    for i in reversed(range(sheets)):
        shift = 0.035 * (i - (sheets - 1) / 2)
        corner = (x - w / 2 + shift, -h / 2 + 1.5 * shift)
        axes.add_patch(Rectangle(corner, w, h, facecolor=pale(colour), edgecolor=colour))
    axes.text(x, 0.9, " x ".join(map(str, layer.shape)), ha="center", fontsize=9, color=INK)
    text = layer.name + (f"\n{layer.parameters:,}" if layer.parameters else "")
    axes.text(x, -0.85, text, ha="center", va="top", fontsize=8, color=INK)


# Tables -------------------------------------------------------------------------------------------


def table(network: Call) -> list[Layer]:
    """A line for each module that has parameters, as deep inside the network as there is room."""
    depth = network.depth
    while len(lines := _lines(network, depth)) > LINES and depth > 1:
        depth -= 1
    if len(lines) <= LINES:
        return lines
    kept, rest = lines[: LINES - 1], lines[LINES - 1 :]
    return [*kept, Layer(f"{len(rest)} further modules", (), sum(r.parameters for r in rest))]


def _lines(network: Call, depth: int) -> list[Layer]:
    """One for each module at most so deep inside, however often it is called, and one for the
    parameters that a module owns beside those of the modules that it calls."""
    calls: dict[tuple[nn.Module, bool], list[Call]] = {}
    for call, is_whole in network.down_to(depth):
        if any(True for _ in call.module.parameters()):
            calls.setdefault((call.module, is_whole), []).append(call)
    return [_line(those, is_whole, network.name) for (_, is_whole), those in calls.items()]


def _line(calls: Sequence[Call], is_whole: bool, network: str) -> Layer:
    """The line of one module's calls."""
    call, times = calls[0], len(calls)
    name = call.name.removeprefix(network).removeprefix(".")
    if not is_whole:
        names = (f"{name}.{own}".removeprefix(".") for own in call.own)
        return Layer(_cut(", ".join(names)), (), sum(c.parameters for c in calls), "parameter")
    name = name or type(call.module).__name__
    kind = operation(call.module).replace("\n", " ")
    name = f"{_cut(name)}, {times} times" if times > 1 else _cut(name)
    return Layer(name, call.shape, sum(c.total for c in calls), kind)


def _cut(name: str) -> str:
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"


def _tables(axes: Axes, networks: Sequence[Network], colours: Iterator[str]) -> None:
    """One network's, its name above."""
    (network,) = networks
    right = axes.get_xlim()[1]
    places = (
        (-0.35, "left"),
        (0.4 * right, "left"),
        (0.8 * right, "right"),
        (right - 0.25, "right"),
    )
    rows = [("module", "kind", "output", "parameters"), *map(_cells, network.layers)]
    colour = next(colours)
    axes.text(-0.35, 0, network.heading, fontsize=11, color=colour, weight="bold", va="center")
    axes.plot([-0.35, right - 0.25], [0.6, 0.6], color=colour, lw=1.5)
    for y, row in enumerate(rows, start=1):
        weight = "bold" if y == 1 else "normal"
        for (x, aligned), cell in zip(places, row, strict=True):
            axes.text(
                x, y + 0.2, cell, ha=aligned, va="center", fontsize=9, color=INK, weight=weight
            )
    axes.set_ylim(len(rows) + 1, -0.8)


def _cells(line: Layer) -> tuple[str, str, str, str]:
    parameters = f"{line.parameters:,}" if line.parameters else "shared"
    return line.name, line.kind, " x ".join(map(str, line.shape)), parameters
