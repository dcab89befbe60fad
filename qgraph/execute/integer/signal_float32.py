"""Fourier transforms and what goes with them, from their equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, defines
from qgraph.execute.integer.functions import cos_wide, exp_wide, log_wide, sin_wide

LOG_10 = 2.302585092994046


def _transform(real: np.ndarray, imaginary: np.ndarray, inverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """F over the last axis."""
    n = real.shape[-1]
    angle = 6.283185307179586 * np.arange(n) / n
    cos, sin = cos_wide(angle), sin_wide(angle)
    return _parts(real, imaginary, cos, sin if inverse else -sin)


def _parts(x: np.ndarray, y: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = x.shape[-1]
    if n <= 1:
        return x, y
    p = next(p for p in range(2, n + 1) if n % p == 0)
    parts = [_parts(x[..., r::p], y[..., r::p], cos[::p], sin[::p]) for r in range(p)]
    k = np.arange(n)
    a, b = (part[..., k % (n // p)] for part in parts[0])
    for r in range(1, p):
        u, v = (part[..., k % (n // p)] for part in parts[r])
        c, d = cos[k * r % n], sin[k * r % n]
        a, b = a + (c * u - d * v), b + (c * v + d * u)
    return a, b


def _number(x: np.ndarray | None) -> int | None:
    return None if x is None else int(x.reshape(()))


def _fitted(t: np.ndarray, n: int) -> np.ndarray:
    """The last axis cut or continued with zeros."""
    return np.pad(t[..., :n], [(0, 0)] * (t.ndim - 1) + [(0, max(0, n - t.shape[-1]))])


@defines("DFT")
def dft(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, length, axis = x[0], _number(x[1] if len(x) > 1 else None), _number(x[2] if len(x) > 2 else None)
    assert data is not None
    inverse, onesided, wide = bool(a["inverse"]), bool(a["onesided"]), data.astype(np.float64)
    at = (-2 if axis is None else axis) % data.ndim
    real = np.moveaxis(wide[..., 0], at, -1)
    imaginary = np.moveaxis(wide[..., 1], at, -1) if data.shape[-1] == 2 else np.zeros(real.shape)
    n = length if length is not None else 2 * (data.shape[at] - 1) if inverse and onesided else data.shape[at]
    if inverse and onesided:
        real, imaginary = _fitted(real, n // 2 + 1), _fitted(imaginary, n // 2 + 1)
        rest = np.arange(n // 2 + 1, n)
        real = np.concatenate([real[..., :n], real[..., n - rest]], -1)
        imaginary = np.concatenate([imaginary[..., :n], -imaginary[..., n - rest]], -1)
    else:
        real, imaginary = _fitted(real, n), _fitted(imaginary, n)
    made = _transform(real, imaginary, inverse)
    if inverse:
        made = made[0] / n, made[1] / n
    if inverse and onesided:
        return np.moveaxis(made[0].astype(np.float32)[..., None], -2, at)
    kept = n // 2 + 1 if onesided else n
    y = np.stack([made[0][..., :kept], made[1][..., :kept]], -1).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(y, -2, at))


@defines("STFT")
def stft(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    signal, step, window = x[0], _number(x[1]), x[2] if len(x) > 2 else None
    assert signal is not None and step is not None
    n = _number(x[3] if len(x) > 3 else None)
    if n is None:
        n = signal.shape[1] if window is None else len(window)
    frames = (signal.shape[1] - n) // step + 1
    at = np.arange(frames)[:, None] * step + np.arange(n)
    wide = signal.astype(np.float64)[:, at] * (1.0 if window is None else window.astype(np.float64)[:, None])
    made = _transform(wide[..., 0], wide[..., 1] if signal.shape[-1] == 2 else np.zeros(wide.shape[:-1]), False)
    kept = n // 2 + 1 if a["onesided"] else n
    return np.stack([made[0][..., :kept], made[1][..., :kept]], -1).astype(np.float32)


@defines("MelWeightMatrix")
def mel_weight_matrix(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    bins, length, rate = (_number(v) for v in x[:3])
    assert bins is not None and length is not None and x[3] is not None and x[4] is not None
    low, high = (2595 * log_wide(1 + v.astype(np.float64).reshape(()) / 700) / LOG_10 for v in x[3:5] if v is not None)
    step = (high - low) / (bins + 2)
    hertz = 700 * (exp_wide((np.arange(bins + 2) * step + low) / 2595 * LOG_10) - 1)
    edges = np.floor((length + 1) * hertz / np.float64(rate))
    y = np.zeros((length // 2 + 1, bins))
    for i in range(bins):
        first, middle, last = edges[i : i + 3]
        for j in range(len(y)):
            if first == middle == j:
                y[j, i] = 1
            elif first <= j <= middle:
                y[j, i] = (j - first) / (middle - first)
            if middle <= j < last:
                y[j, i] = (last - j) / (last - middle)
    return y.astype(np.float32)


@defines("BitCast")
def bit_cast(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return x[0].view(dtype)
