"""ONNX Runtime's own quantizers, and the times of all forms."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from qgraph.tools.bench.engines import Job, measure

from qgraph.data import Data

ROUNDS = 3


def dynamic(source: Path, target: Path, data: Path) -> None:
    """``quantize_dynamic`` with its defaults; ``data`` is not needed."""
    from onnxruntime.quantization import quantize_dynamic

    logging.disable(logging.WARNING)
    quantize_dynamic(source, target)


def static(source: Path, target: Path, data: Path) -> None:
    """``quantize_static`` with its defaults (Q/DQ, minima and maxima) on the batches of the folder ``data``."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    logging.disable(logging.WARNING)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[dict[str, np.ndarray]] = iter(Data(str(data)))

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    quantize_static(source, target, Reader())


def times(files: dict[str, Path], data: Path) -> dict[str, Any]:
    """Milliseconds a call of every form on one thread, and how many times longer the float file takes; processes alternate."""
    results = measure([Job(str(file), str(data), (), 1) for file in files.values()], ROUNDS)
    first = results[0]
    rows = {}
    for form, result in zip(files, results, strict=True):
        ratios = [a / b for a, b in zip(first.times, result.times, strict=True)]
        rows[form] = {"ms": round(result.median * 1e3, 4), "faster": round(float(np.median(ratios)), 3)}
    return rows
