"""What the definitions of several families share, and their registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

F = np.float32
Arrays = list[np.ndarray | None]
Definition = Callable[[Arrays, Mapping[str, Any], np.dtype], Any]
DEFINITIONS: dict[str, Definition] = {}
"""Op type -> its definition."""


def defines(op: str) -> Callable[[Definition], Definition]:
    """Register a function of inputs (None where left out), attributes (with their defaults) and the dtype of the first output.

    It returns the output, or a tuple of all.
    """

    def register(definition: Definition) -> Definition:
        DEFINITIONS[op] = definition
        return definition

    return register


def codes(t: np.ndarray, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    """Round half to even, add the zero point, clamp; NaN is the lowest code. float32 passes through."""
    if dtype == np.float32:
        return np.asarray(t, np.float32)
    info, zero = np.iinfo(dtype), a.get("y_zero", 0)
    low, high = a.get("clamp_min", info.min), a.get("clamp_max", info.max)
    return np.clip(np.rint(known(np.asarray(t, np.float64))) + zero, low, high).astype(dtype)


def known(t: np.ndarray) -> np.ndarray:
    """``t`` with -infinity for NaN."""
    return np.where(np.isnan(t), -np.inf, t)


def real(x: np.ndarray, zero: int) -> np.ndarray:
    return (x.astype(np.int64) - zero).astype(np.float32)


def weights(array: np.ndarray, a: Mapping[str, Any]) -> np.ndarray:
    """The codes of a weight: as they are stored, or chosen among the op's levels."""
    chosen = array.astype(np.int64)
    return np.asarray(a["levels"], np.int64)[chosen] if "levels" in a else chosen


def channels_first(x: np.ndarray | None) -> np.ndarray:
    """Convolutions and pools are defined channels first and read and write channels last."""
    assert x is not None
    return np.moveaxis(x, -1, 1)


def added(t: np.ndarray, residual: np.ndarray | None, a: Mapping[str, Any]) -> np.ndarray:
    """``t`` and the residual, if there is one; with ``staged``, ``t`` is rounded to codes of its own first."""
    if residual is None:
        return t
    if a.get("staged"):
        middle = np.clip(np.rint(t.astype(np.float64)) + a["mid_zero"], a["mid_min"], a["mid_max"]) - a["mid_zero"]
        t = middle.astype(np.float32) * F(a["mid_multiplier"])
    return t + real(residual, a["residual_zero"]) * F(a["residual_multiplier"])


def ordered_sum(t: np.ndarray) -> np.ndarray:
    """``osum`` of the dialect's notation, over the last axis of float64 ``t``: 16 lanes, joined pairwise."""
    lanes = np.zeros((*t.shape[:-1], 16))
    for first in range(0, t.shape[-1], 16):
        part = t[..., first : first + 16]
        lanes[..., : part.shape[-1]] += part
    for step in (8, 4, 2, 1):
        lanes = lanes[..., :step] + lanes[..., step:]
    return lanes[..., 0]
