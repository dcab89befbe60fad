"""Graphs that run: as torch modules that train (``to_torch``, ``from_torch``), in integers, and in ONNX Runtime."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qgraph.execute.convert import to_torch
    from qgraph.execute.write_back import from_torch

_PUBLIC = {"from_torch": "write_back", "to_torch": "convert"}
__all__ = ["from_torch", "to_torch"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"qgraph.execute.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'qgraph.execute' has no attribute {name!r}")
