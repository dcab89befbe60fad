"""Bring models into the IR: from PyTorch (``torch.export``) or from an ONNX file."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {"from_onnx": "onnx_file", "read": "onnx_file", "from_torch": "torch_module", "from_factory": "torch_module"}
__all__ = ["from_factory", "from_onnx", "from_torch", "read"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"qgraph.capture.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'qgraph.capture' has no attribute {name!r}")
