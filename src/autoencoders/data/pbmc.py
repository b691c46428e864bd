"""Blood cells, described by their genes."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import validate_call

from autoencoders.data.table import Table
from autoencoders.errors import InputError, how_to_install


class PBMC(Table):
    """700 blood cells, 765 genes, 10 cell types: of the 68,000 cells of Zheng et al. 2017 (doi
    10.1038/ncomms14049) those that the scanpy package carries, normalised, log(1 + x).

    Args:
        labels: what names the classes: `bulk_labels`, the cell types, `louvain` or `phase`.
        common: what every data set takes, see `DataModule`.
    """

    @validate_call
    def __init__(self, *, labels: str | None = "bulk_labels", **common: Any) -> None:
        super().__init__(layer="raw", labels=labels, features=None, **common)
        self.label = "PBMC"

    def find(self, path: Path | None) -> Path:
        scanpy = find_spec("scanpy")  # which takes seconds to import
        if scanpy is None or scanpy.origin is None:
            raise InputError(
                "dataset=pbmc: the scanpy package carries these cells and is not installed:"
                f" {how_to_install('expression')}"
            )
        return Path(scanpy.origin).parent / "datasets/10x_pbmc68k_reduced.h5ad"
