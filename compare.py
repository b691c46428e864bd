"""Compare finished runs side by side: `python compare.py dataset=fmnist`."""

import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from autoencoders.comparison import Comparison, read_runs
from autoencoders.errors import InputError, end_on_ctrl_c, one_line_errors
from autoencoders.run_folder import make_new
from autoencoders.runs import replace_together


def compare(cfg: DictConfig, dataset: str) -> Path:
    """Write exhibits, table and page of the runs that `cfg` names; print the table.

    Args:
        cfg: as composed from conf/compare.yaml.
        dataset: the data set's name, whose newest runs are taken where `cfg` names none.

    Returns:
        The comparison's folder.
    """
    if not isinstance(cfg.points, int) or cfg.points < 10:
        raise InputError(f"points={cfg.points}: must be a whole number of at least 10")
    runs = read_runs(cfg, dataset)
    comparison = Comparison(runs)
    # Here and not above: torch takes seconds to import, which a wrong folder need not wait for.
    from autoencoders import exhibits, report
    from autoencoders.comparison import page

    drawn = exhibits.of_comparison(comparison, cfg.points)
    default = Path("outputs/comparisons", runs[0].dataset, time.strftime("%Y-%m-%d_%H-%M-%S"))
    folder = make_new(Path(cfg.folder) if cfg.folder else default)
    with replace_together(folder) as new:
        exhibits.leave(drawn, new)
        comparison.write(new)
        page.write(comparison, drawn, new)
    report.print_comparison(comparison, folder)
    return folder


@hydra.main(version_base="1.3", config_path="conf", config_name="compare")
def main(cfg: DictConfig) -> None:
    compare(cfg, HydraConfig.get().runtime.choices.dataset)


if __name__ == "__main__":
    with one_line_errors(), end_on_ctrl_c():
        main()
