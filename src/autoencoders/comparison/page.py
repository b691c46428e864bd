"""A comparison as one self-contained page: figures inlined, table sortable, nothing fetched."""

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from autoencoders.comparison.table import Cell, Comparison
from autoencoders.evaluation.catalogue import FLOOR, Column
from autoencoders.evaluation.settings import RECONSTRUCTION
from autoencoders.figures import style
from autoencoders.files import shown, write_whole

TEMPLATE = Path(__file__).with_name("page.html")
DPI = 130
COLUMNS = 8  # that the page begins with
ARROWS = {"lower": "↓", "higher": "↑"}


def write(comparison: Comparison, figures: Mapping[str, Figure], folder: Path) -> None:
    """Write <folder>/index.html; its figures link to <folder>/<name>.png, at full size."""
    columns = [column for _, section in comparison.sections() for column in section]
    chosen = overview(comparison)
    rows = [
        _row(FLOOR, comparison.floor, columns, chosen, ' class="floor"'),
        *(_row(row.label, row.cells, columns, chosen) for row in comparison.rows),
    ]
    differences = comparison.differences()
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"Auto-encoders on {comparison.label}"),
        caption=escape(comparison.caption()),
        differences=f'<p class="note"><b>{escape(differences)}</b></p>' if differences else "",
        choices=_choices([name for name, _ in comparison.sections()]),
        sections="".join(_section(*section, chosen) for section in comparison.sections()),
        headings="".join(
            _heading(column, index, column in chosen)
            for index, (_, section) in enumerate(comparison.sections())
            for column in section
        ),
        rows="\n".join(rows),
        figures="\n".join(_figure(name, figure) for name, figure in figures.items()),
        runs=_runs(comparison),
    )
    write_whole(folder / "index.html", page)


def overview(comparison: Comparison) -> list[Column]:
    """The columns that the page begins with, in the table's order: errors and distances, how the
    first sampler's samples overlap with real ones, what the codes tell, and the time."""
    distance, samplers = comparison.distance.key, comparison.samplers
    wanted = [
        *(f"{comparison.conditions['split']}/mse", f"{RECONSTRUCTION}/{distance}"),
        *(f"{name}/{distance}" for name in samplers),
        *(f"{name}/{key}" for name in samplers[:1] for key in ("precision", "recall")),
        *("latent/knn_accuracy", "train_seconds", "epochs"),
    ]
    known = {column.key for column in comparison.columns}
    keys = [key for key in wanted if key in known][:COLUMNS]
    return [column for column in comparison.columns if column.key in keys]


def _choices(sections: list[str]) -> str:
    """A button for each choice of columns."""
    choices = {"overview": "overview", **{str(i): name for i, name in enumerate(sections)}}
    return "\n".join(
        f'<button data-show="{key}" aria-pressed="{str(key == "overview").lower()}">'
        f"{escape(name)}</button>"
        for key, name in {**choices, "all": "all"}.items()
    )


def _section(name: str, columns: list[Column], chosen: list[Column]) -> str:
    visible = sum(column in chosen for column in columns)
    hidden = "" if visible else " hidden"
    return f'<th class="section" colspan="{visible or 1}"{hidden}><span>{escape(name)}</span></th>'


def _heading(column: Column, section: int, chosen: bool) -> str:
    """A column's heading: what it sorts by, and which values come first."""
    arrow = better = ""
    if column.better:
        title, arrow = f"{column.better} is better", ARROWS[column.better]
        arrow = f' <span class="better" title="{title}">{arrow}</span>'
        better = f' data-better="{column.better}"'
    shown_first = " data-overview" if chosen else " hidden"
    return (
        f'<th scope="col" data-section="{section}"{better}{shown_first}>'
        f"<button>{escape(column.name)}{arrow}</button></th>"
    )


def _row(
    label: str,
    cells: Mapping[str, Cell],
    columns: list[Column],
    chosen: list[Column],
    kind: str = "",
) -> str:
    filled = "".join(_cell(cells.get(column.key), column in chosen) for column in columns)
    return f"<tr{kind}><td>{escape(label)}</td>{filled}</tr>"


def _cell(cell: Cell | None, visible: bool) -> str:
    hidden = "" if visible else " hidden"
    if cell is None:
        return f"<td{hidden}></td>"
    best = ' class="best"' if cell.best else ""
    return f'<td{best}{hidden} data-value="{cell.mean!r}">{escape(str(cell))}</td>'


def _figure(name: str, figure: Figure) -> str:
    """A figure as an inlined PNG that tells its size before it is decoded."""
    content = io.BytesIO()
    style.save(figure, content, DPI)
    width, height = (round(DPI * inches) for inches in figure.get_size_inches())
    data = base64.b64encode(content.getvalue()).decode()
    words = escape(name.replace("_", " "))
    return (
        f'<figure id="{escape(name)}"><figcaption>{words}</figcaption><div class="scroll">'
        f'<a href="{escape(name)}.png"><img alt="{words}" width="{width}" height="{height}"'
        f' src="data:image/png;base64,{data}"></a></div></figure>'
    )


def _runs(comparison: Comparison) -> str:
    """A table with a row for each run: in what its config differs from the others'."""
    varied = comparison.varied_config()
    names = ["model", "folder", "began", *varied, "command"]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    labelled = [(row.label, run) for row in comparison.rows for run in row.runs]
    for i, (label, run) in enumerate(labelled):
        settings = "".join(f"<td>{escape(values[i])}</td>" for values in varied.values())
        rows.append(
            f"<tr><td>{escape(label)}</td><td><code>{escape(str(shown(run.folder)))}</code></td>"
            f"<td>{escape(run.began)}</td>{settings}"
            f"<td><code>{escape(run.command)}</code></td></tr>"
        )
    return "\n".join([f"<thead><tr>{head}</tr></thead>", "<tbody>", *rows, "</tbody>"])
