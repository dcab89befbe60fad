"""What every op is, one row an op: its family, what it does to the elements of its inputs, and the axes of its weight.

Everything that asks "is this op a ...?" asks here: planning, calibration, lowering, pruning, shape rules and the torch form. The
functions of an op stand elsewhere, in files named after its family: ``execute/torch_ops`` (torch), ``ir/axes`` (which axes change
together) and ``passes/lower`` (its integer kernel). Where one of the three is missing, the row says why.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Literal

import onnx_ir as ir

Family = Literal[
    "linear", "conv", "attention", "pointwise", "norm", "pool", "movement", "index", "resize", "quantized",
    "recurrent", "control", "random", "sequence", "text", "signal", "loss", "detection",
]  # fmt: skip


class Trait(enum.Flag):
    """Facts about an op's first output."""

    NONE = 0
    ELEMENTWISE = enum.auto()
    """Element i depends on the elements i of the inputs only, which broadcast as in NumPy."""
    TABLE = enum.auto()
    """A function of one value where the other inputs are constants, so that a table can hold it."""
    PERMUTES = enum.auto()
    """Holds exactly the elements of input 0, in another order or shape."""
    MOVES = enum.auto()
    """Holds elements of input 0 (some, repeated, or with padding), so that one scale serves both."""
    SAME_SHAPE = enum.auto()
    """Not elementwise, and has the shape of input 0."""
    KEEPS_ZERO = enum.auto()
    """Zeros (of all inputs, parameters too) give zeros."""
    CARRIES_MASK = enum.auto()
    """What a mask near -inf does to an input it does to the output."""
    CLAMPS = enum.auto()
    """Bounds its input, which a requantization can do on its codes."""
    LINEAR = enum.auto()
    """A sum of products with a weight, input 1."""
    FROM_SHAPES = enum.auto()
    """Holds no data of its inputs, so no channels."""
    CONTROL_FLOW = enum.auto()
    """Has a graph as an attribute."""


@dataclasses.dataclass(frozen=True)
class OpTraits:
    """One row.

    Attributes:
        op_type, domain: the op.
        family: the files that its functions stand in.
        traits: facts about its first output.
        weight_axes: (input channels, output channels) of a weight that is not transposed, for linear ops.
        channel_axis: the axis of input 0 that runs over its channels, for linear ops.
        no_integer: why no kernel of the integer dialect computes it; empty where one does.
        no_torch: why it has no torch form.
        no_axes: why it has no rule for pruning.
    """

    op_type: str
    family: Family
    traits: Trait = Trait.NONE
    domain: str = ""
    weight_axes: tuple[int, int] | None = None
    channel_axis: int = -1
    no_integer: str = ""
    no_torch: str = ""
    no_axes: str = ""

    @property
    def has_integer_form(self) -> bool:
        """Whether a program runs it on codes, or on shapes, indices and masks."""
        return self.no_integer in ("", SMALL)


T = Trait
FUNCTION = T.ELEMENTWISE | T.TABLE
ODD = FUNCTION | T.KEEPS_ZERO  # f(0) = 0
LOGIC = T.ELEMENTWISE
SHAPED = T.PERMUTES | T.MOVES | T.KEEPS_ZERO
PART = T.MOVES | T.KEEPS_ZERO
NORM = T.SAME_SHAPE

FLOAT = "runs in float32: no integer kernel computes it"
SUMS = "runs in float32: norms and shares divide by it, and 8 bits of so wide a range would lose them"
PRODUCTS = "runs in float32: its range spans orders of magnitude, which no scale covers"
INDICES = "its output are indices or bits, not quantized numbers"
JOINED = "runs in float32: one scale seldom serves both what it joins, such as the boxes and the scores of a detector"
FOLDED = "a pass replaces it before the lowering"
EXPANDED = "the capture replaces it by the ops that ONNX defines it by"
SMALL = "the program runs it on shapes, indices and masks as it stands"
RARE = "no captured model needs it so far"
PLACES = "its indices name places that pruning would move"
WHOLE = "its result depends on whole rows, so no axis of it can be cut"
NO_TENSOR = "its values are no tensors of numbers"
RANDOM = "a random result cannot be reproduced bit for bit"
NESTED = "it runs graphs of its own"
INSIDE = "its graphs run in float32"

