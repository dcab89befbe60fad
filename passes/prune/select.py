"""Which single weights stay: masks from magnitudes, or from any other score.

All take scores (larger matters more) and return booleans of the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def largest(scores: Sequence[np.ndarray], sparsity: float, scope: str, least: float) -> list[np.ndarray]:
    """Keep the largest 1 - ``sparsity`` of each tensor (``layer``), or of all together (``global``).

    Every tensor keeps at least the part ``least``, one element at the least.
    """
    if scope == "layer":
        return [_top(s, s.size - round(sparsity * s.size), least) for s in scores]
    flat = np.concatenate([s.reshape(-1) for s in scores]) if scores else np.zeros(0)
    gone = round(sparsity * flat.size)
    threshold = np.partition(flat, gone - 1)[gone - 1] if gone else -math.inf
    return [_top(s, int((s > threshold).sum()), least) for s in scores]


def _top(score: np.ndarray, count: int, least: float) -> np.ndarray:
    count = min(score.size, max(count, math.ceil(least * score.size), 1))
    keep = np.zeros(score.size, bool)
    keep[np.argsort(-score.reshape(-1), kind="stable")[:count]] = True
    return keep.reshape(score.shape)


def above(score: np.ndarray, threshold: float) -> np.ndarray:
    """Keep what is larger than ``threshold``, and the largest element in any case."""
    keep = score > threshold
    keep.reshape(-1)[int(score.argmax())] = True
    return keep


def n_of_m(score: np.ndarray, n: int, m: int, axis: int) -> np.ndarray:
    """Keep the ``n`` largest of every ``m`` neighbours along ``axis``, whose length ``m`` divides (Mishra et al. 2021)."""
    moved = np.moveaxis(score, axis, -1)
    groups = moved.reshape(*moved.shape[:-1], -1, m)
    order = np.argsort(-groups, axis=-1, kind="stable")
    keep = np.zeros(groups.shape, bool)
    np.put_along_axis(keep, order[..., :n], True, -1)
    return np.moveaxis(keep.reshape(moved.shape), -1, axis)


def blocks(score: np.ndarray, sparsity: float, block: tuple[int, int], axes: tuple[int, int], least: float) -> np.ndarray:
    """Keep whole blocks of ``block`` elements along the two ``axes`` (which they divide), those with the largest sums."""
    moved = np.moveaxis(score, axes, (0, 1))
    rows, columns = moved.shape[0] // block[0], moved.shape[1] // block[1]
    cut = moved.reshape(rows, block[0], columns, block[1], -1)
    keep = _top(cut.sum((1, 3)), round((1 - sparsity) * rows * columns * cut.shape[-1]), least)
    whole = np.broadcast_to(keep[:, None, :, None, :], cut.shape).reshape(moved.shape)
    return np.ascontiguousarray(np.moveaxis(whole, (0, 1), axes))
