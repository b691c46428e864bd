"""The results that README and docs report: kept, put into tables, held against a reader's own run.

    python results/ledger.py record outputs/mnist/wae/<time> tutorial   # keep a run finished here
    python results/ledger.py exhibits outputs/comparisons/<time> tutorial mnist   # its figures
    python results/ledger.py tables                                        # rewrite the tables
    python results/ledger.py check outputs/mnist/wae/<time>                # is my run as expected?

A kept run is results/<recipe>/<dataset>-<model>-seed<n>/: run.json (command, seed, commit, machine,
date), metrics.json, evaluation.json and figures of modest size, no weights. A comparison's figures
lie beside its runs, in results/<recipe>/<dataset>/. A table stands in README.md or docs/ between
`<!-- results: <recipe> <dataset> -->` and `<!-- /results -->`; with `probes` behind the data set it
is one of what a linear probe tells of each factor.
"""

import argparse
import json
import math
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from PIL import Image
from scipy.stats import t as student_t

from autoencoders.errors import InputError
from autoencoders.launch.ending import one_line_errors

HERE = Path(__file__).parent
PAGES = [HERE.parent / "README.md", *sorted((HERE.parent / "docs").glob("*.md"))]
BLOCK = re.compile(r"(<!-- results: (\S+) (\S+)( probes)? -->\n).*?(<!-- /results -->)", re.DOTALL)
PROBE = "latent/probe_accuracy_"  # and a factor's name
OWN = ("hydra.run.dir=", "evaluate=", "seed=", "dataset.data_dir=")  # a reader's own to choose
# Test MSE per pixel as the WAE tutorial publishes it, by data set and model.
PUBLISHED = {
    "mnist": {"ae": 0.0048, "vae": 0.0095, "wae": 0.0071},
    "fmnist": {"ae": 0.0083, "vae": 0.0137, "wae": 0.0093},
}
# The tutorial's VAE decodes a drawn code, not the posterior's mean.
TUTORIAL_COLUMNS = {"test/mse_sampled": "MSE, drawn codes", "published": "MSE, published"}
COLUMNS = {
    "test/mse": "MSE",
    "reconstruction/fd_cnn": "FD-CNN, reconstructions",
    "prior/fd_cnn": "FD-CNN, prior",
    "mixture/fd_cnn": "FD-CNN, mixture",
    "latent/kl": "KL from the prior",
    "prior/precision": "precision, prior",
    "prior/recall": "recall, prior",
    "latent/knn_accuracy": "kNN accuracy",
}
# Where samples are held against reconstructions: precision, recall and coverage in one cell.
OVERLAP = ("precision", "recall", "coverage")
BEST_COLUMNS = {
    **{key: COLUMNS[key] for key in COLUMNS if key == "test/mse" or key.endswith("/fd_cnn")},
    "reconstruction/overlap": "P, R, C, reconstructions",
    "prior/overlap": "P, R, C, prior",
    "mixture/overlap": "P, R, C, mixture",
}
# Of data for which no classifier ships.
PCA_COLUMNS = {
    key.replace("fd_cnn", "fd_pca"): name.replace("FD-CNN", "FD-PCA")
    for key, name in COLUMNS.items()
}
CHECKED = tuple(dict.fromkeys((*COLUMNS, *PCA_COLUMNS, "test/bce")))
FIGURES = (
    *("reconstructions.png", "samples.png", "latent_space.png"),
    *("embeddings.png", "feature_moments.png", "marker_features.png"),  # of vectors
)
WIDTH, COLOURS = 640, 64  # of a kept figure: 150 kB at most
OUTSIDE = 0.01  # the share of other seeds' numbers that may lie outside of what is expected
ONE_SEED = 0.1  # how far a number may lie from a kept one, where no spread is known
WIDEST = 0.5  # half of a range over its middle: a wider one would call nearly anything expected
# In which a run's evaluation must agree with the kept one's for their numbers to compare.
CONDITIONS = ("dataset", "split", "images", "features", "neighbours", "seed", "samplers")


