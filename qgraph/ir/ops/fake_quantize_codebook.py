"""``FakeQuantizeCodebook(w, levels, scale)``: weights that take the nearest of a few learned levels.

    l = clip(rne(levels), -128, 127), sorted ;  y = scale * (the l nearest to w / scale)

``levels`` (float32 [points], 2 to 16 of them) are int8 codes in training, ``scale`` (float32) broadcasts against ``w``. Once
baked, the weights are packed indices into a table of int8 levels. Between two levels at equal distance the lower one is taken.
Source: differentiable quantization of Polino et al. 2018, section 3.2, with one scale a channel for a bucket's.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnxscript import opset21, script
from onnxscript import opset21 as op
from onnxscript.values import Opset

from qgraph.ir.patterns import is_op

QGRAPH = Opset("qgraph", 1)


@script(QGRAPH, default_opset=opset21)
def FakeQuantizeCodebook(w, levels, scale):  # type: ignore[no-untyped-def]
    limited = op.Clip(op.Round(levels), op.Constant(value_float=-128.0), op.Constant(value_float=127.0))
    count = op.Shape(levels)
    table, _ = op.TopK(limited, count, largest=0)
    last = op.Constant(value_ints=[-1])
    distance = op.Abs(op.Sub(op.Unsqueeze(op.Div(w, scale), last), table))  # type: ignore[arg-type]
    return op.Mul(op.Gather(table, op.ArgMin(distance, axis=-1, keepdims=0)), scale)


def chosen_levels(value: ir.Value | None) -> tuple[ir.Value | None, ir.Value | None] | None:
    """(levels, packed indices) of a baked codebook ``Gather(levels, Cast(indices))``; None for other values."""
    if not is_op(value, "Gather"):
        return None
    levels, chosen = value.producer().inputs  # type: ignore[union-attr]
    return (levels, chosen.producer().inputs[0]) if is_op(chosen, "Cast") else None  # type: ignore[union-attr]


def rounded(levels: np.ndarray) -> np.ndarray:
    """The table of ``levels``: int8, sorted."""
    return np.sort(np.clip(np.rint(levels), -128, 127)).astype(np.int8)


def nearest(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Index of the entry of the sorted ``table`` that is nearest to each element of ``x``; the lower one of two."""
    middles = (table[:-1].astype(np.float32) + table[1:].astype(np.float32)) / 2
    return np.searchsorted(middles, x, side="left")
