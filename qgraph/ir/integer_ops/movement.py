"""Ops that move elements: those of the ONNX standard, on codes and on whatever else, and Pad with a code to fill with."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.enums import CacheMode, PadMode, ScatterReduction
from qgraph.ir.integer_ops.spec import (
    ANY,
    BOOL,
    F32,
    I4,
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

DATA = InputSpec("data", ANY)
MOVED = OutputSpec("y", ANY, same_as="data")
INDICES = InputSpec("indices", (I64, I32), "negative ones count from the end")
LIKE_ONNX = "as ONNX defines it"


def _shape(name: str, meaning: str = "", optional: bool = False, types: Types = (I64,)) -> InputSpec:
    return InputSpec(name, types, meaning, optional=optional, known=True)


def _moves(
    op: str, *inputs: InputSpec, attributes: tuple[AttributeSpec, ...] = (), equation: str = LIKE_ONNX, y: OutputSpec = MOVED
) -> OpSpec:
    return OpSpec(op, "movement", inputs, (y,), attributes, equation, domain="")


RESHAPE = _moves(
    "Reshape",
    DATA,
    _shape("shape", "0 keeps a dim, -1 takes what is left"),
    attributes=(common.flag("allowzero", "1: 0 is a length"),),
)
SQUEEZE = _moves("Squeeze", DATA, _shape("axes", "left out: all of length 1", optional=True))
UNSQUEEZE = _moves("Unsqueeze", DATA, _shape("axes"))
FLATTEN = _moves(
    "Flatten", DATA, attributes=(AttributeSpec("axis", "int", -MAX_RANK, MAX_RANK, 1, meaning="first of the second dim"),)
)
IDENTITY = _moves("Identity", DATA, equation="y = data")
TRANSPOSE = _moves(
    "Transpose",
    DATA,
    attributes=(AttributeSpec("perm", "ints", 0, MAX_RANK - 1, meaning="left out: the axes reversed"),),
    equation="axis i of y is axis perm[i] of data",
)
SLICE = _moves("Slice", DATA, _shape("starts"), _shape("ends"), _shape("axes", optional=True), _shape("steps", optional=True))
SPLIT = _moves(
    "Split",
    DATA,
    _shape("split", "lengths of the parts; left out: equal ones, the last one shorter", optional=True),
    attributes=(
        common.axis(),
        AttributeSpec("num_outputs", "int", 1, (1 << 31) - 1, meaning="the outputs, which count instead"),
    ),
    y=OutputSpec("y", ANY, "the parts", variadic=True, same_as="data"),
)
CONCAT = OpSpec(
    "Concat",
    "movement",
    (InputSpec("data", ANY, variadic=True, same_as="data"),),
    (MOVED,),
    (common.axis(default=None),),
    LIKE_ONNX,
    domain="",
)
GATHER = _moves(
    "Gather",
    InputSpec("data", (*ANY, I4), "int4: a constant [rows, width], axis 0"),
    INDICES,
    attributes=(common.axis(),),
    equation="y[..., i, ...] = data[..., indices[i], ...]; int4 becomes int8; an index out of range is an error",
)
GATHER_ELEMENTS = _moves("GatherElements", DATA, INDICES, attributes=(common.axis(),))
GATHER_ND = _moves("GatherND", DATA, INDICES, attributes=(AttributeSpec("batch_dims", "int", 0, MAX_RANK, 0),))
EXPAND = _moves("Expand", DATA, _shape("shape", "broadcasts with that of data"))
TILE = _moves("Tile", DATA, _shape("repeats", "one a dim"))
BLOCKSIZE = AttributeSpec("blocksize", "int", 1, 1 << 16, required=True)
DEPTH_TO_SPACE = _moves(
    "DepthToSpace", DATA, attributes=(BLOCKSIZE, common.flag("dcr", "1: depth, column, row; 0: column, row, depth", 1))
)
SPACE_TO_DEPTH = _moves("SpaceToDepth", DATA, attributes=(BLOCKSIZE,))

PAD = OpSpec(
    "Pad",
    "movement",
    inputs=(
        InputSpec("x", (U8, I16, I64, I32, BOOL)),
        _shape("pads", "at the begin of each axis, then at the ends; negative ones cut"),
    ),
    outputs=(OutputSpec("y", (U8, I16, I64, I32, BOOL), same_as="x"),),
    attributes=(
        AttributeSpec("mode", "int", 0, 3, 0, enum=PadMode),
        AttributeSpec("value", "int", -(1 << 40), 1 << 40, 0, codes_of="x", meaning="what CONSTANT fills with"),
        AttributeSpec("axes", "ints", -MAX_RANK, MAX_RANK - 1, meaning="axes that pads speaks of; left out: all"),
    ),
    equation=(
        "y[i] = x[i - begin] where that is on x and not cut; else CONSTANT: value; REFLECT: what is left of x, mirrored at its\n"
        "first and last element; EDGE: the nearest element; WRAP: it repeated"
    ),
    any_layout=True,
)
ONNX_PAD = _moves(
    "Pad",
    InputSpec("x", ANY),
    PAD.inputs[1],
    InputSpec("value", ANY, "one element, what CONSTANT fills with; left out: 0", optional=True, same_as="x"),
    _shape("axes", "axes that pads speaks of; left out: all", optional=True, types=INDICES.types),
    attributes=PAD.attributes[:1],
    equation=PAD.equation,
    y=OutputSpec("y", ANY, same_as="x"),
)
CENTER_CROP_PAD = _moves(
    "CenterCropPad",
    DATA,
    _shape("shape", "the lengths of axes", types=INDICES.types),
    attributes=(AttributeSpec("axes", "ints", -MAX_RANK, MAX_RANK - 1, meaning="left out: all"),),
    equation="Pad with 0: of n elements more, n / 2 rounded down in front; of n less as many are cut there",
)
TRILU = _moves(
    "Trilu",
    DATA,
    _shape("k", "one element; left out: 0", optional=True),
    attributes=(common.flag("upper", "1: the upper triangle", 1),),
    equation="y[..., i, j] = data[..., i, j] where j >= i + k (upper) or j <= i + k, else 0",
)
REVERSE_SEQUENCE = _moves(
    "ReverseSequence",
    DATA,
    InputSpec("sequence_lens", (I64,), "one for each place of batch_axis, 0 to the length of time_axis"),
    attributes=(
        AttributeSpec("batch_axis", "int", 0, 1, 1),
        AttributeSpec("time_axis", "int", 0, 1, 0, meaning="the other one of the first two axes"),
    ),
    equation="the first sequence_lens[b] elements along time_axis in reverse order, the others as they are",
)
REDUCTION = AttributeSpec("reduction", "int", 0, 4, 0, enum=ScatterReduction)
UPDATES = InputSpec("updates", ANY, same_as="data")
SCATTERED = (
    "y = data, then for each update u in order at its place: NONE: y = u; ADD: y + u; MUL: y * u; MAX: y > u ? y : u;\n"
    "MIN: y < u ? y : u; float32 by one IEEE operation, integers modulo 2^bits, bool with or for ADD and MAX, and for the others"
)
SCATTER_ELEMENTS = _moves("ScatterElements", DATA, INDICES, UPDATES, attributes=(common.axis(), REDUCTION), equation=SCATTERED)
SCATTER_ND = _moves("ScatterND", DATA, INDICES, UPDATES, attributes=(REDUCTION,), equation=SCATTERED)
TENSOR_SCATTER = _moves(
    "TensorScatter",
    DATA,
    InputSpec("update", ANY, "as data, and no longer along axis", same_as="data"),
    InputSpec("write_indices", (I64,), "one for each batch, at least 0; left out: 0", optional=True),
    attributes=(
        AttributeSpec("axis", "int", -MAX_RANK, MAX_RANK - 1, -2, meaning="not the first one; negative ones count from the end"),
        AttributeSpec("mode", "int", 0, 1, 0, enum=CacheMode),
    ),
    equation="y = data, then y[b, ..., write_indices[b] + i, ...] = update[b, ..., i, ...]; CIRCULAR: modulo the length of axis",
)
COMPRESS = _moves(
    "Compress",
    DATA,
    InputSpec("condition", (BOOL,), "no longer than axis; what it leaves out is false"),
    attributes=(AttributeSpec("axis", "int", -MAX_RANK, MAX_RANK - 1, meaning="left out: data is flattened"),),
    equation="the elements, or the slices along axis, whose condition is true, in their order",
)

_AXES = "one a spatial axis; left out: "
COL2IM = OpSpec(
    "Col2Im",
    "movement",
    inputs=(
        InputSpec("x", (F32,), "[batch, c * taps, places]"),
        InputSpec("image_shape", (I64,), "size of the image along each spatial axis", known=True),
        InputSpec("block_shape", (I64,), "size of a block along each spatial axis", known=True),
    ),
    outputs=(OutputSpec("y", (F32,), "[batch, c, size...]"),),
    attributes=(
        AttributeSpec("strides", "ints", 1, common.LENGTH, meaning=f"{_AXES}1"),
        AttributeSpec("dilations", "ints", 1, common.LENGTH, meaning=f"{_AXES}1"),
        AttributeSpec(
            "pads", "ints", 0, common.LENGTH, meaning="at the begin of each spatial axis, then at the ends; left out: 0"
        ),
    ),
    equation=(
        "y = 0; for each tap k in order and each place p: y[p * stride + k * dilation - begin] = itself + x[k, p], where it lies "
        "in y"
    ),
    domain="",
)

OPS = (
    RESHAPE,
    SQUEEZE,
    UNSQUEEZE,
    FLATTEN,
    IDENTITY,
    TRANSPOSE,
    SLICE,
    SPLIT,
    CONCAT,
    GATHER,
    GATHER_ELEMENTS,
    GATHER_ND,
    EXPAND,
    TILE,
    DEPTH_TO_SPACE,
    SPACE_TO_DEPTH,
    PAD,
    ONNX_PAD,
    CENTER_CROP_PAD,
    TRILU,
    REVERSE_SEQUENCE,
    SCATTER_ELEMENTS,
    SCATTER_ND,
    TENSOR_SCATTER,
    COMPRESS,
    COL2IM,
)
