"""Graphs as torch modules that train: ``to_torch`` and ``from_torch``."""

from qgraph.execute.convert import to_torch
from qgraph.execute.write_back import from_torch

__all__ = ["from_torch", "to_torch"]
