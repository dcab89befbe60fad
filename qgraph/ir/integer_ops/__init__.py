"""The integer dialect: every op that a program can hold, one row an op (``INTEGER_OPS``), in thirteen families.

Ops of the domain ``qgraph.integer`` are the fused kernels; those of the standard domain keep ONNX's meaning, with the types and
attributes that their row names: they compute shapes and masks, and in float32 what is not quantized. The lowering, ``verify``,
the program file, the C++ enums and the tests of kernels follow it.
``NOTATION`` says how their equations are to be read.
"""

from __future__ import annotations

import onnx_ir as ir

from qgraph.errors import QGraphError, suggest
from qgraph.ir.integer_ops import (
    attention,
    control,
    conv,
    detection,
    index,
    linear,
    movement,
    norm,
    norm_float32,
    pointwise,
    pointwise_float32,
    pool,
    pool_float32,
    recurrent,
    resize,
    signal_float32,
)
from qgraph.ir.integer_ops.enums import (
    ENUMS,
    AspectRatio,
    AutoPad,
    BinaryOp,
    CacheMode,
    GeluApproximation,
    GridPadding,
    Interpolation,
    PadMode,
    RecurrentDirection,
    RecurrentFunction,
    ResizeCoordinates,
    ResizeNearest,
    RoiCoordinates,
    RoiMode,
    ScatterReduction,
    ShiftDirection,
    SparseForm,
)
from qgraph.ir.integer_ops.spec import INTEGER, AttributeSpec, InputSpec, OpSpec, OutputSpec, check
from qgraph.ir.scopes import where

__all__ = [
    "ENUMS",
    "INTEGER",
    "INTEGER_OPS",
    "KINDS",
    "NOTATION",
    "AspectRatio",
    "AttributeSpec",
    "AutoPad",
    "BinaryOp",
    "CacheMode",
    "GeluApproximation",
    "GridPadding",
    "InputSpec",
    "Interpolation",
    "OpSpec",
    "OutputSpec",
    "PadMode",
    "RecurrentDirection",
    "RecurrentFunction",
    "ResizeCoordinates",
    "ResizeNearest",
    "RoiCoordinates",
    "RoiMode",
    "ScatterReduction",
    "ShiftDirection",
    "SparseForm",
    "check_node",
    "kind_of",
]

NOTATION = """\
float(i) is the nearest float32 of an integer; + - * / on float32 are one IEEE operation each, in the order written, never a fused
multiply-add. chain over k of a, b is acc = 0, then for each k in order acc = fma(a, b, acc), which rounds once.
Sums of codes (acc) are exact integers, those of products int32. rne rounds to the nearest integer, halves to even.
quantized(t) is t where y is float32, else clamp(rne(t) + y_zero, clamp_min, clamp_max), with NaN as -infinity.
osum is a sum of doubles in 16 lanes: element i is added to lane i % 16, from 0 on and in order; then lane j adds lane j + 8, then
j + 4, j + 2 and j + 1."""

FAMILIES = (
    linear,
    conv,
    attention,
    recurrent,
    pointwise,
    pointwise_float32,
    norm,
    norm_float32,
    pool,
    pool_float32,
    signal_float32,
    movement,
    index,
    resize,
    detection,
    control,
)

INTEGER_OPS: dict[tuple[str, str], OpSpec] = {(spec.domain, spec.op_type): spec for family in FAMILIES for spec in family.OPS}
"""(domain, op type) -> what it is."""


def kind_of(domain: str, op_type: str) -> str:
    """The name of an op in a program file: its op type, behind ``ai.onnx.`` where an integer kernel has the same."""
    return f"ai.onnx.{op_type}" if not domain and (INTEGER, op_type) in INTEGER_OPS else op_type


KINDS: dict[str, OpSpec] = {kind_of(*key): spec for key, spec in INTEGER_OPS.items()}
"""Name in a program file -> what it is."""


def check_node(node: ir.Node) -> None:
    """Raise ``QGraphError`` where ``node`` is none that a program can hold, naming it and what is allowed."""
    spec = INTEGER_OPS.get((node.domain, node.op_type))
    if spec is None:
        names = [op for domain, op in INTEGER_OPS if domain == node.domain]
        raise QGraphError(
            f"{where(node)} (domain {node.domain!r}) is no op of the integer dialect{suggest(node.op_type, names)}; "
            "'qgraph ops' lists them"
        )
    check(node, spec)
