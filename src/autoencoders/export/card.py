"""The README.md of an export: a model card in the form of Hugging Face's."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from autoencoders.evaluation.catalogue import FLOOR, columns, headlines
from autoencoders.files import FIGURES
from autoencoders.models import AutoEncoder

NAMED = 30  # classes at most


@dataclass(frozen=True)
class Card:
    """What a card says of a run, all from its files.

    model: trained.
    dataset: its data's label; inventory: the line on what was read; class_names: of its classes.
    checkpoint, epochs: which weights.
    metrics: its numbers; samplers: those that they are of; split, images: what they were measured
        on. No metrics of weights that were not evaluated.
    command: that trained it; seed: of the training.
    versions: of packages, and of the project's commit if that is known.
    figures: files that are copied beside the card.
    """

    model: AutoEncoder
    dataset: str
    inventory: str
    class_names: Sequence[str]
    checkpoint: str
    epochs: int
    command: str
    seed: int
    versions: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    samplers: Sequence[str] = ()
    split: str = "test"
    images: int | None = None
    figures: Sequence[Path] = ()

    def text(self) -> str:
        """The card."""
        parts = [
            front_matter(self.model),
            f"# {self.model.label} on {as_text(self.dataset)}",
            self._about(),
            *self._data(),
            "## Use",
            USE,
            *self._numbers(),
            *(f"![{file.stem.replace('_', ' ')}]({FIGURES}/{file.name})" for file in self.figures),
            "## Training",
            f"```bash\n{self.command}\n```",
            f"Seed {self.seed}; {self.checkpoint} checkpoint, after {self.epochs} epochs.",
            "Versions: "
            + ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        ]
        return "\n\n".join(parts) + "\n"

    def _about(self) -> str:
        model = self.model
        size = " x ".join(map(str, model.shape))
        count = sum(parameter.numel() for parameter in model.parameters())
        return (
            f"An auto-encoder of the class `{type(model).__name__}` with networks of the family"
            f" `{type(model.network).__name__}`: data of the kind {model.kind}, {size} numbers,"
            f" codes of {model.latent_dim} dimensions, {count:,} parameters."
        )

    def _data(self) -> list[str]:
        lines = [as_text(self.inventory)] if self.inventory else []
        if self.class_names:
            more = ", ..." if len(self.class_names) > NAMED else ""
            names = ", ".join(as_text(name) for name in self.class_names[:NAMED])
            lines.append(f"Classes: {names}{more}.")
        return ["## Data", *lines] if lines else []

    def _numbers(self) -> list[str]:
        """A table of the headlines, each beside what real examples reach by the same measure."""
        known = columns(self.samplers, self.metrics, self.split)
        keys = {column.key for column in headlines(self.samplers, self.split)}
        rows = [column for column in known if column.key in keys and column.key in self.metrics]
        if not rows:
            return ["## Numbers", "These weights were not evaluated."]
        lines = [f"| | | value | {FLOOR} |", "| --- | --- | --- | --- |"]
        for column in rows:
            floor = self.metrics.get(column.floor or "")
            cells = (self.metrics[column.key], floor)
            numbers = " | ".join("" if value is None else f"{value:.4g}" for value in cells)
            lines.append(f"| {column.section} | {column.name} | {numbers} |")
        of = f"{self.images:,} {self.split} examples" if self.images else f"the {self.split} set"
        return ["## Numbers", f"Measured on {of}.", "\n".join(lines)]


USE = """```python
import autoencoders

model = autoencoders.load("<this folder>")
z = model.encode(x)
x_hat = model.decode(z)
x_new = model.sample(16)
```

`python encode.py run=<this folder> input=<images or a table>` encodes new data, prepared as the
training data were."""


def front_matter(model: AutoEncoder) -> str:
    """What Hugging Face's hub files a model under."""
    tags = ["autoencoder", "representation-learning", type(model).__name__.lower(), model.kind]
    known = {
        "library_name": "autoencoders",
        "pipeline_tag": "feature-extraction",
        "tags": tags,
    }
    return f"---\n{yaml.safe_dump(known, sort_keys=False)}---"


def as_text(text: str) -> str:
    """Text from data as Markdown shows it: no markup, and in one line."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{char}" if char in "\\`*_[]|#" else char for char in escaped)
