"""Products of float32 matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.chain import chain
from qgraph.execute.integer.common import Arrays, F, defines


def product(a: np.ndarray, b: np.ndarray, transpose_a: bool, transpose_b: bool) -> np.ndarray:
    """a [..., m, k] times b [..., k, n], or vectors in place of matrices."""
    x, w = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    x, w = (x.swapaxes(-1, -2) if transpose_a else x), (w.swapaxes(-1, -2) if transpose_b else w)
    lead = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
    acc = chain(((x[..., i, None], w[..., None, i, :]) for i in range(x.shape[-1])), (*lead, x.shape[-2], w.shape[-1]))
    rows = lead + ((acc.shape[-2],) if a.ndim > 1 else ())
    return acc.reshape(rows + ((acc.shape[-1],) if b.ndim > 1 else ()))


def clamped(t: np.ndarray, a: Mapping[str, Any]) -> np.ndarray:
    """``t`` between clamp_min and clamp_max, where they are given; NaN stays."""
    if "clamp_min" in a:
        t = np.where(F(a["clamp_min"]) > t, F(a["clamp_min"]), t)
    if "clamp_max" in a:
        t = np.where(F(a["clamp_max"]) < t, F(a["clamp_max"]), t)
    return t


@defines("ai.onnx.MatMul")
def matmul(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = x
    assert p is not None and q is not None
    return product(p, q, False, False)


@defines("Gemm")
def gemm(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q, c = (*x, None)[:3]
    assert p is not None and q is not None
    t = product(p, q, a["transA"], a["transB"]) * F(a["alpha"])
    return t if c is None else t + c * F(a["beta"])


@defines("FusedMatMul")
def fused_matmul(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q, bias, residual = (*x, None, None)[:4]
    assert p is not None and q is not None
    t = product(p, q, a["transA"], a["transB"]) * F(a["alpha"])
    t = t if bias is None else t + bias
    return clamped(t if residual is None else t + residual, a)
