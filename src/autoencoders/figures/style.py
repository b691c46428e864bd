"""What all figures share.

The palette is Okabe & Ito's, which colour-blind readers can tell apart, with a brown in the place
of its yellow, which is faint on white, and two more for ten classes.
"""

import re
import textwrap
import warnings
from functools import cache
from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter

PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#999999",
    "#7A4B1E",
    "#000000",
    "#882255",
)
INK = "#333333"
OTHERS = "#d5d5d5"  # what is of no class
# With the letters of East Asia, as systems bring them.
FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei", "IPAGothic"),
    *("Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic"),
)
LINE = 0.14  # inches of a footnote's line


def pale(colour: str) -> tuple[float, ...]:
    """A colour of the palette, mixed with three parts of white."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(0.25 * part + 0.75 for part in parts)


def headed(figure: Figure, title: str, note: str) -> Figure:
    figure.suptitle(title, fontsize=14, color=INK)
    footnote(figure, note)
    return figure


def footnote(figure: Figure, note: str) -> None:
    """In as many lines as the width asks for; the figure grows by those after the first."""
    # Lines break between items, not within one: "10 epochs" stays together.
    items = re.sub(r"(?<![,;]) ", "\N{NO-BREAK SPACE}", note)
    lines = textwrap.wrap(
        items, int(16 * figure.get_figwidth()), break_long_words=False, break_on_hyphens=False
    )
    figure.set_figheight(figure.get_figheight() + LINE * max(len(lines) - 1, 0))
    text = "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")
    figure.supxlabel(text, fontsize=8, color=INK)


def explain(axes: Axes, reason: str) -> None:
    """Say in words why a panel is empty."""
    axes.text(0.5, 0.5, reason, ha="center", va="center", color=INK, transform=axes.transAxes)


def label_plainly(axis: Axis) -> None:
    """Label a logarithmic axis in numbers: figures are saved without formulas."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, file: BinaryIO, dpi: int) -> None:
    """Write a figure as PNG, its names and values as they are: a `$` begins no formula, and what
    the font lacks is looked for in others that are installed."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        if not text.get_text().isascii():
            text.set_fontfamily([*text.get_fontfamily(), *further_fonts()])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # it is a box, which all can see
        figure.savefig(file, format="png", dpi=dpi)


@cache
def further_fonts() -> list[str]:
    """Installed fonts with the letters of other scripts."""
    installed = {font.name for font in fontManager.ttflist}
    return [name for name in FONTS if name in installed]