_ROWS = (
    OpTraits("Det", "linear", no_integer=FLOAT, no_torch=RARE, no_axes=WHOLE),
    OpTraits("Einsum", "linear", no_integer=FLOAT),
    OpTraits("Gemm", "linear", T.LINEAR | T.KEEPS_ZERO, weight_axes=(0, 1)),
    OpTraits("MatMul", "linear", T.LINEAR | T.KEEPS_ZERO, weight_axes=(-2, -1)),
    #
    OpTraits("CausalConvWithState", "conv", no_integer=FLOAT, no_torch=RARE, no_axes=RARE),
    OpTraits("Conv", "conv", T.LINEAR | T.KEEPS_ZERO, weight_axes=(1, 0), channel_axis=1),
    OpTraits("ConvTranspose", "conv", T.LINEAR, weight_axes=(0, 1), channel_axis=1),
    OpTraits("DeformConv", "conv", no_integer=FLOAT, no_torch=RARE, no_axes=RARE),
    #
    OpTraits("Attention", "attention", no_integer=EXPANDED, no_torch=EXPANDED, no_axes=EXPANDED),
    OpTraits("LinearAttention", "attention", no_integer=FLOAT, no_torch=RARE, no_axes=RARE),
    OpTraits("RotaryEmbedding", "attention", T.SAME_SHAPE, no_integer=EXPANDED, no_torch=EXPANDED, no_axes=EXPANDED),
    #
    OpTraits("Abs", "pointwise", ODD),
    OpTraits("Acos", "pointwise", FUNCTION),
    OpTraits("Acosh", "pointwise", FUNCTION),
    OpTraits("Add", "pointwise", ODD | T.CARRIES_MASK),
    OpTraits("And", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("Asin", "pointwise", ODD),
    OpTraits("Asinh", "pointwise", ODD),
    OpTraits("Atan", "pointwise", ODD),
    OpTraits("Atanh", "pointwise", ODD),
    OpTraits("BitShift", "pointwise", LOGIC, no_integer=INDICES),
    OpTraits("BitwiseAnd", "pointwise", LOGIC, no_integer=INDICES),
    OpTraits("BitwiseNot", "pointwise", LOGIC, no_integer=INDICES),
    OpTraits("BitwiseOr", "pointwise", LOGIC, no_integer=INDICES),
    OpTraits("BitwiseXor", "pointwise", LOGIC, no_integer=INDICES),
    OpTraits("Cast", "pointwise", LOGIC | T.CARRIES_MASK, no_integer=SMALL),
    OpTraits("CastLike", "pointwise", T.SAME_SHAPE, no_integer=FOLDED),
    OpTraits("Ceil", "pointwise", ODD),
    OpTraits("Celu", "pointwise", ODD),
    OpTraits("Clip", "pointwise", FUNCTION | T.CLAMPS),
    OpTraits("Cos", "pointwise", FUNCTION),
    OpTraits("Cosh", "pointwise", FUNCTION),
    OpTraits("Div", "pointwise", FUNCTION),
    OpTraits("Dropout", "pointwise", T.ELEMENTWISE | T.MOVES | T.KEEPS_ZERO),
    OpTraits("Elu", "pointwise", ODD),
    OpTraits("Equal", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("Erf", "pointwise", ODD),
    OpTraits("Exp", "pointwise", FUNCTION),
    OpTraits("Floor", "pointwise", ODD),
    OpTraits("Gelu", "pointwise", ODD),
    OpTraits("Greater", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("GreaterOrEqual", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("HardSigmoid", "pointwise", FUNCTION),
    OpTraits("HardSwish", "pointwise", ODD),
    OpTraits("Identity", "pointwise", SHAPED | FUNCTION | T.CARRIES_MASK),
    OpTraits("IsInf", "pointwise", LOGIC, no_integer=INDICES),
    OpTraits("IsNaN", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("LeakyRelu", "pointwise", ODD),
    OpTraits("Less", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("LessOrEqual", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("Log", "pointwise", FUNCTION),
    OpTraits("Max", "pointwise", ODD | T.CARRIES_MASK),
    OpTraits("Mean", "pointwise", LOGIC | T.KEEPS_ZERO, no_integer=FLOAT),
    OpTraits("Min", "pointwise", ODD),
    OpTraits("Mish", "pointwise", ODD),
    OpTraits("Mod", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("Mul", "pointwise", ODD | T.CARRIES_MASK),
    OpTraits("Neg", "pointwise", ODD),
    OpTraits("Not", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("Or", "pointwise", LOGIC, no_integer=SMALL),
    OpTraits("PRelu", "pointwise", ODD),
    OpTraits("Pow", "pointwise", FUNCTION),
    OpTraits("Reciprocal", "pointwise", FUNCTION),
    OpTraits("Relu", "pointwise", ODD | T.CLAMPS),
    OpTraits("Round", "pointwise", ODD),
    OpTraits("Selu", "pointwise", ODD),
    OpTraits("Shrink", "pointwise", FUNCTION),
    OpTraits("Sigmoid", "pointwise", FUNCTION),
    OpTraits("Sign", "pointwise", ODD),
    OpTraits("Sin", "pointwise", ODD),
    OpTraits("Sinh", "pointwise", ODD),
    OpTraits("Softplus", "pointwise", FUNCTION),
    OpTraits("Softsign", "pointwise", ODD),
    OpTraits("Sqrt", "pointwise", ODD),
    OpTraits("Sub", "pointwise", ODD | T.CARRIES_MASK),
    OpTraits("Sum", "pointwise", ODD),
    OpTraits("SwiGLU", "pointwise", no_integer=EXPANDED, no_torch=EXPANDED, no_axes=EXPANDED),
    OpTraits("Swish", "pointwise", ODD),
    OpTraits("Tan", "pointwise", ODD),
    OpTraits("Tanh", "pointwise", ODD),
    OpTraits("ThresholdedRelu", "pointwise", FUNCTION),
    OpTraits("Where", "pointwise", LOGIC | T.CARRIES_MASK, no_integer=SMALL),
    OpTraits("Xor", "pointwise", LOGIC, no_integer=SMALL),
    #
    OpTraits("BatchNormalization", "norm", NORM | T.KEEPS_ZERO, no_integer=FOLDED),
    OpTraits("GroupNormalization", "norm", NORM),
    OpTraits("Hardmax", "norm", NORM, no_integer=FLOAT),
    OpTraits("InstanceNormalization", "norm", NORM),
    OpTraits("LRN", "norm", NORM),
    OpTraits("LayerNormalization", "norm", NORM),
    OpTraits("LogSoftmax", "norm", NORM, no_integer=FLOAT),
    OpTraits("LpNormalization", "norm", NORM, no_integer=FLOAT),
    OpTraits("MeanVarianceNormalization", "norm", NORM, no_integer=FLOAT),
    OpTraits("RMSNormalization", "norm", NORM),
    OpTraits("Softmax", "norm", NORM),
    #
    OpTraits("AveragePool", "pool", T.KEEPS_ZERO),
    OpTraits("CumProd", "pool", T.SAME_SHAPE, no_integer=PRODUCTS, no_axes=RARE),
    OpTraits("CumSum", "pool", T.SAME_SHAPE, no_integer=SMALL),
    OpTraits("GlobalAveragePool", "pool", T.KEEPS_ZERO),
    OpTraits("GlobalLpPool", "pool", no_integer=SUMS, no_axes=RARE),
    OpTraits("GlobalMaxPool", "pool", PART),
    OpTraits("LpPool", "pool", no_integer=SUMS),
    OpTraits("MaxPool", "pool", PART),
    OpTraits("MaxRoiPool", "pool", no_integer=FLOAT, no_torch=RARE, no_axes=RARE),
    OpTraits("MaxUnpool", "pool", no_integer=FLOAT, no_axes=RARE),
    OpTraits("ReduceL1", "pool", T.KEEPS_ZERO, no_integer=SUMS),
    OpTraits("ReduceL2", "pool", T.KEEPS_ZERO, no_integer=SUMS),
    OpTraits("ReduceLogSum", "pool", no_integer=SUMS),
    OpTraits("ReduceLogSumExp", "pool", no_integer=SUMS),
    OpTraits("ReduceMax", "pool", PART),
    OpTraits("ReduceMean", "pool", T.KEEPS_ZERO),
    OpTraits("ReduceMin", "pool", PART),
    OpTraits("ReduceProd", "pool", no_integer=PRODUCTS),
    OpTraits("ReduceSum", "pool", T.KEEPS_ZERO, no_integer=SUMS),
    OpTraits("ReduceSumSquare", "pool", T.KEEPS_ZERO, no_integer=SUMS),
    #
    OpTraits("CenterCropPad", "movement", T.KEEPS_ZERO, no_integer=FLOAT),
    OpTraits("Col2Im", "movement", no_integer=FLOAT, no_torch=RARE, no_axes=RARE),
    OpTraits("Compress", "movement", PART, no_torch="its output's shape depends on data", no_axes=RARE),
    OpTraits("Concat", "movement"),
    OpTraits("DepthToSpace", "movement", SHAPED),
    OpTraits("Expand", "movement", PART | T.CARRIES_MASK),
    OpTraits("Flatten", "movement", SHAPED),
    OpTraits("Gather", "movement", PART),
    OpTraits("GatherElements", "movement", PART, no_axes=PLACES),
    OpTraits("GatherND", "movement", PART, no_axes=PLACES),
    OpTraits("Pad", "movement", T.MOVES),
    OpTraits("Reshape", "movement", SHAPED | T.CARRIES_MASK),
    OpTraits("ReverseSequence", "movement", PART | T.SAME_SHAPE),
    OpTraits("ScatterElements", "movement", T.SAME_SHAPE | T.KEEPS_ZERO, no_integer=JOINED, no_axes=PLACES),
    OpTraits("ScatterND", "movement", T.SAME_SHAPE | T.KEEPS_ZERO, no_integer=JOINED, no_axes=PLACES),
    OpTraits("Slice", "movement", PART),
    OpTraits("SpaceToDepth", "movement", SHAPED),
    OpTraits("Split", "movement", PART),
    OpTraits("Squeeze", "movement", SHAPED),
    OpTraits("TensorScatter", "movement", T.SAME_SHAPE | T.KEEPS_ZERO, no_integer=JOINED, no_axes=PLACES),
    OpTraits("Tile", "movement", PART),
    OpTraits("Transpose", "movement", SHAPED),
    OpTraits("Trilu", "movement", T.SAME_SHAPE | T.CARRIES_MASK, no_integer=FLOAT, no_axes=WHOLE),
    OpTraits("Unsqueeze", "movement", SHAPED | T.CARRIES_MASK),
    #
    OpTraits("ArgMax", "index", no_integer=SMALL),
    OpTraits("ArgMin", "index", no_integer=SMALL),
    OpTraits("Constant", "index", T.FROM_SHAPES, no_integer=FOLDED, no_torch="it becomes a buffer of the module"),
    OpTraits("ConstantOfShape", "index", T.FROM_SHAPES, no_integer=SMALL),
    OpTraits("EyeLike", "index", T.FROM_SHAPES, no_integer=INDICES),
    OpTraits("NonZero", "index", no_integer=INDICES, no_axes="its output's shape depends on data"),
    OpTraits("OneHot", "index", no_integer=INDICES, no_axes="it makes an axis of its own"),
    OpTraits("Range", "index", T.FROM_SHAPES, no_integer=SMALL),
    OpTraits("Shape", "index", T.FROM_SHAPES, no_integer=SMALL),
    OpTraits("Size", "index", T.FROM_SHAPES, no_integer=SMALL),
    OpTraits("TopK", "index", no_integer=INDICES),
    OpTraits("Unique", "index", no_integer=INDICES, no_torch="its output's shape depends on data", no_axes=RARE),
    #
    OpTraits("AffineGrid", "resize", no_integer=FLOAT, no_axes="it makes axes of its own"),
    OpTraits("GridSample", "resize", T.KEEPS_ZERO, no_integer=FLOAT),
    OpTraits("Resize", "resize"),
)


def _group(op_types: str, row: OpTraits) -> list[OpTraits]:
    """Rows that differ from ``row`` by the op only."""
    return [dataclasses.replace(row, op_type=op) for op in op_types.split()]


TAKEN = "the lowering takes it into the kernels around it"
FOREIGN = "another tool's op: capture makes Q/DQ of static ones, dynamic ones have one measured scale a tensor"
NO_PRUNING = "pruning works on float graphs"
NO_GRADIENT = "a graph of integers has no gradient"

_GROUPS = (
    _group("QuantizeLinear DequantizeLinear", OpTraits("", "quantized", no_integer=TAKEN, no_axes=NO_PRUNING)),
    _group("DynamicQuantizeLinear MatMulInteger", OpTraits("", "quantized", no_integer=FOREIGN, no_axes=NO_PRUNING)),
    _group(
        "QLinearConv QLinearMatMul ConvInteger",
        OpTraits("", "quantized", no_integer=FOREIGN, no_torch=NO_GRADIENT, no_axes=NO_PRUNING),
    ),
    _group(
        "FakeQuantizeTokens FakeQuantizeCodebook",
        OpTraits("", "quantized", domain="qgraph", no_integer=TAKEN, no_axes=NO_PRUNING),
    ),
    _group(
        "QuantizeTokens",
        OpTraits("", "quantized", domain="qgraph", no_integer=TAKEN, no_torch=NO_GRADIENT, no_axes=NO_PRUNING),
    ),
    _group("Mask Tap", OpTraits("", "pointwise", T.ELEMENTWISE, domain="qgraph", no_integer=FOLDED)),
    _group("LSTM GRU RNN", OpTraits("", "recurrent")),
    _group(
        "If Loop Scan",
        OpTraits("", "control", T.CONTROL_FLOW, no_integer=INSIDE, no_torch=NESTED, no_axes=NESTED),
    ),
    _group("SequenceMap", OpTraits("", "control", T.CONTROL_FLOW, no_integer=NO_TENSOR, no_torch=NESTED, no_axes=NESTED)),
    _group(
        "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
        OpTraits("", "random", no_integer=RANDOM, no_torch=RANDOM, no_axes=RANDOM),
    ),
    _group(
        "ConcatFromSequence Optional OptionalGetElement OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty "
        "SequenceErase SequenceInsert SequenceLength SplitToSequence",
        OpTraits("", "sequence", no_integer=NO_TENSOR, no_torch=NO_TENSOR, no_axes=NO_TENSOR),
    ),
    _group(
        "ImageDecoder RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer",
        OpTraits("", "text", no_integer=NO_TENSOR, no_torch=NO_TENSOR, no_axes=NO_TENSOR),
    ),
    _group(
        "BlackmanWindow HammingWindow HannWindow",
        OpTraits("", "signal", no_integer=EXPANDED, no_torch=EXPANDED, no_axes=EXPANDED),
    ),
    _group(
        "BitCast DFT STFT",
        OpTraits("", "signal", no_integer=FLOAT, no_axes=WHOLE),
    ),
    _group(
        "MelWeightMatrix",
        OpTraits("", "signal", no_integer=FLOAT, no_torch=RARE, no_axes=WHOLE),
    ),
    _group(
        "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
        OpTraits("", "loss", no_integer=EXPANDED, no_torch=EXPANDED, no_axes=EXPANDED),
    ),
    _group("NonMaxSuppression", OpTraits("", "detection", no_integer=FLOAT, no_axes=WHOLE)),
    _group("RoiAlign", OpTraits("", "detection", T.KEEPS_ZERO, no_integer=FLOAT)),
)

TRAITS: dict[tuple[str, str], OpTraits] = {(r.domain, r.op_type): r for rows in (_ROWS, *_GROUPS) for r in rows}
"""Every row by (domain, op type)."""


def traits(node: ir.Node) -> OpTraits | None:
    """The row of ``node``'s op, or None where nothing is known of it."""
    return TRAITS.get((node.domain, node.op_type))


def has(node: ir.Node | None, trait: Trait) -> bool:
    """Whether ``node`` is there and its op has ``trait``."""
    row = None if node is None else traits(node)
    return row is not None and trait in row.traits


def family(node: ir.Node) -> Family | None:
    """The family of ``node``'s op."""
    row = traits(node)
    return None if row is None else row.family


def ops(trait: Trait, domain: str = "") -> frozenset[str]:
    """The op types of ``domain`` that have ``trait``."""
    return frozenset(r.op_type for r in TRAITS.values() if trait in r.traits and r.domain == domain)
