"""qgraph: compiler-style graph transformations that compress neural networks.

The names below are imported on first use, so that ``import qgraph`` and ``qgraph --help`` stay quick.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Pipeline": "qgraph.pipeline",
    "QGraphError": "qgraph.errors",
    "Session": "qgraph.deploy.session",
    "compare": "qgraph.analyze.compare",
    "compile": "qgraph.deploy.program",
    "load": "qgraph.ir.io",
    "save": "qgraph.ir.io",
    "transform": "qgraph.workflow",
}
__all__ = sorted([*_PUBLIC, "capture"])


def __getattr__(name: str) -> Any:
    if name == "capture":
        return importlib.import_module("qgraph.capture")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'qgraph' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
