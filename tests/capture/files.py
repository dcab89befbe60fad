"""Files run as they are, to compare with what is read from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort


def session_of(path: Path, *, optimize: bool = False) -> ort.InferenceSession:
    """A file in ONNX Runtime; without ``optimize`` node by node."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(path: Path, feed: dict[str, np.ndarray], *, optimize: bool = False) -> np.ndarray:
    """The first output that ONNX Runtime computes for a file."""
    return session_of(path, optimize=optimize).run(None, feed)[0]


def sqnr(wanted: np.ndarray, found: np.ndarray) -> float:
    """Signal to noise in dB."""
    error = ((wanted - found).astype(float) ** 2).sum()
    return float("inf") if error == 0 else 10 * float(np.log10((wanted.astype(float) ** 2).sum() / error))
