"""Compare finished runs side by side: `python compare.py dataset=fmnist`."""

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from autoencoders.commands import use_own_modules
from autoencoders.errors import InputError
from autoencoders.files import make_new, write_whole
from autoencoders.launch.ending import end_on_ctrl_c, one_line_errors, one_line_in_job
from autoencoders.launch.help import explain_keys
from autoencoders.launch.keys import check_command
from autoencoders.launch.overrides import quote_paths
from autoencoders.launch.settings import CompareKeys
from autoencoders.runs.finished import named_runs

if TYPE_CHECKING:
    from autoencoders.comparison import Comparison

SHOWN = 12  # rows at most that are shown in images: every model, or the best of a search


def compare(cfg: DictConfig, dataset: str) -> Path:
    """Write exhibits, table and page of the runs that `cfg` names; print the table. Of runs on
    several data sets there is one of each for every data set.

    Args:
        cfg: as composed from conf/compare.yaml.
        dataset: the data set's name, whose newest runs are taken if `cfg` names none.

    Returns:
        The comparison's folder, or that of all comparisons.
    """
    if not isinstance(cfg.points, int) or cfg.points < 10:
        raise InputError(f"points={cfg.points}: must be a whole number of at least 10")
    # Here and not above: torch takes seconds to import, which a mistyped key need not wait for.
    from autoencoders.comparison import Comparison
    from autoencoders.comparison.rows import by_data
    from autoencoders.runs.finished import read_runs

    groups = by_data(read_runs(cfg, dataset))
    comparisons = [Comparison(runs) for runs in groups]
    names = {comparison.dataset for comparison in comparisons}
    place = names.pop() if len(names) == 1 else "several"
    default = Path("outputs/comparisons", place, time.strftime("%Y-%m-%d_%H-%M-%S"))
    folder = make_new(Path(str(cfg.folder)) if cfg.folder else default)
    if len(comparisons) == 1:
        show(comparisons[0], cfg, folder)
        return folder
    print(f"runs on {len(comparisons)} different data sets, which do not compare: a table of each")
    for comparison in comparisons:
        show(comparison, cfg, make_new(folder / re.sub(r"[^\w.-]+", "-", comparison.label)))
    return folder


def show(comparison: "Comparison", cfg: DictConfig, folder: Path) -> None:
    """Write a comparison's exhibits, table and page into a folder; print the table."""
    from autoencoders.comparison import exhibits, page
    from autoencoders.comparison.printed import print_comparison
    from autoencoders.evaluation.exhibits import parameters
    from autoencoders.runs import load_run
    from autoencoders.runs.finish import not_drawn, rendered
    from autoencoders.runs.finished import searched_scales

    comparison.write(folder)  # the numbers first
    shown = comparison.best(SHOWN)
    # The first run of each row stands for it.
    runs = {row.label: load_run(row.runs[0].folder) for row in shown}
    data = runs[shown[0].label].data
    data.judge_on(comparison.conditions["split"])
    notes = {label: parameters(run.model, run.epochs) for label, run in runs.items()}
    note = exhibits.shared_parameters(notes)
    models = {label: run.model for label, run in runs.items()}
    plots = {
        **exhibits.of_models(models, data, note, cfg.points),
        **exhibits.of_comparison(comparison, shown, note, searched_scales(cfg)),
    }
    figures = {}
    for name, plot in plots.items():
        try:
            figure = plot()
            content = rendered(figure)
        except Exception as error:  # whatever it is, the table and the other figures stand
            not_drawn(name, error)
            continue
        write_whole(folder / f"{name}.png", content)
        figures[name] = figure
    page.write(comparison, figures, folder)
    print_comparison(comparison, folder, cfg.verbose)


@hydra.main(version_base="1.3", config_path="conf", config_name="compare")
def main(cfg: DictConfig) -> None:
    with one_line_in_job():
        check_command(cfg, CompareKeys)
        dataset = HydraConfig.get().runtime.choices.dataset
        named = named_runs(cfg, dataset)
        what = f"{len(named)} run{'s' * (len(named) > 1)}" if named else f"the newest on {dataset}"
        print(f"comparing {what}", flush=True)
        compare(cfg, dataset)


if __name__ == "__main__":
    use_own_modules()
    explain_keys()
    quote_paths(sys.argv)
    with one_line_errors(), end_on_ctrl_c():
        main()
