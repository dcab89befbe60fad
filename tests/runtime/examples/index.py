"""Small ops on float32, int64, int32 and bool."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops import INTEGER_OPS
from tests.runtime.examples.example import SEEDS, Case, Example, example
from tests.runtime.examples.movement import ANY, SHAPES, data, int64

NAMES = {"FLOAT": "float32", "INT64": "int64", "INT32": "int32", "BOOL": "bool", "UINT8": "uint8", "INT8": "int8"}


def types(op: str) -> list[str]:
    """Names of the types of an op's first input."""
    return [NAMES[t.name] for t in INTEGER_OPS["", op].inputs[0].types]


def result(op: str, kind: str) -> str:
    """Name of the type of an op's output, for inputs of ``kind``."""
    row = INTEGER_OPS["", op].outputs[0]
    return kind if row.same_as else NAMES[row.types[0].name]


@example("Shape", "Size")
def shape(draw: st.DrawFn, op: str) -> Example:
    x, _ = data(draw, draw(SHAPES))
    attributes = {"start": draw(st.integers(-4, 4)), "end": draw(st.integers(-4, 4))} if op == "Shape" else {}
    return Example([x], draw(st.sampled_from([{}, attributes])), ("int64",))


@example("Cast")
def cast(draw: st.DrawFn, op: str) -> Example:
    case, source = Case(draw(SEEDS)), draw(st.sampled_from(types(op)))
    x = case.any((3, 5), source)
    if source == "float32" and draw(st.booleans()):
        x = case.rng.choice(np.array([np.nan, np.inf, -np.inf, 2**31, -(2**31), 2**63, -(2**63), 0.5, -1.5], np.float32), (3, 5))
    targets = [NAMES[t.name] for t in INTEGER_OPS["", op].outputs[0].types]
    return Example([x], {}, (draw(st.sampled_from(targets)),))


@example("Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
@example("And", "Or", "Xor")
def pair(draw: st.DrawFn, op: str) -> Example:
    case, kind = Case(draw(SEEDS)), draw(st.sampled_from(types(op)))
    left, right = draw(st.sampled_from([((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 0)), ((), ())]))
    a, b = np.asarray(case.any(left, kind)), np.asarray(case.any(right, kind))
    if op in ("Equal", "GreaterOrEqual", "LessOrEqual") and left == right:
        b = np.where(case.rng.random(right) < 0.5, a, b)
    if op in ("Div", "Mod"):
        b = np.where(case.rng.random(b.shape) < 0.3, np.zeros_like(b), b)
        a = np.where(a == np.iinfo(np.int64).min, np.zeros_like(a), a)  # whose quotient with -1 has no code
    if kind == "float32":
        a = np.where(case.rng.random(a.shape) < 0.1, np.float32(np.nan), a)
    return Example([a, b], {"fmod": 0} if op == "Mod" and draw(st.booleans()) else {}, (result(op, kind),))


@example("Not", "IsNaN", "Neg", "Abs", "Relu")
def unary(draw: st.DrawFn, op: str) -> Example:
    case, kind = Case(draw(SEEDS)), draw(st.sampled_from(types(op)))
    x = case.any(draw(SHAPES), kind)
    if op == "IsNaN":
        x = np.where(case.rng.random(x.shape) < 0.3, np.float32(np.nan), x)
    return Example([x], {}, (result(op, kind),))


@example("ArgMax", "ArgMin")
def place(draw: st.DrawFn, op: str) -> Example:
    case, kind, axis = Case(draw(SEEDS)), draw(st.sampled_from(types(op))), draw(st.integers(-3, 2))
    x = case.rng.integers(-2, 3, (2, 4, 3)).astype(kind)
    if kind == "float32":
        x = np.where(case.rng.random(x.shape) < 0.2, np.float32(np.nan), x)
    return Example(
        [x], {"axis": axis, "keepdims": draw(st.integers(0, 1)), "select_last_index": draw(st.integers(0, 1))}, ("int64",)
    )


@example("Where")
def where(draw: st.DrawFn, op: str) -> Example:
    case, kind = Case(draw(SEEDS)), draw(ANY)
    shapes = draw(st.sampled_from([((2, 3), (2, 3), (2, 3)), ((2, 1), (3,), ()), ((), (2, 3), (3,)), ((3,), (), (2, 1))]))
    condition, a, b = (np.asarray(case.any(s, t)) for s, t in zip(shapes, ("bool", kind, kind), strict=True))
    return Example([condition, a, b], {}, (kind,))


@example("NonZero")
def non_zero(draw: st.DrawFn, op: str) -> Example:
    shape = draw(st.sampled_from([(), (0,), (7,), (3, 4), (2, 0, 3), (2, 3, 2)]))
    x, _ = data(draw, shape)
    x = np.where(Case(draw(SEEDS)).rng.random(shape) < draw(st.sampled_from([0, 0.5, 1])), x, np.zeros_like(x))
    return Example([np.asarray(x)], {}, ("int64",))


@example("Range")
def range_(draw: st.DrawFn, op: str) -> Example:
    start, limit, step = draw(st.integers(-9, 9)), draw(st.integers(-9, 9)), draw(st.sampled_from([1, 2, -1, -3]))
    kind, part = draw(st.sampled_from(types(op))), draw(st.sampled_from([1, 3, 7.7]))
    bounds = [np.array(v / part if kind == "float32" else v, kind) for v in (start, limit, step)]
    return Example(bounds, {}, (kind,), constants=draw(st.sampled_from([(), (0, 2), (0, 1, 2)])))


@example("ConstantOfShape")
def constant_of_shape(draw: st.DrawFn, op: str) -> Example:
    value, kind = data(draw, (1,))
    return Example([int64(*draw(st.lists(st.integers(0, 4), max_size=3))), value], {}, (kind,), constants=(0, 1))
