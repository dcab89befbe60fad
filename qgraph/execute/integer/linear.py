"""Products with constant weights, and of two activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, added, codes, defines, weights


@defines("Linear")
def linear(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, weight, multiplier, bias, rows, residual = (*x, None, None, None)[:6]
    assert data is not None and weight is not None and multiplier is not None
    w = weights(weight, a)
    centred = data.astype(np.int64) - a["x_zero"]
    block = a["block"]
    if block:
        t = np.zeros((*data.shape[:-1], len(w)), np.float32)
        for number, start in enumerate(range(0, w.shape[1], block)):
            acc = centred[..., start : start + block] @ w[:, start : start + block].T
            t = t + acc.astype(np.float32) * multiplier.reshape(-1, len(w))[number]
        if rows is not None:
            t = t * rows
    else:
        acc = centred @ w.T
        if bias is not None and bias.dtype == np.int32:
            acc = acc + bias
        t = acc.astype(np.float32)
        t = (t if rows is None else t * rows) * multiplier
    if bias is not None and bias.dtype == np.float32:
        t = t + bias
    return codes(added(t, residual, a), a, dtype)


@defines("MatMul")
def matmul(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = (v.astype(np.int64) for v in x[:2] if v is not None)
    return codes(((p - a["a_zero"]) @ (q - a["b_zero"])).astype(np.float32) * F(a["multiplier"]), a, dtype)
