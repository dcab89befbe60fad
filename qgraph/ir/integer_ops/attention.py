"""Attention as one kernel."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.spec import F32, RESULTS, U8, InputSpec, OpSpec, OutputSpec

ATTENTION = OpSpec(
    "Attention",
    "attention",
    inputs=(
        InputSpec("q", (U8,), "[batch, heads, rows, width]; width and keys up to 65536"),
        InputSpec("k", (U8,), "[batch, heads, keys, width]"),
        InputSpec("v", (U8,), "[batch, heads, keys, v_width]"),
        InputSpec("mask", (F32,), "broadcasts to [batch, heads, rows, keys]", optional=True),
    ),
    outputs=(OutputSpec("y", RESULTS, "[batch, heads, rows, v_width]"),),
    attributes=(
        common.zero_point("q_zero", "q", 255),
        common.zero_point("k_zero", "k", 255),
        common.zero_point("v_zero", "v", 255),
        common.number("scale", "scale of q * scale of k * factor of the scores"),
        common.number("multiplier", "scale of v / 255 / scale of y"),
        common.flag("token_major", "1: q, k, v and y are [batch, rows or keys, heads, width]"),
        *common.Y_CODES,
    ),
    equation=(
        "s[r, i] = sum over width of (q[r] - q_zero) * (k[i] - k_zero)\n"
        "t[r, i] = float(s[r, i]) * scale; with a mask: t = t + mask[r, i], NaN as -infinity\n"
        "p[r] = softmax(t[r], 255), uint8                                    (see Softmax)\n"
        "acc[r, w] = sum over i of p[r, i] * (v[i, w] - v_zero)\n"
        "y = quantized(float(acc) * multiplier)"
    ),
)

OPS = (ATTENTION,)
