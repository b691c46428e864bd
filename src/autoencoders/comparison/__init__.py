"""Finished runs in, one table and one page out."""

from autoencoders.comparison.rows import FinishedRun
from autoencoders.comparison.table import Comparison

__all__ = ["Comparison", "FinishedRun"]
