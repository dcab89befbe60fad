"""Quantizers, tables, curves, and two operands element by element."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, codes, defines, known, real
from qgraph.ir.integer_ops import BinaryOp
from qgraph.numerics import piecewise


@defines("Quantize")
def quantize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return codes(x[0] / F(a["scale"]), a, dtype)


@defines("Dequantize")
def dequantize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return real(x[0], a["x_zero"]) * F(a["scale"])


@defines("Requantize")
def requantize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None and x[1] is not None
    return codes(real(x[0], a["x_zero"]) * x[1], a, dtype)


@defines("QuantizeTokens")
def quantize_tokens(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    data, channel = (*x, None)[:2]
    assert data is not None
    v = data if data.dtype == np.float32 else real(data, a["x_zero"]) * F(a["scale"])
    if channel is not None:
        v = v * channel.reshape(-1)
    peak = np.abs(v).max(-1, keepdims=True, initial=0).astype(np.float32)
    inverse = F(127) / np.where(peak == 0, F(1), peak)
    return (np.clip(np.rint(known(v * inverse)), -127, 127) + 128).astype(np.uint8), peak / F(127)


@defines("Lookup")
def lookup(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, table = x[:2]
    assert data is not None and table is not None
    index = data.astype(np.int64) + (32768 if data.dtype == np.int16 else 0)
    if table.ndim == 1:
        return table[index]
    channel = np.arange(len(table)).reshape([-1 if i == a["axis"] else 1 for i in range(data.ndim)])
    return table[channel, index]


@defines("Curve")
def curve(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, coefficients = x[:2]
    assert data is not None and coefficients is not None
    t = piecewise.evaluate(data, coefficients, a["start"], a["shift"])
    return codes(t, a, dtype)


@defines("Binary")
def binary(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None and x[1] is not None
    p, q = real(x[0], a["a_zero"]), real(x[1], a["b_zero"])
    ma, mb = F(a["a_multiplier"]), F(a["b_multiplier"])
    t = {
        BinaryOp.ADD: lambda: p * ma + q * mb,
        BinaryOp.SUB: lambda: p * ma - q * mb,
        BinaryOp.MUL: lambda: (p * q) * ma,
        BinaryOp.DIV: lambda: (p / q) * ma,
        BinaryOp.MAX: lambda: np.maximum(p * ma, q * mb),
        BinaryOp.MIN: lambda: np.minimum(p * ma, q * mb),
    }[BinaryOp(a["op"])]()
    return codes(t, a, dtype)
