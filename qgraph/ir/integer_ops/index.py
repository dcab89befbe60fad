"""The small float32, int64, int32 and bool ops that shapes, indices and masks need; all of the ONNX standard."""

from __future__ import annotations

from qgraph.ir.integer_ops import common, functions
from qgraph.ir.integer_ops.enums import ShiftDirection
from qgraph.ir.integer_ops.spec import (
    ANY,
    BOOL,
    F32,
    I8,
    I16,
    I32,
    I64,
    MAX_RANK,
    U8,
    AttributeSpec,
    InputSpec,
    OpSpec,
    OutputSpec,
    Types,
)

NUMBERS: Types = (F32, I64, I32)
ALL_NUMBERS: Types = (F32, I64, I32, I16, I8, U8)
INTEGERS: Types = (I64, I32)
ALL_INTEGERS: Types = (I64, I32, I16, I8, U8)
ORDERED: Types = (F32, I64, I32, I16, I8, U8)


def _small(
    op: str, inputs: tuple[InputSpec, ...], y: OutputSpec, equation: str, attributes: tuple[AttributeSpec, ...] = ()
) -> OpSpec:
    return OpSpec(op, "index", inputs, (y,), attributes, equation, domain="")


def _pair(op: str, types: Types, equation: str, result: Types = (), attributes: tuple[AttributeSpec, ...] = ()) -> OpSpec:
    inputs = (InputSpec("a", types), InputSpec("b", types, "a and b broadcast", same_as="a"))
    y = OutputSpec("y", result) if result else OutputSpec("y", types, same_as="a")
    return _small(op, inputs, y, equation, attributes)


def _unary(op: str, types: Types, equation: str, result: Types = (), attributes: tuple[AttributeSpec, ...] = ()) -> OpSpec:
    y = OutputSpec("y", result) if result else OutputSpec("y", types, same_as="x")
    return _small(op, (InputSpec("x", types),), y, equation, attributes)


def _variadic(op: str, types: Types, equation: str) -> OpSpec:
    x = InputSpec("x", types, "one or more, which broadcast", variadic=True)
    return _small(op, (x,), OutputSpec("y", types, same_as="x"), equation)


def _place(op: str, better: str) -> OpSpec:
    attributes = (
        AttributeSpec("axis", "int", -MAX_RANK, MAX_RANK - 1, 0, meaning="negative ones count from the end"),
        common.flag("keepdims", "1: the axis stays, with length 1", 1),
        common.flag("select_last_index", "1: the last of equal elements"),
    )
    equation = f"from the first element on, y = i where x[i] {better} x[y], or also where they are equal with select_last_index"
    return _small(op, (InputSpec("x", NUMBERS),), OutputSpec("y", (I64,)), equation, attributes)


