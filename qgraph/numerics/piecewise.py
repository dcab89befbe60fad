"""Functions that are a polynomial in each of a few pieces."""

from __future__ import annotations

import numpy as np


def evaluate(x: np.ndarray, coefficients: np.ndarray, start: int, shift: int) -> np.ndarray:
    """float32 values at the integers ``x``: one rounding a multiplication and an addition (Horner's scheme).

    ``coefficients`` float32 [terms, pieces], the constant terms first; the first piece starts at ``start``, each has
    2^``shift`` integers, the outer ones have no end. A polynomial counts from the middle of its piece.
    """
    apart = x.astype(np.int64) - start
    piece = np.clip(apart >> shift, 0, coefficients.shape[1] - 1)
    d = (apart - (piece << shift) - (1 << shift) // 2).astype(np.float32)
    t = coefficients[-1][piece]
    with np.errstate(over="ignore", invalid="ignore"):
        for c in coefficients[-2::-1]:
            t = t * d + c[piece]
    return np.asarray(t)
