"""Finished runs side by side: read, put into one table, and written as one page."""

from autoencoders.comparison.runs import read_runs
from autoencoders.comparison.table import Comparison

__all__ = ["Comparison", "read_runs"]
