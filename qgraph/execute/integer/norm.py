"""Normalisations and softmax."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, codes, defines, known, real


def _normalise(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    """Mean and variance from exact integer sums, in double; then float32."""
    whole = x.astype(np.int64)
    count = math.prod(x.shape[i] for i in axes)
    total, squares = whole.sum(axes, keepdims=True), (whole * whole).sum(axes, keepdims=True)
    variance = (count * squares - total * total).astype(np.float64) / (float(count) * float(count))
    mean = (total.astype(np.float64) / count).astype(np.float32)
    inverse = (1.0 / np.sqrt(variance + np.float64(F(epsilon)))).astype(np.float32)
    return (x.astype(np.float32) - mean) * inverse


@defines("LayerNorm")
def layer_norm(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, gamma, beta = x[:3]
    assert data is not None and gamma is not None and beta is not None
    axes = tuple(range(data.ndim - gamma.ndim, data.ndim))
    return codes(_normalise(data, axes, a["epsilon"]) * gamma + beta, a, dtype)


@defines("GroupNorm")
def group_norm(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, gamma, beta = x[:3]
    assert data is not None and gamma is not None and beta is not None
    split = data.reshape(data.shape[0], a["groups"], -1)
    t = _normalise(split, (2,), a["epsilon"]).reshape(data.shape)
    form = (1, -1, *[1] * (data.ndim - 2))
    return codes(t * gamma.reshape(form) + beta.reshape(form), a, dtype)


def _exponentials(t: np.ndarray) -> np.ndarray:
    """rne(2^20 exp(t - max)) along the last axis, by a polynomial of degree 5 on the fraction of t / ln 2."""
    x = (t - t.max(-1, keepdims=True)) * F(1.44269504)  # masked scores lie at the end of float32
    x = np.where(x > -30, x, F(-30))  # nor NaN, of two infinities
    n = np.rint(x)
    f = x - n
    p = np.full_like(f, 0.0013333558)
    for c in (0.0096181291, 0.0555041087, 0.2402265070, 0.6931471806, 1.0):
        p = p * f + F(c)
    return np.rint(p * np.exp2(n + 20).astype(np.float32)).astype(np.int64)


def probabilities(t: np.ndarray, top: float, dtype: np.dtype) -> np.ndarray:
    """Softmax over the last axis of float32 ``t``; a row of -inf is zeros."""
    dead = np.isneginf(t).all(-1, keepdims=True)
    e = _exponentials(np.where(dead, F(0), t).astype(np.float32))
    total = e.sum(-1, keepdims=True).astype(np.float32)
    if dtype == np.float32:
        return np.where(dead, F(0), e.astype(np.float32) / total)
    p = known(np.rint(e.astype(np.float32) * (F(top) / total)))
    return np.where(dead, 0, np.clip(p, 0, 255 if dtype == np.uint8 else 32767)).astype(dtype)


@defines("Softmax")
def softmax(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    t = np.moveaxis(real(x[0], a["x_zero"]) * F(a["scale"]), a["axis"], -1)
    return np.ascontiguousarray(np.moveaxis(probabilities(t, a["top"], dtype), -1, a["axis"]))


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


@defines("LocalResponseNorm")
def response_norm(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    whole, size = x[0].astype(np.int64) - a["x_zero"], a["size"]
    squares = np.zeros_like(whole)
    for c in range(whole.shape[1]):
        first, last = max(0, c - (size - 1) // 2), min(whole.shape[1], c + size // 2 + 1)
        squares[:, c] = (whole[:, first:last] ** 2).sum(1)
    base = np.float64(F(a["bias"])) + np.float64(F(a["factor"])) * squares
    power = np.vectorize(lambda b: _power(b, -float(F(a["beta"]))), otypes=[np.float64])
    gain = power(base).astype(np.float32) if base.size else base.astype(np.float32)
    return codes((whole.astype(np.float32) * F(a["multiplier"])) * gain, a, dtype)