class Result(NamedTuple):
    """A kept run."""

    model: str
    command: str
    metrics: dict[str, float]
    conditions: dict[str, Any]

    def says(self, key: str) -> bool:
        """Whether the number is there and tells something: an AE has no prior to draw from."""
        return key in self.metrics and not (self.model == "ae" and key.startswith("prior/"))


def command_of(run: Path) -> str:
    """What was typed, but for what is a reader's own to choose."""
    typed = [str(override) for override in OmegaConf.load(run / ".hydra/overrides.yaml")]
    kept = [override for override in typed if not override.startswith(OWN)]
    return shlex.join(["python", "train.py", *kept])


def choices_of(run: Path) -> dict[str, str]:
    """The run's `dataset=` and `model=`."""
    choices = OmegaConf.load(run / ".hydra/hydra.yaml").hydra.runtime.choices
    return {group: str(choices[group]) for group in ("dataset", "model")}


def record(run: Path, recipe: str, commit: str) -> Path:
    """Keep a finished and evaluated run in results/<recipe>/."""
    read_finished(run)  # or its numbers may be of other weights
    seed = int(OmegaConf.load(run / ".hydra/config.yaml").seed)
    choices = choices_of(run)
    folder = HERE / recipe / f"{choices['dataset']}-{choices['model']}-seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.json", "evaluation.json"):
        shutil.copy(run / name, folder / name)
    for figure in (run / "figures" / name for name in FIGURES):
        if figure.exists():
            shrink(figure, folder / figure.name)
    finished = datetime.fromtimestamp((run / "metrics.json").stat().st_mtime, timezone.utc)
    content = {
        "command": command_of(run),
        **choices,
        "seed": seed,
        "commit": commit,
        "date": finished.date().isoformat(),
        "machine": machine(),
        "torch": version("torch"),
    }
    (folder / "run.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder


def record_exhibits(comparison: Path, recipe: str, dataset: str) -> Path:
    """Keep the figures of a comparison of kept runs in results/<recipe>/<dataset>/."""
    if not (figures := sorted(comparison.glob("*.png"))):
        raise InputError(f"{comparison}: no comparison's folder: it has no figures")
    folder = HERE / recipe / dataset
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        shrink(figure, folder / figure.name)
    return folder


def shrink(figure: Path, target: Path) -> None:
    """Save a figure at a modest size: fewer pixels, and colours from a palette (an octree's, which
    keeps the colour of a small bar too)."""
    with Image.open(figure) as image:
        small = image.convert("RGB")
        small.thumbnail((WIDTH, 2 * WIDTH))
        small.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(target, optimize=True)


def machine() -> str:
    """Of this machine, which records: the GPU, if there is one, and how many cores of what."""
    import torch  # takes seconds, which tables need not wait for

    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    names = [*re.findall(r"model name\s*: (.*)", text), platform.processor()]
    gpu = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return ", ".join([*gpu, f"{os.cpu_count()} cores of {names[0]}"])


def read(recipe: str, dataset: str = "*") -> list[Result]:
    """The kept runs of a recipe on a data set, or on all."""
    results = []
    for file in sorted((HERE / recipe).glob(f"{dataset}-*/run.json")):
        run = json.loads(file.read_text(encoding="utf-8"))
        metrics = json.loads(file.with_name("metrics.json").read_text(encoding="utf-8"))
        if {"mixture/log_likelihood", "prior/log_likelihood"} <= metrics.keys():
            # By its definition, for runs that were kept before evaluations reported it.
            gain = metrics["mixture/log_likelihood"] - metrics["prior/log_likelihood"]
            metrics.setdefault("latent/kl", gain)
        conditions = json.loads(file.with_name("evaluation.json").read_text(encoding="utf-8"))
        results.append(Result(run["model"], run["command"], metrics, conditions))
    return results


def read_all() -> list[Result]:
    """All kept runs."""
    recipes = sorted(path.name for path in HERE.iterdir() if path.is_dir())
    return [result for recipe in recipes for result in read(recipe)]


def by_model(results: list[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.model, []).append(result)
    return groups


def table(recipe: str, dataset: str) -> str:
    """A row for each model: means over seeds, and what the tutorial publishes."""
    published = PUBLISHED.get(dataset, {}) if recipe.startswith("tutorial") else {}
    groups = by_model(read(recipe, dataset))
    if not groups:
        return "No run is kept yet.\n"
    by_pca = any("prior/fd_pca" in r.metrics for results in groups.values() for r in results)
    columns = {"test/mse": "MSE"} | (TUTORIAL_COLUMNS if published else {})
    columns |= PCA_COLUMNS if by_pca else BEST_COLUMNS if recipe == "best" else COLUMNS
    if not any("latent/kl" in r.metrics for results in groups.values() for r in results):
        columns.pop("latent/kl", None)  # they were kept before it was measured
    lines = [_line(["`model=`", *columns.values()]), "|" + " --- |" * (len(columns) + 1)]
    for model, results in groups.items():
        of_runs = [r.metrics for r in results]
        if model in published:
            of_runs[0] = {**of_runs[0], "published": published[model]}
        lines.append(_line([f"`{model}`", *(_cell(key, of_runs) for key in columns)]))
    everything = [r.metrics for results in groups.values() for r in results]
    known = set.intersection(*map(set, everything))
    mean = {key: statistics.fmean(metrics[key] for metrics in everything) for key in known}
    cells = [_cell(_floor(key), [mean]) for key in columns]
    return "\n".join([*lines, _line(["*real examples*", *cells])]) + "\n"


def probes(recipe: str, dataset: str) -> str:
    """A row for each factor, a column for each model: how often a linear probe is right."""
    results = read(recipe, dataset)
    groups = by_model(results)
    keys = [key for result in results[:1] for key in result.metrics if key.startswith(PROBE)]
    lines = [_line(["factor", *(f"`{model}`" for model in groups)])]
    lines.append("|" + " --- |" * (len(groups) + 1))
    for key in keys:
        cells = [_cell(key, [r.metrics for r in of_model]) for of_model in groups.values()]
        lines.append(_line([key.removeprefix(PROBE).replace("_", " "), *cells]))
    return "\n".join(lines) + "\n"


def _floor(key: str) -> str:
    kind, _, measure = key.partition("/")
    return f"floor/{measure}" if kind in ("reconstruction", "prior", "mixture") else ""


def _cell(key: str, of_runs: list[dict[str, float]]) -> str:
    of, _, measure = key.partition("/")
    if measure == "overlap":  # without spreads, which three in a cell have no room for
        means = [_mean_and_spread(f"{of}/{part}", of_runs)[0] for part in OVERLAP]
        return ", ".join(means)
    return "".join(_mean_and_spread(key, of_runs))


def _mean_and_spread(key: str, of_runs: list[dict[str, float]]) -> tuple[str, str]:
    values = [metrics[key] for metrics in of_runs if key in metrics]
    if not values:
        return "", ""
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return _number(statistics.fmean(values)), spread


def _number(value: float) -> str:
    return f"{value:.3g}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def with_tables(text: str) -> str:
    """A page with the tables that results/ makes."""
    return BLOCK.sub(
        lambda m: f"{m[1]}{probes(m[2], m[3]) if m[4] else table(m[2], m[3])}{m[5]}", text
    )


def seeds_of(command: str) -> list[Result]:
    """The kept runs of one command."""
    words = sorted(shlex.split(command))
    return [result for result in read_all() if sorted(shlex.split(result.command)) == words]


class Spread(NamedTuple):
    """Of a number between seeds.

    relative: its standard deviation over its mean.
    freedom: degrees of freedom of that estimate.
    """

    relative: float
    freedom: int


def spread(key: str) -> Spread | None:
    """Pooled over all kept commands with several seeds: two or three of one tell too little."""
    squares, freedom = 0.0, 0
    by_command: dict[str, list[float]] = {}
    for result in read_all():
        if result.says(key):
            by_command.setdefault(result.command, []).append(result.metrics[key])
    for values in by_command.values():
        mean = statistics.fmean(values)
        if len(values) > 1 and mean:
            squares += (len(values) - 1) * (statistics.stdev(values) / mean) ** 2
            freedom += len(values) - 1
    return Spread(math.sqrt(squares / freedom), freedom) if freedom else None


def expected(values: list[float], between_seeds: Spread | None) -> tuple[float, float]:
    """The range in which another seed's value should lie: Student's prediction interval."""
    mean, n = statistics.fmean(values), len(values)
    if between_seeds is None:
        half = ONE_SEED * abs(mean)
    else:
        quantile = float(student_t.ppf(1 - OUTSIDE / 2, between_seeds.freedom))
        half = quantile * between_seeds.relative * abs(mean) * math.sqrt(1 + 1 / n)
    return mean - half, mean + half


def read_finished(run: Path) -> Any:
    """A reader's run as compare.py reads it: finished, and evaluated with its last weights.

    Raises:
        InputError: it is not.
    """
    from autoencoders.runs.finished import read_finished  # torch takes seconds

    return read_finished(run)


def refuse_other_conditions(run: Any, kept: Result) -> None:
    """Raise InputError where a run's numbers and the kept ones were measured differently."""
    conditions = dict(run.conditions)
    known = kept.conditions.get("samplers") or {}
    conditions["samplers"] = {  # in what the kept run knew of them
        name: {key: value for key, value in sampler.items() if key in known.get(name, {})}
        for name, sampler in conditions["samplers"].items()
    }
    pairs = {key: (conditions.get(key), kept.conditions.get(key)) for key in CONDITIONS}
    pairs["epochs"] = (run.metrics.get("epochs"), kept.metrics.get("epochs"))
    for key, (here, there) in pairs.items():
        if here != there and there is not None:
            raise InputError(
                f"{run.folder}: has {key} {here}, the kept runs {there}: their numbers do not"
                " compare"
            )


def judge(
    value: float | None, values: list[float], between_seeds: Spread | None
) -> tuple[str, str]:
    """The range in which a number is expected, in words, and the verdict."""
    low, high = expected(values, between_seeds)
    words = f"expected {low:.4g} to {high:.4g}"
    if value is None:
        return words, "MISSING"
    if high - low > 2 * WIDEST * abs(statistics.fmean(values)):
        return words, "not judged: too few seeds are kept"
    return words, "as expected" if math.isfinite(value) and low <= value <= high else "OUTSIDE"


def check(run: Path) -> bool:
    """Print a verdict for each number of a reader's run; whether all are as expected.

    Raises:
        InputError: the run is not finished and evaluated as the kept runs are, or its command is
            not one of theirs.
    """
    own = read_finished(run)
    command = command_of(run)
    kept = seeds_of(command)
    if not kept:
        raise InputError(f"results/ has no run of `{command}`; `ls results/*` shows what it has")
    refuse_other_conditions(own, kept[0])
    verdicts = []
    for key in CHECKED:
        values = [result.metrics[key] for result in kept if result.says(key)]
        if not values:
            continue
        value = own.metrics.get(key)
        words, verdict = judge(value, values, spread(key))
        verdicts.append(verdict)
        print(f"{key:<24}{math.nan if value is None else value:>10.4g}   {words}   {verdict}")
    return "as expected" in verdicts and not {"OUTSIDE", "MISSING"} & set(verdicts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="keep a finished run")
    recording.add_argument("run", type=Path)
    recording.add_argument("recipe")
    recording.add_argument("--commit", help="it was trained at; by default what is checked out")
    exhibiting = commands.add_parser("exhibits", help="keep the figures of a comparison")
    exhibiting.add_argument("comparison", type=Path)
    exhibiting.add_argument("recipe")
    exhibiting.add_argument("dataset")
    commands.add_parser("tables", help="rewrite the tables in README.md and docs/")
    checking = commands.add_parser("check", help="hold a run of your own against what is kept")
    checking.add_argument("run", type=Path)
    options = parser.parse_args()
    if options.command == "record":
        git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
        commit = options.commit or subprocess.check_output(git, text=True).strip()
        print(record(options.run, options.recipe, commit))
    elif options.command == "exhibits":
        print(record_exhibits(options.comparison, options.recipe, options.dataset))
    elif options.command == "tables":
        for page in PAGES:
            page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    elif not check(options.run):
        sys.exit(1)


if __name__ == "__main__":
    with one_line_errors():
        main()
