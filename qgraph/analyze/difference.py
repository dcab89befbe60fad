"""The difference of a value between two forms of a model.

cosine = <a, b> / (|a| |b|)        SQNR = 10 log10(sum a^2 / sum (a - b)^2)  in dB, a the first model
"""

from __future__ import annotations

import dataclasses

import numpy as np

CHUNK = 1 << 15
"""Elements compared at once: float64 copies that stay in the cache."""


@dataclasses.dataclass
class Difference:
    """Accumulated difference of one value between model a and model b; ``peak`` is the largest magnitude in a."""

    name: str
    signal: float = 0.0
    noise: float = 0.0
    other: float = 0.0
    product: float = 0.0
    max_error: float = 0.0
    peak: float = 0.0
    unequal: int = 0
    count: int = 0

    def update(self, a: np.ndarray, b: np.ndarray) -> None:
        x, y = a.reshape(-1), b.reshape(-1)
        for start in range(0, x.size, CHUNK):
            self._add(x[start : start + CHUNK].astype(np.float64), y[start : start + CHUNK].astype(np.float64))

    def _add(self, x: np.ndarray, y: np.ndarray) -> None:
        with np.errstate(invalid="ignore"):  # infinity less infinity
            error = x - y
        self.unequal += int(np.count_nonzero(x != y))
        noise = _dot(error, error)
        if not np.isfinite(noise):
            ok = np.isfinite(x) & np.isfinite(y)
            x, y, error = x[ok], y[ok], error[ok]
            noise = _dot(error, error)
        self.noise += noise
        self.signal += _dot(x, x)
        self.other += _dot(y, y)
        self.product += _dot(x, y)
        self.max_error = max(self.max_error, float(error.max(initial=0.0)), -float(error.min(initial=0.0)))
        self.peak = max(self.peak, float(x.max(initial=0.0)), -float(x.min(initial=0.0)))
        self.count += x.size

    def add(self, other: Difference) -> None:
        """Take in the elements that ``other`` has seen."""
        for total in ("signal", "noise", "other", "product", "unequal", "count"):
            setattr(self, total, getattr(self, total) + getattr(other, total))
        self.max_error, self.peak = max(self.max_error, other.max_error), max(self.peak, other.peak)

    @property
    def sqnr(self) -> float:
        """dB; infinite when equal."""
        if self.noise == 0.0:
            return float("inf")
        share = self.signal / self.noise
        return 10 * float(np.log10(share)) if share else float("-inf")

    @property
    def cosine(self) -> float:
        if np.isinf(self.noise):
            return 0.0
        norm = (self.signal * self.other) ** 0.5
        return self.product / norm if norm else float(self.noise == 0.0)

    def row(self) -> dict[str, object]:
        return {
            "name": self.name,
            "sqnr_db": self.sqnr,
            "cosine": self.cosine,
            "max_error": self.max_error,
            "unequal": self.unequal,
            "elements": self.count,
        }


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """Dot product on one thread: those of BLAS would spin on beside the next run of the models."""
    return float(np.einsum("i,i->", a, b))
