"""The small float32, int64, int32 and bool ops that shapes, indices and masks need; all of the ONNX standard."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.spec import (
    ANY,
    BOOL,
    F32,
    I8,
    I32,
    I64,
    MAX_RANK,
    SMALL,
    U8,
    AttributeSpec,
    InputSpec,
    OpSpec,
    OutputSpec,
    Types,
)

NUMBERS: Types = (F32, I64, I32)
INTEGERS: Types = (I64, I32)


def _small(
    op: str, inputs: tuple[InputSpec, ...], y: OutputSpec, equation: str, attributes: tuple[AttributeSpec, ...] = ()
) -> OpSpec:
    return OpSpec(op, "index", inputs, (y,), attributes, equation, domain="")


def _pair(op: str, types: Types, equation: str, result: Types = (), attributes: tuple[AttributeSpec, ...] = ()) -> OpSpec:
    inputs = (InputSpec("a", types), InputSpec("b", types, "a and b broadcast", same_as="a"))
    y = OutputSpec("y", result) if result else OutputSpec("y", types, same_as="a")
    return _small(op, inputs, y, equation, attributes)


def _unary(op: str, types: Types, equation: str, result: Types = ()) -> OpSpec:
    y = OutputSpec("y", result) if result else OutputSpec("y", types, same_as="x")
    return _small(op, (InputSpec("x", types),), y, equation)


def _place(op: str, better: str) -> OpSpec:
    attributes = (
        AttributeSpec("axis", "int", -MAX_RANK, MAX_RANK - 1, 0, meaning="negative ones count from the end"),
        common.flag("keepdims", "1: the axis stays, with length 1", 1),
        common.flag("select_last_index", "1: the last of equal elements"),
    )
    equation = f"from the first element on, y = i where x[i] {better} x[y], or also where they are equal with select_last_index"
    return _small(op, (InputSpec("x", NUMBERS),), OutputSpec("y", (I64,)), equation, attributes)


WRAPS = "one IEEE operation, or integers modulo 2^bits"

OPS = (
    _small(
        "Shape",
        (InputSpec("data", ANY),),
        OutputSpec("y", (I64,)),
        "the dims start to end of data",
        (
            AttributeSpec("start", "int", -MAX_RANK, MAX_RANK, 0, meaning="negative ones count from the end"),
            AttributeSpec("end", "int", -MAX_RANK, MAX_RANK, meaning="left out: the rank"),
        ),
    ),
    _small("Size", (InputSpec("data", ANY),), OutputSpec("y", (I64,)), "the number of elements of data"),
    _small(
        "Cast",
        (InputSpec("x", (*SMALL, U8, I8), "8-bit ones are inputs of the model, such as images"),),
        OutputSpec("y", SMALL, "its type is the target"),
        "to bool: x != 0; float32 to integers: towards 0, saturated, NaN is 0; integers modulo 2^bits; to float32: rne",
    ),
    _pair("Add", NUMBERS, f"y = a + b, {WRAPS}"),
    _pair("Sub", NUMBERS, f"y = a - b, {WRAPS}"),
    _pair("Mul", NUMBERS, f"y = a * b, {WRAPS}"),
    _pair("Div", NUMBERS, "y = a / b, one IEEE operation; integers towards 0, and 0 where b is 0; -2^63 / -1 is open"),
    _pair(
        "Mod",
        INTEGERS,
        "y = a - b * floor(a / b); 0 where b is 0; that of -2^63 and -1 is open",
        attributes=(AttributeSpec("fmod", "int", 0, 0, 0, meaning="the sign is that of b"),),
    ),
    _pair("Max", NUMBERS, "y = a > b ? a : b"),
    _pair("Min", NUMBERS, "y = a < b ? a : b"),
    _pair("Equal", SMALL, "y = a == b", (BOOL,)),
    _pair("Greater", NUMBERS, "y = a > b", (BOOL,)),
    _pair("Less", NUMBERS, "y = a < b", (BOOL,)),
    _pair("GreaterOrEqual", NUMBERS, "y = a >= b", (BOOL,)),
    _pair("LessOrEqual", NUMBERS, "y = a <= b", (BOOL,)),
    _pair("And", (BOOL,), "y = a and b"),
    _pair("Or", (BOOL,), "y = a or b"),
    _pair("Xor", (BOOL,), "y = a != b"),
    _place("ArgMax", ">"),
    _place("ArgMin", "<"),
    _unary("Not", (BOOL,), "y = not x"),
    _unary("IsNaN", (F32,), "y = x is NaN", (BOOL,)),
    _unary("Neg", (F32, I64), "y = -x, integers modulo 2^64"),
    _unary("Relu", (F32, I64, I32), "y = x < 0 ? 0 : x"),
    _unary("Abs", (F32, I64), "y = |x|, integers modulo 2^64"),
    _small(
        "Where",
        (InputSpec("condition", (BOOL,)), InputSpec("a", ANY), InputSpec("b", ANY, "all three broadcast", same_as="a")),
        OutputSpec("y", ANY, same_as="a"),
        "y = condition ? a : b",
    ),
    _small(
        "NonZero",
        (InputSpec("x", ANY),),
        OutputSpec("y", (I64,)),
        "y[:, k] = the indices of the k-th element, in the order of x, that is not 0",
    ),
    _small(
        "Range",
        (
            InputSpec("start", NUMBERS, "one element; integers below 2^40 in magnitude", known=True),
            *(InputSpec(n, NUMBERS, "the same", known=True, same_as="start") for n in ("limit", "delta")),
        ),
        OutputSpec("y", NUMBERS, same_as="start"),
        "y[i] = start + i * delta, in float32 float(i) * delta rounded first, for i below (limit - start) / delta in double",
    ),
    _small(
        "ConstantOfShape",
        (InputSpec("shape", (I64,), known=True), InputSpec("value", ANY, "one element", constant=True, finite=False)),
        OutputSpec("y", ANY, same_as="value"),
        "y = value everywhere",
    ),
)
