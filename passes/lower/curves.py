"""Curves: smooth functions of int16 codes as polynomials, in place of a table of 65536 entries.

    y = f(x), x int16  ->  32 segments of 2^shift codes with a polynomial of degree 4 in each

The segments lie where the function bends; the first and the last reach to the ends of the codes, where it is straight. A
kernel computes 16 values at a time from 640 bytes of coefficients; a table of 128 KiB gives one value a load.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from qgraph.numerics import piecewise

SEGMENTS, DEGREE = 32, 4
CLOSE = 1 / 16  # of a step: what lies further from a half is rounded to the same code
LOW, HIGH = -(1 << 15), 1 << 15


@dataclasses.dataclass(frozen=True)
class Curve:
    """``coefficients`` float32 [5, 32], the constant terms first; the first segment starts at code ``start``."""

    coefficients: np.ndarray
    start: int
    shift: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """float32 values at the codes ``x``, one rounding a multiplication and an addition."""
        return piecewise.evaluate(x, self.coefficients, self.start, self.shift)


def straight(y: np.ndarray) -> int:
    """How many of the first elements lie on a line through both ends of that piece."""

    def fits(n: int) -> bool:
        line = np.linspace(y[0], y[n - 1], n)
        return bool(np.abs(line - y[:n]).max() <= CLOSE / 2)

    good, bad = 1, len(y) + 1
    while bad - good > 1:
        n = (good + bad) // 2
        good, bad = (n, bad) if fits(n) else (good, n)
    return good


def fit(y: np.ndarray, low: int, high: int) -> Curve | None:
    """The curve through ``y`` (float32 [65536], one value a code, in steps of the output, which is clamped to [low, high]).

    None when it would come further than 1/16 of a step from some of them: the function has corners, or bends everywhere.
    """
    if not np.isfinite(y).all():
        return None
    y = np.clip(y.astype(np.float64), 2 * low - high, 2 * high - low)
    left, right = straight(y), straight(y[::-1])
    width = max(len(y) - left - right, 1)
    shift = max(int(np.ceil(np.log2(width / (SEGMENTS - 2)))), 0)
    if left + right > len(y) or SEGMENTS << shift >= len(y):
        shift, start = 11, LOW
    else:
        start = int(np.clip(LOW + left - (1 << shift), LOW, HIGH - (SEGMENTS << shift)))
    size = 1 << shift
    edges = start + np.arange(SEGMENTS + 1) * size
    edges[0], edges[-1] = LOW, HIGH
    coefficients = np.zeros((DEGREE + 1, SEGMENTS), np.float32)
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        codes = np.arange(a, b)
        d = (codes - (start + i * size + size // 2)) / (b - a)  # in units of the segment, else the powers are badly scaled
        points = np.linspace(0, len(d) - 1, min(len(d), 1024)).round().astype(int)  # enough for five coefficients
        degree = min(DEGREE, len(points) - 1)
        powers = np.polynomial.polynomial.polyfit(d[points], y[codes[points] - LOW], degree)
        coefficients[: degree + 1, i] = powers / float(b - a) ** np.arange(degree + 1)
    curve = Curve(coefficients, start, shift)
    made, wanted = (np.clip(t.astype(np.float64), low - 1, high + 1) for t in (curve(np.arange(LOW, HIGH)), y))
    return curve if np.abs(made - wanted).max() <= CLOSE else None
