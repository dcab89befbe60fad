"""``FakeQuantizeTokens(x, channel)``: dynamic symmetric int8 of each row of the last axis (one scale a token).

    v = x * channel ; amax = max |v| over the last axis
    codes = rne(v * (127 / amax)) ;  y = codes * (amax / 127)

``channel`` (float32, the length of the last axis, or 1) spreads outliers into the weights (SmoothQuant). Rows of
zeros stay zero. ``QuantizeTokens`` has codes + 128 (uint8) and scale (float32, last axis 1) as its outputs, which is what
integer products take at full speed.
Source: per-token activation quantization of ZeroQuant (Yao et al. 2022, section 3.1).
"""

from __future__ import annotations

import numpy as np
from onnxscript import UINT8, opset21, script
from onnxscript import opset21 as op
from onnxscript.values import Opset

QGRAPH = Opset("qgraph", 1)


@script(QGRAPH, default_opset=opset21)
def FakeQuantizeTokens(x, channel):  # type: ignore[no-untyped-def]
    v = op.Mul(x, channel)
    amax = op.ReduceMax(op.Abs(v), op.Constant(value_ints=[-1]), keepdims=1)  # type: ignore[arg-type]
    safe = op.Where(op.Equal(amax, op.Constant(value_float=0.0)), op.Constant(value_float=1.0), amax)
    codes = op.Round(op.Mul(v, op.Div(op.Constant(value_float=127.0), safe)))
    return op.Mul(codes, op.Div(amax, op.Constant(value_float=127.0)))


@script(QGRAPH, default_opset=opset21)
def QuantizeTokens(x, channel):  # type: ignore[no-untyped-def]
    v = op.Mul(x, channel)
    amax = op.ReduceMax(op.Abs(v), op.Constant(value_ints=[-1]), keepdims=1)  # type: ignore[arg-type]
    safe = op.Where(op.Equal(amax, op.Constant(value_float=0.0)), op.Constant(value_float=1.0), amax)
    steps = op.Round(op.Mul(v, op.Div(op.Constant(value_float=127.0), safe)))
    codes = op.Cast(op.Add(steps, op.Constant(value_float=128.0)), to=UINT8.dtype)
    scale = op.Div(amax, op.Constant(value_float=127.0))
    return codes, scale


def reference(x: np.ndarray, channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The outputs of ``QuantizeTokens`` in NumPy, float32 step by step."""
    v = x * channel
    amax = np.abs(v).max(-1, keepdims=True)
    inverse = np.float32(127) / np.where(amax == 0, np.float32(1), amax)
    return (np.rint(v * inverse) + 128).astype(np.uint8), amax / np.float32(127)
