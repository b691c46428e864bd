"""A comparison as one self-contained page: figures inlined, table sortable, nothing fetched."""

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from autoencoders.comparison.table import FLOOR, Cell, Comparison
from autoencoders.evaluation.catalogue import Column
from autoencoders.figures import style
from autoencoders.files import shown, write_whole

TEMPLATE = Path(__file__).with_name("page.html")
DPI = 130


def write(comparison: Comparison, figures: Mapping[str, Figure], folder: Path) -> None:
    """Write <folder>/index.html."""
    columns = [column for _, section in comparison.sections() for column in section]
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"Auto-encoders on {comparison.label}"),
        caption=escape(comparison.caption()),
        sections="".join(
            f'<th class="section" colspan="{len(section)}">{escape(name)}</th>'
            for name, section in comparison.sections()
        ),
        headings="".join(
            f'<th scope="col"><button>{escape(column.name)}</button></th>' for column in columns
        ),
        rows="\n".join(
            [
                _row(FLOOR, comparison.floor, columns, ' class="floor"'),
                *(_row(row.label, row.cells, columns) for row in comparison.rows),
            ]
        ),
        figures="\n".join(_figure(name, figure) for name, figure in figures.items()),
        runs="".join(
            f"<li>{escape(row.label)}: <code>{escape(str(shown(run.folder)))}</code></li>"
            for row in comparison.rows
            for run in row.runs
        ),
    )
    write_whole(folder / "index.html", page)


def _row(label: str, cells: Mapping[str, Cell], columns: list[Column], kind: str = "") -> str:
    filled = "".join(_cell(cells.get(column.key)) for column in columns)
    return f"<tr{kind}><td>{escape(label)}</td>{filled}</tr>"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    best = ' class="best"' if cell.best else ""
    return f'<td{best} data-value="{cell.mean!r}">{escape(str(cell))}</td>'


def _figure(name: str, figure: Figure) -> str:
    """A figure as an inlined PNG that tells its size before it is decoded."""
    content = io.BytesIO()
    style.save(figure, content, DPI)
    width, height = (round(DPI * inches) for inches in figure.get_size_inches())
    data = base64.b64encode(content.getvalue()).decode()
    alt = escape(name.replace("_", " "))
    return (
        f'<figure id="{escape(name)}"><img alt="{alt}" width="{width}" height="{height}"'
        f' src="data:image/png;base64,{data}"></figure>'
    )
