"""Attention as one kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, codes, defines, known
from qgraph.execute.integer.norm import probabilities


@defines("Attention")
def attention(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    q, k, v, mask = (*x, None)[:4]
    assert q is not None and k is not None and v is not None
    turn = (0, 2, 1, 3) if a["token_major"] else (0, 1, 2, 3)
    q, k, v = (u.astype(np.int64).transpose(turn) - z for u, z in ((q, a["q_zero"]), (k, a["k_zero"]), (v, a["v_zero"])))
    t = (q @ k.swapaxes(-1, -2)).astype(np.float32) * F(a["scale"])
    if mask is not None:
        t = known(t + mask).astype(np.float32)  # a NaN score counts as -infinity
    acc = probabilities(t, 255, np.dtype(np.uint8)).astype(np.int64) @ v
    return codes((acc.astype(np.float32) * F(a["multiplier"])).transpose(turn), a, dtype)
