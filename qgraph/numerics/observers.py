"""Streaming range estimators: fixed memory whatever the number of batches.

Each observer sees arrays through ``update`` and answers ``range(kind, symmetric)`` with the interval that the
quantizer should cover. Histograms keep ``BINS`` bins over ``[0, max|x|]`` for each sign; when a batch exceeds the
range, neighbouring bins are merged until it fits, so that nothing is stored and no second pass is needed.
"""

from __future__ import annotations

import numpy as np

from qgraph.numerics.affine import IntType

BINS = 2048


class Observer:
    """Base: ``update(x)`` with float arrays of any shape, then ``range(kind, symmetric)`` -> (low, high)."""

    def __init__(self) -> None:
        self.low = np.inf
        self.high = -np.inf

    def update(self, x: np.ndarray) -> None:
        if x.size:
            self._update(x, float(x.min()), float(x.max()))

    def _update(self, x: np.ndarray, low: float, high: float) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)

    @property
    def empty(self) -> bool:
        return self.low > self.high

    def range(self, kind: IntType, symmetric: bool) -> tuple[float, float]:
        return (0.0, 0.0) if self.empty else (self.low, self.high)


class MinMax(Observer):
    """The smallest and the largest value seen."""


class MovingAverage(Observer):
    """Exponential moving average of each batch's extremes; ``momentum`` is the weight of the past."""

    def __init__(self, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum

    def _update(self, x: np.ndarray, low: float, high: float) -> None:
        if self.empty:
            self.low, self.high = low, high
        else:
            self.low = self.momentum * self.low + (1 - self.momentum) * low
            self.high = self.momentum * self.high + (1 - self.momentum) * high


class ChannelStatistics:
    """Largest magnitude and mean of each channel of a value, over batches."""

    def __init__(self) -> None:
        self.count = 0
        self.peak: np.ndarray | float = 0.0
        self.sum: np.ndarray | float = 0.0

    def update(self, low: np.ndarray, high: np.ndarray, total: np.ndarray, count: int) -> None:
        """Add one batch: extremes and sum of each channel, and the number of elements behind them."""
        if count:
            self.peak = np.maximum(self.peak, np.maximum(high, -low))
            self.sum = self.sum + total.astype(np.float64)
            self.count += count

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(self.sum) / max(1, self.count)


class Histogram(MinMax):
    """Base of the histogram methods: counts over ``2 * BINS`` bins, the middle edge at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = np.zeros(2 * BINS, np.int64)
        self.width = 0.0

    def _update(self, x: np.ndarray, low: float, high: float) -> None:
        super()._update(x, low, high)
        peak = max(abs(low), abs(high))
        if peak == 0.0:
            self.counts[BINS] += x.size
            return
        if self.width == 0.0:
            self.width = peak / BINS
        while self.width * BINS < peak * (1 - 1e-6):
            self._double()
        index = np.floor(x.reshape(-1) * (1.0 / self.width)).astype(np.int32)
        np.clip(index, -BINS, BINS - 1, out=index)
        self.counts += np.bincount(index + BINS, minlength=2 * BINS)

    def _double(self) -> None:
        half = self.counts.reshape(2, BINS // 2, 2).sum(2)
        self.counts[:] = 0
        self.counts[BINS // 2 : BINS] = half[0]
        self.counts[BINS : BINS + BINS // 2] = half[1]
        self.width *= 2

    @property
    def centers(self) -> np.ndarray:
        return (np.arange(-BINS, BINS) + 0.5) * self.width

    def _shrink(self, fraction: float) -> tuple[float, float]:
        """The observed range with both ends scaled by ``fraction``."""
        return self.low * fraction, self.high * fraction


class Percentile(Histogram):
    """Clip so that ``percentile`` % of the values lie inside, the rest split between both tails."""

    def __init__(self, percentile: float = 99.99) -> None:
        super().__init__()
        self.tail = (1 - percentile / 100) / 2

    def range(self, kind: IntType, symmetric: bool) -> tuple[float, float]:
        if self.empty or self.width == 0.0:
            return super().range(kind, symmetric)
        mass = np.cumsum(self.counts) / self.counts.sum()
        edges = np.arange(-BINS, BINS + 1) * self.width
        low = edges[int(np.searchsorted(mass, self.tail, side="right"))]
        high = edges[int(np.searchsorted(mass, 1 - self.tail)) + 1]
        return max(low, self.low), min(high, self.high)


class Mse(Histogram):
    """The clip, on a grid of 80 fractions of the range, with the least squared error of the histogram."""

    def range(self, kind: IntType, symmetric: bool) -> tuple[float, float]:
        if self.empty or self.width == 0.0:
            return super().range(kind, symmetric)
        best, answer = np.inf, (self.low, self.high)
        for fraction in np.linspace(0.2, 1.0, 81)[::-1]:
            low, high = self._shrink(float(fraction))
            if symmetric:
                high = max(-low, high)
                low = -high
            step = (high - low) / (kind.qmax - kind.qmin)
            inside = np.clip(np.rint((self.centers - low) / step), 0, kind.qmax - kind.qmin) * step + low
            error = float(((self.centers - inside) ** 2 * self.counts).sum())
            # uniform error inside one histogram bin is common to all candidates
            if error < best:
                best, answer = error, (low, high)
        return answer


class Entropy(Histogram):
    """The clip of |x| with the least KL divergence between the histogram and its quantized form (Migacz 2017)."""

    def range(self, kind: IntType, symmetric: bool) -> tuple[float, float]:
        if self.empty or self.width == 0.0:
            return super().range(kind, symmetric)
        magnitude = (self.counts[BINS:] + self.counts[:BINS][::-1]).astype(np.float64)
        levels = (kind.qmax - kind.qmin + 1) // 2
        last = int(np.flatnonzero(magnitude)[-1]) + 1
        best, clip = np.inf, last
        for size in range(min(levels, last), last + 1, 8):
            p = magnitude[:size].copy()
            p[-1] += magnitude[size:].sum()
            owner = np.arange(size) * levels // size
            used = magnitude[:size] > 0
            total = np.bincount(owner, magnitude[:size], levels)
            share = np.bincount(owner, used, levels)
            q = np.where(used, (total / np.maximum(share, 1))[owner], 0.0)
            p, q = p / p.sum(), (q + 1e-12) / (q + 1e-12).sum()
            mask = p > 0
            divergence = float((p[mask] * np.log(p[mask] / q[mask])).sum())
            if divergence < best:
                best, clip = divergence, size
        edge = clip * self.width
        return max(self.low, -edge), min(self.high, edge)


METHODS: dict[str, type[Observer]] = {
    "minmax": MinMax,
    "moving-average": MovingAverage,
    "percentile": Percentile,
    "entropy": Entropy,
    "mse": Mse,
}
