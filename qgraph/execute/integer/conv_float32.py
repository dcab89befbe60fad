"""Convolutions of float32, channels first."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qgraph.execute.integer.chain import fma
from qgraph.execute.integer.common import Arrays, F, defines
from qgraph.execute.integer.linear_float32 import clamped
from qgraph.ir.integer_ops import AutoPad


def _lengths(a: Mapping[str, Any], name: str, otherwise: int, n: int) -> list[int]:
    return list(a.get(name) or [otherwise] * n)


def _halves(total: int, auto: int) -> tuple[int, int]:
    """A pad at the begin and at the end."""
    begin = (total + 1) // 2 if auto == AutoPad.SAME_LOWER else total // 2
    return begin, total - begin


def _same(auto: int) -> bool:
    return auto in (AutoPad.SAME_UPPER, AutoPad.SAME_LOWER)


def _channels(t: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    return t if bias is None else t + bias.reshape(-1, *[1] * (t.ndim - 2))


def _convolved(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, a: Mapping[str, Any]) -> np.ndarray:
    n, group, auto = x.ndim - 2, a["group"], a["auto_pad"]
    strides, dilations = _lengths(a, "strides", 1, n), _lengths(a, "dilations", 1, n)
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:], strict=True)]
    pads = _lengths(a, "pads", 0, 2 * n) if auto == AutoPad.NOTSET else [0] * 2 * n
    ends = list(zip(pads[:n], pads[n:], strict=True))
    if _same(auto):
        rounded = [-(-i // s) for i, s in zip(x.shape[2:], strides, strict=True)]
        totals = [max(0, (o - 1) * s + r - i) for o, s, r, i in zip(rounded, strides, reach, x.shape[2:], strict=True)]
        ends = [_halves(total, auto) for total in totals]
    padded = _padded(x, ends)
    places = [max(0, (i - r) // s + 1) for i, r, s in zip(padded.shape[2:], reach, strides, strict=True)]
    per, outputs = w.shape[1], w.shape[0] // group
    acc = np.zeros((x.shape[0], w.shape[0], *places), F)
    for g, c in itertools.product(range(group), range(per)):
        own = slice(g * outputs, (g + 1) * outputs)
        for tap, k in enumerate(itertools.product(*(range(size) for size in w.shape[2:]))):
            seen = [slice(t * d, t * d + s * p, s) for t, d, s, p in zip(k, dilations, strides, places, strict=True)]
            taken = padded[(slice(None), slice(g * per + c, g * per + c + 1), *seen)]
            taken = taken[(slice(None), slice(None), *(slice(p) for p in places))]
            acc[:, own] = fma(w[own, c].reshape(outputs, -1)[:, tap].reshape(-1, *[1] * n), taken, acc[:, own])
    return _channels(acc, bias)


def _padded(x: np.ndarray, ends: Sequence[Sequence[int]]) -> np.ndarray:
    """With zeros around its spatial axes, or less of them where a pad is negative."""
    x = np.pad(x, [(0, 0), (0, 0), *((max(0, b), max(0, e)) for b, e in ends)])
    inner = [slice(max(0, -b), x.shape[i + 2] - max(0, -e)) for i, (b, e) in enumerate(ends)]
    return x[(slice(None), slice(None), *inner)]


@defines("ai.onnx.Conv")
def conv(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, weight, bias = (*x, None)[:3]
    assert data is not None and weight is not None
    return _convolved(data, weight, bias, a)


@defines("FusedConv")
def fused_conv(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, weight, bias, residual = (*x, None, None)[:4]
    assert data is not None and weight is not None
    t = _convolved(data, weight, bias, a)
    return clamped(t if residual is None else t + residual, a)


@defines("ai.onnx.ConvTranspose")
def conv_transpose(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, w, bias = (*x, None)[:3]
    assert data is not None and w is not None
    n, group, auto = data.ndim - 2, a["group"], a["auto_pad"]
    strides, dilations = _lengths(a, "strides", 1, n), _lengths(a, "dilations", 1, n)
    extra, pads = _lengths(a, "output_padding", 0, n), _lengths(a, "pads", 0, 2 * n)
    full = [
        (s * (i - 1) + e + d * (k - 1) + 1) if i else 0
        for s, i, e, d, k in zip(strides, data.shape[2:], extra, dilations, w.shape[2:], strict=True)
    ]
    if a.get("output_shape"):
        places = list(a["output_shape"])[-n:]
        lower = auto if auto == AutoPad.SAME_UPPER else AutoPad.SAME_LOWER
        begin = [_halves(max(0, f - p), lower)[0] for f, p in zip(full, places, strict=True)]
    elif _same(auto):
        places = [i * s for i, s in zip(data.shape[2:], strides, strict=True)]
        begin = [_halves(max(0, f - p), auto)[0] for f, p in zip(full, places, strict=True)]
    else:
        pads = pads if auto == AutoPad.NOTSET else [0] * 2 * n
        places, begin = [f - b - e for f, b, e in zip(full, pads[:n], pads[n:], strict=True)], pads[:n]
    per, outputs = w.shape[0] // group, w.shape[1]
    acc = np.zeros((data.shape[0], outputs * group, *places), F)
    for c in range(w.shape[0]):
        own = slice(c // per * outputs, (c // per + 1) * outputs)
        for k in itertools.product(*(range(size) for size in w.shape[2:])):
            taken, meets = data[:, c : c + 1], np.ones((1,) * (n + 2), bool)
            for axis in range(n):
                reach = np.arange(places[axis]) + begin[axis] - k[axis] * dilations[axis]
                i, beyond = reach // strides[axis], (reach < 0) | (reach >= strides[axis] * data.shape[axis + 2])
                shape = [-1 if j == axis + 2 else 1 for j in range(n + 2)]
                taken = taken.take(np.where(beyond, 0, i), axis + 2) if data.shape[axis + 2] else np.zeros((1, 1, *places), F)
                taken = np.where(beyond.reshape(shape), F(0), taken)
                meets = meets & (reach % strides[axis] == 0).reshape(shape)
            acc[:, own] = np.where(meets, fma(w[c][(slice(None), *k)].reshape(-1, *[1] * n), taken, acc[:, own]), acc[:, own])
    return _channels(acc, bias)


@defines("DeformConv")
def deform_conv(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, w, offset, bias, mask = (*x, None, None)[:5]
    assert data is not None and w is not None and offset is not None
    strides, dilations, pads = _lengths(a, "strides", 1, 2), _lengths(a, "dilations", 1, 2), _lengths(a, "pads", 0, 4)
    batch, channels, (height, width), (rows, columns) = *data.shape[:2], data.shape[2:], offset.shape[2:]
    groups, taps, outputs = a["offset_group"], int(np.prod(w.shape[2:])), w.shape[0] // a["group"]
    moves = offset.reshape(batch, groups, taps, 2, rows, columns)
    masks = np.ones((batch, groups, taps, rows, columns), F) if mask is None else mask.reshape(batch, groups, taps, rows, columns)
    acc = np.zeros((batch, w.shape[0], rows, columns), F)
    around = np.pad(data, ((0, 0), (0, 0), (1, 1), (1, 1)))
    image = np.arange(batch)[:, None, None]
    for c in range(channels):
        own = slice(c // w.shape[1] * outputs, (c // w.shape[1] + 1) * outputs)
        group = c // (channels // groups)
        for t, (ky, kx) in enumerate(itertools.product(*(range(k) for k in w.shape[2:]))):
            down = (np.arange(rows) * strides[0] - pads[0] + ky * dilations[0]).astype(F)[:, None] + moves[:, group, t, 0]
            right = (np.arange(columns) * strides[1] - pads[1] + kx * dilations[1]).astype(F) + moves[:, group, t, 1]
            inside = (down > -1) & (down < height) & (right > -1) & (right < width)
            y, z = np.where(inside, down, F(0)), np.where(inside, right, F(0))
            i, j = np.floor(y), np.floor(z)
            d, r = y - i, z - j
            i, j = i.astype(int) + 1, j.astype(int) + 1
            s = ((1 - d) * (1 - r)) * around[image, c, i, j]
            s = s + ((1 - d) * r) * around[image, c, i, j + 1]
            s = s + (d * (1 - r)) * around[image, c, i + 1, j]
            s = s + (d * r) * around[image, c, i + 1, j + 1]
            s = np.where(inside, s, F(0)) * masks[:, group, t]
            kernel = w[own, c % w.shape[1], ky, kx]
            acc[:, own] = fma(kernel[:, None, None], s[:, None], acc[:, own])
    return _channels(acc, bias)
