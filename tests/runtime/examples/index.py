"""Small ops on float32, int64, int32 and bool."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops import INTEGER_OPS
from qgraph.ir.integer_ops.spec import ANY as ANY_TYPE
from tests.runtime.examples.example import SEEDS, Case, Example, example
from tests.runtime.examples.movement import ANY, SHAPES, data, int64

NAMES = {t.name: t.numpy().name for t in ANY_TYPE}


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


BROADCASTS = st.sampled_from(
    [
        *(((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 0)), ((), ())),
        *(((2, 3, 40), (3, 1)), ((4, 1, 5), (2, 4, 3, 1)), ((70,), (1,)), ((1, 1), (33,)), ((2, 1, 3, 1), (1, 4, 1, 5))),
    ]
)


@example("Add", "Sub", "Mul", "Div", "Mod", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
@example("And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift")
def pair(draw: st.DrawFn, op: str) -> Example:
    case, kind = Case(draw(SEEDS)), draw(st.sampled_from(types(op)))
    left, right = draw(BROADCASTS)
    a, b = np.asarray(case.any(left, kind)), np.asarray(case.any(right, kind))
    if op in ("Equal", "GreaterOrEqual", "LessOrEqual") and left == right:
        b = np.where(case.rng.random(right) < 0.5, a, b)
    if op in ("Div", "Mod"):
        b = np.where(case.rng.random(b.shape) < 0.3, np.zeros_like(b), b)
        b = np.where(case.rng.random(b.shape) < 0.2, np.full_like(b, 255 if kind == "uint8" else -1), b)
    if op == "BitShift":
        return Example([a, b % 10], {"direction": draw(st.integers(0, 1))}, (kind,))
    if kind == "float32":
        a = np.where(case.rng.random(a.shape) < 0.1, np.float32(np.nan), a)
    fmod = draw(st.sampled_from([{}, {"fmod": 0}, {"fmod": 1}]))
    return Example([a, b], fmod if op == "Mod" else {}, (result(op, kind),))


@example("Pow")
def power(draw: st.DrawFn, op: str) -> Example:
    case, kinds = Case(draw(SEEDS)), [draw(st.sampled_from(types(op))) for _ in range(2)]
    left, right = draw(BROADCASTS)
    whole = [case.rng.integers(-6, 7, shape) for shape in (left, right)]
    a, b = (
        np.asarray(v + (case.rng.random(v.shape) * (kind == "float32"))).astype(kind)
        for v, kind in zip(whole, kinds, strict=True)
    )
    if kinds[0] == "float32":
        a = case.special(a)
    if kinds[1] == "float32":
        b = case.special(np.where(case.rng.random(b.shape) < 0.5, np.rint(b), b))
    return Example([a, b], {}, (kinds[0],))


@example("Sum", "Mean", "Max", "Min")
def variadic(draw: st.DrawFn, op: str) -> Example:
    case, kind = Case(draw(SEEDS)), draw(st.sampled_from(types(op)))
    shapes = draw(st.lists(st.sampled_from([(2, 3), (3,), (2, 1), (), (4, 1, 3)]), min_size=1, max_size=4))
    arrays = [np.asarray(case.any(shape, kind)) for shape in shapes]
    if kind == "float32":
        arrays = [case.special(a) for a in arrays]
    return Example([*arrays], {}, (kind,))


@example("Not", "BitwiseNot", "IsNaN", "IsInf", "Neg", "Abs", "Sign", "Relu")
def unary(draw: st.DrawFn, op: str) -> Example:
    case, kind = Case(draw(SEEDS)), draw(st.sampled_from(types(op)))
    x = np.asarray(case.any(draw(SHAPES), kind))
    if kind == "float32":
        x = case.special(x)
    attributes = {"detect_negative": draw(st.integers(0, 1)), "detect_positive": draw(st.integers(0, 1))} if op == "IsInf" else {}
    return Example([x], attributes, (result(op, kind),))


@example("Clip")
def clip(draw: st.DrawFn, op: str) -> Example:
    case, kind = Case(draw(SEEDS)), draw(st.sampled_from(types(op)))
    bounds = [np.asarray(case.any((), kind)) if draw(st.booleans()) else None for _ in range(2)]
    x = np.asarray(case.any(draw(SHAPES), kind))
    inputs = [case.special(x) if kind == "float32" else x, *bounds]
    while inputs[-1] is None:
        inputs.pop()
    return Example(inputs, {}, (kind,))


@example("CastLike")
def cast_like(draw: st.DrawFn, op: str) -> Example:
    case, kinds = Case(draw(SEEDS)), [draw(st.sampled_from(types(op))) for _ in range(2)]
    return Example([case.any((3, 5), kinds[0]), case.any((2,), kinds[1])], {}, (kinds[1],))


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
    shapes = draw(
        st.sampled_from(
            [((2, 3), (2, 3), (2, 3)), ((2, 1), (3,), ()), ((), (2, 3), (3,)), ((3,), (), (2, 1)), ((40,), (2, 40), (1,))]
        )
    )
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
    kind = draw(st.sampled_from(types(op)))
    bounds = [np.array(v, kind) for v in (start, limit, step)]
    if kind == "float32":
        bounds = [v * np.float32(draw(st.sampled_from([1, 0.1, 1.7]))) for v in bounds]
    return Example([*bounds], {}, (kind,), constants=draw(st.sampled_from([(), (0, 2), (0, 1, 2)])))


def with_equals(case: Case, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Few different elements, NaN and -0 among them where there are such."""
    x = case.rng.integers(-2 if kind != "uint8" else 0, 3, shape).astype(kind)
    if kind != "float32":
        return x
    return np.where(case.rng.random(shape) < 0.2, case.rng.choice(np.array([np.nan, -0.0, np.inf], np.float32), shape), x)


