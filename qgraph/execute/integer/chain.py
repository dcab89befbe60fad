"""Sums of float32 products: one chain of fused multiply-adds, exact on whatever computes it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from qgraph.execute.integer.common import F


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c of float32, rounded once (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).

    In float64 the product is exact and the sum has an error that is known; the sum is rounded to odd, which keeps what the
    rounding to float32 needs.
    """
    product, addend = np.asarray(a, np.float64) * np.asarray(b, np.float64), np.asarray(c, np.float64)
    total = np.asarray(product + addend)
    back = total - product
    error = (product - (total - back)) + (addend - back)
    even = (total.view(np.int64) & 1) == 0
    odd = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.where(np.isfinite(total) & (error != 0) & even, odd, total).astype(F)


def chain(pairs: Iterable[tuple[np.ndarray, np.ndarray]], shape: tuple[int, ...]) -> np.ndarray:
    """acc = 0 of that shape, then acc = fma(a, b, acc) for each pair in order."""
    acc = np.zeros(shape, F)
    for a, b in pairs:
        acc = fma(a, b, acc)
    return acc