WRAPS = "one IEEE operation, or integers modulo 2^bits"
CAST = "to bool: x != 0; float32 to integers: towards 0, saturated, NaN is 0; integers modulo 2^bits; to float32: rne"
POW = (
    "y = float32(exp(b * log(|a|))) in double, with the sign of a where b is odd and NaN where a is negative and b not whole;\n"
    "b = 0, a = 1: 1; a = -1: -+1; b = 2: a * a; b = 3: float32((a * a) * a) in double     1 ulp\n"
    "integers to integers: modulo 2^bits, a fraction is 0; else a and b are converted to float32 and y saturated\n"
    f"{functions.EXP_WIDE}\n{functions.LOG_WIDE}"
)

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
    _small("Cast", (InputSpec("x", ANY),), OutputSpec("y", ANY, "its type is the target"), CAST),
    _small(
        "CastLike",
        (InputSpec("x", ANY), InputSpec("target", ANY, "has the type of y")),
        OutputSpec("y", ANY, same_as="target"),
        CAST,
    ),
    _pair("Add", ALL_NUMBERS, f"y = a + b, {WRAPS}"),
    _pair("Sub", ALL_NUMBERS, f"y = a - b, {WRAPS}"),
    _pair("Mul", ALL_NUMBERS, f"y = a * b, {WRAPS}"),
    _pair("Div", ALL_NUMBERS, "y = a / b, one IEEE operation; integers towards 0, modulo 2^bits, and 0 where b is 0"),
    _pair(
        "Mod",
        ALL_NUMBERS,
        "r = a - b * (a / b towards 0), without fmod r + b where r is not 0 and its sign is not that of b, and the 0 of b's"
        " sign where r is 0; integers: 0 where b is 0",
        attributes=(common.flag("fmod", "1: the sign is that of a, and not that of b"),),
    ),
    _small(
        "Pow",
        (InputSpec("a", NUMBERS), InputSpec("b", NUMBERS, "a and b broadcast")),
        OutputSpec("y", NUMBERS, same_as="a"),
        POW,
    ),
    _variadic("Sum", (F32,), "y = x0 + x1 + ..., from the first on"),
    _variadic("Mean", (F32,), "y = (x0 + x1 + ...) / float(how many)"),
    _variadic("Max", ALL_NUMBERS, "y = x0, then for each x: y > x or y is NaN ? y : x"),
    _variadic("Min", ALL_NUMBERS, "y = x0, then for each x: y < x or y is NaN ? y : x"),
    _pair("Equal", (*ALL_NUMBERS, BOOL), "y = a == b", (BOOL,)),
    _pair("Greater", ALL_NUMBERS, "y = a > b", (BOOL,)),
    _pair("Less", ALL_NUMBERS, "y = a < b", (BOOL,)),
    _pair("GreaterOrEqual", ALL_NUMBERS, "y = a >= b", (BOOL,)),
    _pair("LessOrEqual", ALL_NUMBERS, "y = a <= b", (BOOL,)),
    _pair("And", (BOOL,), "y = a and b"),
    _pair("Or", (BOOL,), "y = a or b"),
    _pair("Xor", (BOOL,), "y = a != b"),
    _pair("BitwiseAnd", ALL_INTEGERS, "y = a and b, bit by bit"),
    _pair("BitwiseOr", ALL_INTEGERS, "y = a or b, bit by bit"),
    _pair("BitwiseXor", ALL_INTEGERS, "y = a xor b, bit by bit"),
    _pair(
        "BitShift",
        (U8,),
        "y = a * 2^b or a / 2^b, what leaves the type is lost",
        attributes=(AttributeSpec("direction", "int", 0, 1, required=True, enum=ShiftDirection),),
    ),
    _place("ArgMax", ">"),
    _place("ArgMin", "<"),
    _unary("Not", (BOOL,), "y = not x"),
    _unary("BitwiseNot", ALL_INTEGERS, "y = not x, bit by bit"),
    _unary("IsNaN", (F32,), "y = x is NaN", (BOOL,)),
    _unary(
        "IsInf",
        (F32,),
        "y = x is -infinity or infinity",
        (BOOL,),
        (common.flag("detect_negative", "0: -infinity is none", 1), common.flag("detect_positive", "0: infinity is none", 1)),
    ),
    _unary("Neg", ALL_NUMBERS, "y = -x, integers modulo 2^bits"),
    _unary("Abs", ALL_NUMBERS, "y = |x|, integers modulo 2^bits"),
    _unary("Sign", ALL_NUMBERS, "y = 1, 0 or -1; NaN where x is"),
    _unary("Relu", ALL_NUMBERS, "y = x < 0 ? 0 : x"),
    _small(
        "Clip",
        (
            InputSpec("x", ALL_NUMBERS),
            InputSpec("min", ALL_NUMBERS, "one element", optional=True, same_as="x"),
            InputSpec("max", ALL_NUMBERS, "one element", optional=True, same_as="x"),
        ),
        OutputSpec("y", ALL_NUMBERS, same_as="x"),
        "t = x < min ? min : x; y = t > max ? max : t",
    ),
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
        tuple(
            InputSpec(
                n, (*NUMBERS, I16), "one element, below 2^40 in magnitude", known=True, same_as="" if n == "start" else "start"
            )
            for n in ("start", "limit", "delta")
        ),
        OutputSpec("y", (*NUMBERS, I16), same_as="start"),
        "y[i] = start + i * delta, up to limit, without it; float32: one IEEE operation each, for the i from 0 on, as many as\n"
        "ceil((double(limit) - double(start)) / double(delta))",
    ),
    OpSpec(
        "TopK",
        "index",
        (InputSpec("x", ORDERED), InputSpec("k", (I64,), "one element", known=True)),
        (OutputSpec("values", ORDERED, same_as="x"), OutputSpec("indices", (I64,))),
        (
            common.axis(default=-1),
            common.flag("largest", "1: the largest elements, 0: the smallest", 1),
            common.flag("sorted", "0: any order; it is that of 1", 1),
        ),
        "the first k elements of each line along axis, largest or smallest first, the first of equal ones first; 0 is -0, NaN\n"
        "is above infinity",
        domain="",
    ),
    _small(
        "OneHot",
        (
            InputSpec("indices", ORDERED, "negative ones count from depth; float32 towards 0"),
            InputSpec("depth", ORDERED, "one element", known=True),
            InputSpec("values", ANY, "off and on"),
        ),
        OutputSpec("y", ANY, same_as="values"),
        "y[..., d, ...] = on where indices[...] is d, and off elsewhere; d runs along axis",
        (common.axis(default=-1),),
    ),
    _small(
        "EyeLike",
        (InputSpec("x", ANY, "a matrix"),),
        OutputSpec("y", ANY, "its type is that of the ones"),
        "y[i, j] = 1 where j = i + k, else 0",
        (AttributeSpec("k", "int", -(1 << 31), 1 << 31, 0),),
    ),
    OpSpec(
        "Unique",
        "index",
        (InputSpec("x", ANY),),
        (
            OutputSpec("y", ANY, same_as="x"),
            OutputSpec("indices", (I64,), "where each is first", optional=True),
            OutputSpec("inverse_indices", (I64,), "where each element of x, or place of axis, is in y", optional=True),
            OutputSpec("counts", (I64,), "how often each is there", optional=True),
        ),
        (
            AttributeSpec(
                "axis", "int", -MAX_RANK, MAX_RANK - 1, meaning="left out: x is flattened; negative ones count from the end"
            ),
            common.flag("sorted", "0: in the order of x", 1),
        ),
        "the different elements, or slices along axis, compared element by element; 0 is -0, NaN is NaN and above infinity",
        domain="",
    ),
    _small(
        "ConstantOfShape",
        (InputSpec("shape", (I64,), known=True), InputSpec("value", ANY, "one element", constant=True, finite=False)),
        OutputSpec("y", ANY, same_as="value"),
        "y = value everywhere",
    ),
)