@example("TopK")
def top_k(draw: st.DrawFn, op: str) -> Example:
    case, kind, axis = Case(draw(SEEDS)), draw(st.sampled_from(types(op))), draw(st.integers(-3, 2))
    shape = [2, 2, 2]
    shape[axis] = draw(st.integers(1, 40))
    x = with_equals(case, tuple(shape), kind) if draw(st.booleans()) else case.any(tuple(shape), kind)
    attributes = {"axis": axis, "largest": draw(st.integers(0, 1)), "sorted": draw(st.integers(0, 1))}
    return Example([x, int64(draw(st.integers(0, shape[axis])))], attributes, (kind, "int64"), constants=(1,))


@example("OneHot")
def one_hot(draw: st.DrawFn, op: str) -> Example:
    case, kind, wide = Case(draw(SEEDS)), draw(st.sampled_from(types(op))), draw(st.sampled_from(["int64", "float32", "int32"]))
    index = case.rng.integers(-7 if kind != "uint8" else 0, 7, draw(SHAPES)[:3]).astype(kind)
    if kind == "float32":
        index = np.where(case.rng.random(index.shape) < 0.2, np.float32(1e20), index)
    values, dtype = data(draw, (2,))
    depth = np.array(draw(st.integers(0, 5)), wide)
    axis = draw(st.integers(-index.ndim - 1, index.ndim))
    return Example([index, depth, values], {"axis": axis}, (dtype,), constants=(1,))


@example("EyeLike")
def eye_like(draw: st.DrawFn, op: str) -> Example:
    x, _ = data(draw, (draw(st.integers(0, 5)), draw(st.integers(0, 5))))
    return Example([x], {"k": draw(st.integers(-6, 6))}, (draw(ANY),))


@example("Unique")
def unique(draw: st.DrawFn, op: str) -> Example:
    case, kind, shape = Case(draw(SEEDS)), draw(ANY), draw(SHAPES)
    x = with_equals(case, shape, kind) if kind != "bool" else case.any(shape, kind)
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    attributes = {"sorted": draw(st.integers(0, 1)), **({} if axis is None else {"axis": axis})}
    return Example([x], attributes, (kind, "int64", "int64", "int64"))


@example("ConstantOfShape")
def constant_of_shape(draw: st.DrawFn, op: str) -> Example:
    value, kind = data(draw, (1,))
    return Example([int64(*draw(st.lists(st.integers(0, 4), max_size=3))), value], {}, (kind,), constants=(0, 1))
