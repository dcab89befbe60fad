"""Products of float32 matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.chain import chain
from qgraph.execute.integer.common import Arrays, F, defines


def product(a: np.ndarray, b: np.ndarray, transpose_a: bool, transpose_b: bool) -> np.ndarray:
    """a [..., m, k] times b [..., k, n], or vectors in place of matrices."""
    x, w = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    x, w = (x.swapaxes(-1, -2) if transpose_a else x), (w.swapaxes(-1, -2) if transpose_b else w)
    lead = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
    acc = chain(((x[..., i, None], w[..., None, i, :]) for i in range(x.shape[-1])), (*lead, x.shape[-2], w.shape[-1]))
    rows = lead + ((acc.shape[-2],) if a.ndim > 1 else ())
    return acc.reshape(rows + ((acc.shape[-1],) if b.ndim > 1 else ()))


def clamped(t: np.ndarray, a: Mapping[str, Any]) -> np.ndarray:
    """``t`` between clamp_min and clamp_max, where they are given; NaN stays."""
    if "clamp_min" in a:
        t = np.where(F(a["clamp_min"]) > t, F(a["clamp_min"]), t)
    if "clamp_max" in a:
        t = np.where(F(a["clamp_max"]) < t, F(a["clamp_max"]), t)
    return t


@defines("ai.onnx.MatMul")
def matmul(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = x
    assert p is not None and q is not None
    return product(p, q, False, False)


@defines("Gemm")
def gemm(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q, c = (*x, None)[:3]
    assert p is not None and q is not None
    t = product(p, q, a["transA"], a["transB"]) * F(a["alpha"])
    return t if c is None else t + c * F(a["beta"])


@defines("FusedMatMul")
def fused_matmul(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q, bias, residual = (*x, None, None)[:4]
    assert p is not None and q is not None
    t = product(p, q, a["transA"], a["transB"]) * F(a["alpha"])
    t = t if bias is None else t + bias
    return clamped(t if residual is None else t + residual, a)


@defines("Einsum")
def einsum(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    left, arrow, result = "".join(chr(c) for c in a["equation"]).replace(" ", "").partition("->")
    terms = left.split(",")
    arrays = [v for v in x if v is not None]
    hidden = [v.ndim - len(t) + 3 if "..." in t else 0 for v, t in zip(arrays, terms, strict=True)]
    dots = "αβγδεζηθ"[: max(hidden)]
    terms = [t.replace("...", dots[len(dots) - n :]) for t, n in zip(terms, hidden, strict=True)]
    if not arrow:
        joined = "".join(terms)
        result = "..." + "".join(sorted(c for c in set(joined) if joined.count(c) == 1 and c not in dots))
    result = result.replace("...", dots)
    t, labels = arrays[0], terms[0]
    if len(arrays) == 1:
        return _contracted(t, labels, np.ones((), F), "", result)
    for i in range(1, len(arrays)):
        later = result if i + 1 == len(arrays) else "".join(terms[i + 1 :]) + result
        kept = result if i + 1 == len(arrays) else "".join(dict.fromkeys(c for c in labels + terms[i] if c in later))
        t, labels = _contracted(t, labels, arrays[i], terms[i], kept), kept
    return t


def _contracted(a: np.ndarray, a_labels: str, b: np.ndarray, b_labels: str, kept: str) -> np.ndarray:
    """Two operands, summed over the labels that are not kept."""
    summed = "".join(dict.fromkeys(c for c in a_labels + b_labels if c not in kept))
    x, w = _spread(a, a_labels, kept + summed), _spread(b, b_labels, kept + summed)
    shape = np.broadcast_shapes(x.shape, w.shape)
    flat = (*shape[: len(kept)], int(np.prod(shape[len(kept) :])))
    x, w = np.broadcast_to(x, shape).reshape(flat), np.broadcast_to(w, shape).reshape(flat)
    return chain(((x[..., i], w[..., i]) for i in range(flat[-1])), flat[:-1])


def _spread(a: np.ndarray, labels: str, axes: str) -> np.ndarray:
    """``a`` with an axis for each of ``axes``; axes of one label become their diagonal."""
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i, j = labels.index(c), labels.rindex(c)
            n = max(a.shape[i], a.shape[j])
            both = [n if axis in (i, j) else d for axis, d in enumerate(a.shape)]
            a = np.diagonal(np.broadcast_to(a, both), axis1=i, axis2=j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + c
    a = a.transpose([labels.index(c) for c in axes if c in labels])
    return a.reshape([a.shape[[d for d in axes if d in labels].index(c)] if c in labels else 1 for c in axes])


@defines("Det")
def det(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data = x[0]
    assert data is not None
    made = [_determinant(data[i].astype(np.float64)) for i in np.ndindex(data.shape[:-2])]
    return np.array(made, np.float64).astype(F).reshape(data.shape[:-2])


def _determinant(m: np.ndarray) -> np.float64:
    product = np.float64(1)
    for k in range(len(m)):
        pivot = k
        for i in range(k + 1, len(m)):
            pivot = i if abs(m[i, k]) > abs(m[pivot, k]) else pivot
        if pivot != k:
            m[[k, pivot]] = m[[pivot, k]]
            product = -product
        product = product * m[k, k]
        if m[k, k] == 0:
            break
        m[k + 1 :, k + 1 :] -= (m[k + 1 :, k : k + 1] / m[k, k]) * m[k : k + 1, k + 1 :]
    return product
