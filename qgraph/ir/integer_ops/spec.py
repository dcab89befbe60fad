"""What a row of the integer dialect says, and the check of a node against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError, suggest
from qgraph.ir.scopes import where

INTEGER = "qgraph.integer"
"""Domain of the fused integer kernels."""

Family = Literal[
    "linear", "conv", "attention", "recurrent", "pointwise", "norm", "pool", "signal", "movement", "index", "resize", "detection",
    "control",
]  # fmt: skip
Types = tuple[ir.DataType, ...]

F32, I64, I32, BOOL = ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL
U8, I16, I8 = ir.DataType.UINT8, ir.DataType.INT16, ir.DataType.INT8
I4, I2, U4, U2 = ir.DataType.INT4, ir.DataType.INT2, ir.DataType.UINT4, ir.DataType.UINT2
CODES: Types = (U8, I16)
"""Quantized activations."""
RESULTS: Types = (U8, I16, F32)
"""What a kernel with an epilogue writes."""
WEIGHTS: Types = (I8, I4, I2, U4, U2)
"""Codes of constant weights; unsigned ones choose among ``levels``."""
SMALL: Types = (F32, I64, I32, BOOL)
"""What shapes, indices and masks are made of."""
ANY: Types = (F32, I64, I32, I16, I8, U8, BOOL)
"""Every type whose elements are whole bytes."""
LIMITS = {U8: (0, 255), I16: (-32768, 32767), I8: (-128, 127), I32: (-(2**31), 2**31 - 1), BOOL: (0, 1)}
"""Lowest and highest value of the types that limit an attribute."""
MAX_RANK = 8
FLOAT_MAX = 3.4028234663852886e38
FLOAT_TINY = 1.1754943508222875e-38
"""The largest and the smallest positive float32."""


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """An input. ``constant``: an initializer. ``known``: shapes follow from its value; a program plans what is behind it anew
    when it computes another from the data. ``variadic``: the last one, one or more times. ``same_as``: has the type of that
    input. ``finite``: a float32 constant of numbers without NaN or infinity.
    """

    name: str
    types: Types
    meaning: str = ""
    optional: bool = False
    constant: bool = False
    known: bool = False
    variadic: bool = False
    same_as: str = ""
    finite: bool = True


@dataclasses.dataclass(frozen=True)
class OutputSpec:
    """An output. ``same_as``: has the type of that input, INT8 for the packed INT4. ``variadic``: one or more times.
    ``optional``: this and those behind it may be left out.
    """

    name: str
    types: Types
    meaning: str = ""
    optional: bool = False
    variadic: bool = False
    same_as: str = ""


@dataclasses.dataclass(frozen=True)
class AttributeSpec:
    """An attribute: ``low <= value <= high``, each value of a list.

    Without ``required`` it may be left out, which means ``default``; None there is what ``meaning`` says. ``codes_of`` names the
    input or output whose type limits it further. ``when`` names an input, an output or an attribute without which (left out, or
    0) this one is not given either; with ``when_types``, that input or output must have one of them.
    """

    name: str
    kind: Literal["int", "ints", "float", "floats"]
    low: float
    high: float
    default: int | float | None = None
    required: bool = False
    meaning: str = ""
    enum: type[IntEnum] | None = None
    codes_of: str = ""
    when: str = ""
    when_types: Types = ()

    @property
    def range(self) -> str:
        """The allowed values in words."""
        if self.enum is not None:
            return ", ".join(f"{int(m)} {m.name}" for m in self.enum if self.low <= m <= self.high)
        if not self.kind.startswith("float"):
            return f"{int(self.low)} to {int(self.high)}"
        low = {-FLOAT_MAX: "finite", 0.0: "finite, at least 0", FLOAT_TINY: f"finite, at least {FLOAT_TINY:g}"}
        return low[self.low]

    @property
    def condition(self) -> str:
        """``when`` in words."""
        return f"{self.when} of type {' or '.join(t.name for t in self.when_types)}" if self.when_types else self.when


@dataclasses.dataclass(frozen=True)
class OpSpec:
    """One op that a program can hold. ``equation`` is its arithmetic, in the notation of this package's docstring.

    ``any_layout``: it computes the same with the axes of input 0 in another order, where its attributes name axes by number.
    ``graphs``: the names of the graphs that it runs, which are attributes too; they read their inputs alone.
    """

    op_type: str
    family: Family
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    attributes: tuple[AttributeSpec, ...]
    equation: str
    domain: str = INTEGER
    any_layout: bool = False
    graphs: tuple[str, ...] = ()

    @property
    def defaults(self) -> dict[str, int | float]:
        """What attributes that are left out mean, where that is a number and they always have a meaning."""
        return {a.name: a.default for a in self.attributes if a.default is not None and not a.when}


def check(node: ir.Node, spec: OpSpec) -> None:
    """Raise ``QGraphError`` naming ``node`` and what of it does not follow ``spec``. Values of unknown type are let pass."""
    _check_count(node, spec, "input", node.inputs, spec.inputs)
    _check_count(node, spec, "output", node.outputs, spec.outputs)
    types: dict[str, ir.DataType | None] = {}
    for i, value in enumerate(node.inputs):
        row = spec.inputs[min(i, len(spec.inputs) - 1)]
        if value is None:
            if not row.optional:
                raise QGraphError(f"{where(node)} misses input {i}, {row.name}")
            continue
        _check_type(node, f"input {i}, {row.name},", value, row.types, types.get(row.same_as), row.same_as)
        types.setdefault(row.name, value.dtype)
        if row.constant and (value.const_value is None or value.is_graph_input()):
            raise QGraphError(f"{where(node)} computes input {i}, {row.name}; it must be a constant")
        if row.constant and row.finite and value.dtype == F32 and not np.isfinite(value.const_value.numpy()).all():  # type: ignore[union-attr]
            raise QGraphError(
                f"{where(node)}: input {i}, {row.name}, holds NaN or infinity; a range, a weight or a bias in front of it does "
                "not fit float32: leave the node out with exclude"
            )
    for i, value in enumerate(node.outputs):
        result = spec.outputs[min(i, len(spec.outputs) - 1)]
        same = types.get(result.same_as)
        _check_type(node, f"output {i}, {result.name},", value, result.types, I8 if same == I4 else same, result.same_as)
        types.setdefault(result.name, value.dtype)
    _check_attributes(node, spec, types)


def _check_count(node: ir.Node, spec: OpSpec, what: str, values: Sequence[Any], rows: Sequence[InputSpec | OutputSpec]) -> None:
    names = ", ".join(row.name for row in rows)
    if len(values) > len(rows) and not rows[-1].variadic:
        raise QGraphError(f"{where(node)} has {len(values)} {what}s; {spec.op_type} has no more than {len(rows)}: {names}")
    for row in rows[len(values) :]:
        if not row.optional:
            raise QGraphError(f"{where(node)} misses {what} {row.name}; {spec.op_type} has: {names}")


def _check_type(node: ir.Node, what: str, value: ir.Value, types: Types, same: ir.DataType | None, same_as: str) -> None:
    if value.dtype is None:
        return
    if value.dtype not in types:
        allowed = ", ".join(t.name for t in types)
        raise QGraphError(f"{where(node)}: {what} {value.name!r} is {value.dtype.name}; allowed are {allowed}")
    if same is not None and value.dtype != same:
        raise QGraphError(
            f"{where(node)}: {what} {value.name!r} is {value.dtype.name}; it goes with {same_as} and must be {same.name}"
        )


def _check_attributes(node: ir.Node, spec: OpSpec, types: dict[str, ir.DataType | None]) -> None:
    rows = {a.name: a for a in spec.attributes}
    for name in spec.graphs:
        if name not in node.attributes or node.attributes[name].type != ir.AttributeType.GRAPH:
            raise QGraphError(f"{where(node)} misses the graph {name!r}")
    for name, attribute in node.attributes.items():
        row = rows.get(name)
        if name in spec.graphs:
            continue
        if row is None:
            known = f"; it has {', '.join(rows)}" if rows else "; it has none"
            raise QGraphError(
                f"{where(node)} has the attribute {name!r}, which {spec.op_type} has not{suggest(name, rows)}{known}"
            )
        if not _applies(row, node, types):
            raise QGraphError(f"{where(node)} has the attribute {name!r}, which means nothing without {row.condition}")
        _check_value(node, row, attribute, types)
    for row in spec.attributes:
        if row.required and row.name not in node.attributes and _applies(row, node, types):
            raise QGraphError(f"{where(node)} misses the attribute {row.name!r} ({row.kind}; {row.range})")


def _applies(row: AttributeSpec, node: ir.Node, types: dict[str, ir.DataType | None]) -> bool:
    if not row.when:
        return True
    if row.when in types:
        kind = types[row.when]
        return not row.when_types or kind is None or kind in row.when_types
    found = node.attributes.get(row.when)
    return found is not None and bool(found.value)


KINDS = {
    "int": ir.AttributeType.INT,
    "ints": ir.AttributeType.INTS,
    "float": ir.AttributeType.FLOAT,
    "floats": ir.AttributeType.FLOATS,
}


def _check_value(node: ir.Node, row: AttributeSpec, attribute: ir.Attr, types: dict[str, ir.DataType | None]) -> None:
    if attribute.type != KINDS[row.kind]:
        raise QGraphError(f"{where(node)}: attribute {row.name!r} is of type {attribute.type.name}; it must be {row.kind}")
    low, high, of = row.low, row.high, ""
    kind = types.get(row.codes_of)
    if kind in LIMITS:
        low, high = max(low, LIMITS[kind][0]), min(high, LIMITS[kind][1])
        of = f", the codes of {row.codes_of} ({kind.name})"
    for value in attribute.value if row.kind in ("ints", "floats") else [attribute.value]:
        if not low <= value <= high:  # nor NaN
            allowed = f"{int(low)} to {int(high)}{of}" if of else row.range
            raise QGraphError(f"{where(node)}: attribute {row.name!r} is {value}; allowed: {allowed}")
