"""Normalisations and softmax of float32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, defines, ordered_sum
from qgraph.execute.integer.functions import exp_below, exp_wide, log_wide

Array = np.ndarray
D = np.float64


def _along(x: Array | None, axis: int) -> Array:
    """With ``axis`` as the last one."""
    assert x is not None
    return np.moveaxis(x, axis, -1)


def _back(y: Array, axis: int) -> Array:
    return np.ascontiguousarray(np.moveaxis(y, -1, axis))


def _exponentials(x: Array) -> tuple[Array, Array, Array]:
    """x less the largest, exp of that, and its sum, along the last axis."""
    t = x - x.max(-1, keepdims=True, initial=-np.inf)
    e = exp_below(t)
    return t, e, ordered_sum(e.astype(D))[..., None]


@defines("ai.onnx.Softmax")
def softmax(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    _, e, s = _exponentials(_along(x[0], a["axis"]))
    return _back(e * (1 / s).astype(F), a["axis"])


@defines("LogSoftmax")
def log_softmax(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    t, _, s = _exponentials(_along(x[0], a["axis"]))
    return _back(t - log_wide(s).astype(F), a["axis"])


@defines("Hardmax")
def hardmax(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    rows = _along(x[0], a["axis"])
    at = np.zeros(rows.shape[:-1], np.int64)
    for i in range(rows.shape[-1]):
        better = rows[..., i] > np.take_along_axis(rows, at[..., None], -1)[..., 0]
        at = np.where(better, i, at)
    return _back((np.arange(rows.shape[-1]) == at[..., None]).astype(F), a["axis"])


def _moments(rows: Array) -> tuple[Array, Array]:
    """Mean and variance along the last axis, in double."""
    n, wide = rows.shape[-1], rows.astype(D)
    m = ordered_sum(wide)[..., None] / n
    return m, ordered_sum((wide - m) ** 2)[..., None] / n


def _normalised(rows: Array, epsilon: float) -> tuple[Array, Array, Array]:
    m, v = _moments(rows)
    mean, inverse = m.astype(F), (1 / np.sqrt(v + D(F(epsilon)))).astype(F)
    return (rows - mean) * inverse, mean, inverse


@defines("LayerNormalization")
def layer_normalization(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[Array, Array, Array]:
    data, scale, bias = (*x, None)[:3]
    assert data is not None and scale is not None
    axis = a["axis"] % data.ndim
    y, mean, inverse = _normalised(data.reshape(*data.shape[:axis], -1), a["epsilon"])
    y = y * scale.reshape(-1)
    y = y if bias is None else y + bias.reshape(-1)
    each = (*data.shape[:axis], *[1] * (data.ndim - axis))
    return y.reshape(data.shape), mean.reshape(each), inverse.reshape(each)


@defines("RMSNormalization")
def rms_normalization(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    data, scale = x[:2]
    assert data is not None and scale is not None
    rows = data.reshape(*data.shape[: a["axis"] % data.ndim], -1)
    squares = ordered_sum(rows.astype(D) ** 2)[..., None] / rows.shape[-1]
    inverse = (1 / np.sqrt(squares + D(F(a["epsilon"])))).astype(F)
    return ((rows * inverse) * scale.reshape(-1)).reshape(data.shape)


def _channels(values: Array, rank: int) -> Array:
    return values.reshape(1, -1, *[1] * (rank - 2))


def _groups(x: Arrays, groups: int, epsilon: float) -> Array:
    data, scale, bias = x[:3]
    assert data is not None and scale is not None and bias is not None
    y, _, _ = _normalised(data.reshape(data.shape[0], groups, -1), epsilon)
    return y.reshape(data.shape) * _channels(scale, data.ndim) + _channels(bias, data.ndim)


@defines("GroupNormalization")
def group_normalization(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    return _groups(x, a["num_groups"], a["epsilon"])


@defines("InstanceNormalization")
def instance_normalization(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    assert x[0] is not None
    return _groups(x, x[0].shape[1], a["epsilon"])


@defines("BatchNormalization")
def batch_normalization(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    data, *parameters = (v for v in x if v is not None)
    scale, bias, mean, variance = (_channels(v, data.ndim) for v in parameters)
    inverse = (1 / np.sqrt(variance.astype(D) + D(F(a["epsilon"])))).astype(F)
    return ((data - mean) * inverse) * scale + bias


@defines("LRN")
def response_normalization(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    data, size = x[0], a["size"]
    assert data is not None
    wide, squares = data.astype(D), np.zeros(data.shape)
    for c in range(data.shape[1]):
        for k in range(max(0, c - (size - 1) // 2), min(data.shape[1], c + size // 2 + 1)):
            squares[:, c] += wide[:, k] * wide[:, k]
    alpha, beta, bias = (D(F(a[name])) for name in ("alpha", "beta", "bias"))
    return data * exp_wide(-beta * log_wide(bias + (alpha / size) * squares)).astype(F)


@defines("LpNormalization")
def lp_normalization(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    rows = _along(x[0], a["axis"])
    wide = rows.astype(D)
    s = ordered_sum(np.abs(wide)) if a["p"] == 1 else np.sqrt(ordered_sum(wide * wide))
    divisor = s.astype(F)[..., None]
    return _back(rows / np.where(divisor == 0, F(1), divisor), a["axis"])


@defines("MeanVarianceNormalization")
def mean_variance_normalization(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    assert x[0] is not None
    axes = sorted({axis % x[0].ndim for axis in a.get("axes", (0, 2, 3))})
    kept = [d for d in range(x[0].ndim) if d not in axes]
    moved = x[0].transpose(*kept, *axes)
    rows = moved.reshape(*moved.shape[: len(kept)], math.prod(moved.shape[len(kept) :]))
    m, v = _moments(rows)
    y = (rows - m.astype(F)) / (np.sqrt(v) + 1e-9).astype(F)
    return np.ascontiguousarray(y.reshape(moved.shape).transpose(np.argsort([*kept, *axes])))
