"""Linear ops with their epilogue.

    Q(Clip(Add(Add(MatMul(x, W), b), r)))   ->   Linear(x, W, multiplier, bias, row scales, r)

static:     multiplier = s_x * s_w / s_y, bias int32 at scale s_x * s_w
per token:  multiplier = s_w / s_y, bias float b / s_y, row scales from QuantizeTokens
Every multiplier is computed in double and rounded once. The int32 accumulator is proven not to overflow.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower import asymmetric, attention, layout
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import QuantizedValue, QuantSpec, f32
from qgraph.passes.lower.windows import geometry

from qgraph.errors import QGraphError
from qgraph.ir.matchers.linear import added_bias, clamp_of
from qgraph.ir.op_traits import Trait, family, has
from qgraph.ir.patterns import attr, constant, is_op, rank
from qgraph.ir.scopes import where
from qgraph.ir.weights import Weight, output_axis

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


@dataclasses.dataclass
class Match:
    """A linear node and what follows it."""

    node: ir.Node
    weight: Weight
    bias: np.ndarray | None = None
    residual: QuantizedValue | None = None
    clamp: tuple[float | None, float | None] | None = None


def match(low: Lowering, value: ir.Value) -> Match | None:
    """See ``value`` as a linear op with optional bias, residual and clamp."""
    clamp = None
    if is_op(value, "Relu", "Clip"):
        clamp, value = clamp_of(value.producer()), value.producer().inputs[0]  # type: ignore[arg-type, union-attr, assignment]
    if (found := _biased(low, value)) is not None:
        found.clamp = clamp
        return found
    if not is_op(value, "Add"):
        return None
    a, b = value.producer().inputs  # type: ignore[union-attr]
    for one, other in ((a, b), (b, a)):
        residual = low.codes.get(other)  # type: ignore[arg-type]
        if residual is None or one is None or one in low.codes or (found := _biased(low, one)) is None:
            continue
        if family(found.node) == "conv" or _shape(other) != _shape(value):
            continue
        found.residual, found.clamp = residual, clamp
        return found
    return None


def _shape(value: ir.Value | None) -> list[str] | None:
    return None if value is None or value.shape is None else [str(d) for d in value.shape]


def _biased(low: Lowering, value: ir.Value) -> Match | None:
    node = value.producer()
    if has(node, Trait.LINEAR):
        assert node is not None
        weight = low.weights.get(node.inputs[1])  # type: ignore[arg-type]
        if weight is None:
            return None
        given = node.inputs[2] if len(node.inputs) > 2 else None
        bias = low.float_constant(given)
        if given is not None and (bias is None or (bias.size > 1 and bias.size != bias.shape[-1])):
            return None  # computed, or no number a channel
        return Match(node, weight, None if bias is None else bias.reshape(-1))
    if (parts := added_bias(value)) is not None:
        product, vector = parts
        found = _biased(low, product)
        if found is not None and found.bias is None:
            found.bias = constant(vector)
            return found
    return None


@lowers("Gemm", alone=False, writes_float=True)
def linear(low: Lowering, last: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """A linear op with a constant weight, and what stands between it and ``value``."""
    found = match(low, value)
    if found is None or (found.clamp is not None and out.type == ir.DataType.FLOAT):
        return None
    node = found.node
    tokens = low.tokens(node.inputs[0])
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if tokens is None and (x is None or x.is_int16):
        return None
    codes, row_scales = tokens or (x.value, None)  # type: ignore[union-attr]
    x_scale, x_zero = (1.0, 128) if tokens else (x.scale, x.zero_point)  # type: ignore[union-attr]
    weight = _oriented(found.weight, node)
    if not asymmetric.is_symmetric(weight):
        codes, weight = asymmetric.symmetric(low, node, codes, weight)
    attributes: dict[str, Any] = {"x_zero": x_zero, **clamp_attributes(found.clamp, out)}
    if weight.levels is not None:
        attributes["levels"] = weight.table()
    scales = weight.params.scale.astype(np.float32)
    if weight.params.block:
        attributes["block"] = weight.params.block
        scales = scales.T  # [blocks, channels]
    elif weight.params.axis is None:
        scales = np.full(_channels(weight, node), scales)
    name = value.name or node.name or "linear"
    multipliers = low.build.multipliers(
        f"{name}.multiplier", scales.astype(np.float64) / out.scale * x_scale, scales, np.float64(x_scale) / out.scale
    )
    inputs: list[ir.Value | None]
    bias = _bias(low, found, node, weight, tokens is not None, x_scale, out, name)
    prove(node, weight, 255 if x is None else x.max_abs_code, bias)
    if family(node) == "conv":
        attributes |= {**geometry(node, weight.codes.ndim - 2), "group": attr(node, "group", 1)}
        kernel = low.weight_constant(dataclasses.replace(weight, codes=np.moveaxis(weight.codes, 1, -1)))
        inputs = [codes, kernel, multipliers, bias]
        return layout.emit(low.build, node, node.op_type, inputs, out, attributes, value, weight.codes.ndim)
    inputs = [
        codes,
        low.weight_constant(weight),
        multipliers,
        bias,
        row_scales,
        None,
    ]
    if found.residual is not None:
        inputs[5] = found.residual.value
        attributes["residual_zero"] = found.residual.zero_point
        attributes["residual_multiplier"] = f32(found.residual.scale / out.scale)
    return low.build.kernel(node, "Linear", inputs, out, attributes, value)


@lowers("MatMul", writes_float=True)
def matmul(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """A product of two activations; of attention probabilities and values it is the whole attention."""
    scores, b = low.scores.get(node.inputs[0]), low.codes.get(node.inputs[1])  # type: ignore[arg-type]
    if scores is not None and b is not None and not b.is_int16:
        return attention.emit(low, scores, b, node, value, out)
    a = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if a is None or b is None or a.is_int16 or b.is_int16 or any(v is not None and (rank(v) or 2) < 2 for v in node.inputs):
        return None
    attributes = {
        "a_zero": a.zero_point,
        "b_zero": b.zero_point,
        "multiplier": f32(np.float64(a.scale) * b.scale / out.scale),
    }
    return low.build.kernel(node, "MatMul", [a.value, b.value], out, attributes, value)


def clamp_attributes(clamp: tuple[float | None, float | None] | None, out: QuantSpec) -> dict[str, int]:
    """A clamp of real numbers as a clamp of codes (exact: the quantizer is monotone); the highest wins over the lowest."""
    made = {}
    if clamp is not None and clamp[0] is not None:
        made["clamp_min"] = out.code(clamp[0])
    if clamp is not None and clamp[1] is not None:
        made["clamp_max"] = out.code(clamp[1])
    if len(made) == 2:
        made["clamp_min"] = min(made.values())
    return made


def _oriented(weight: Weight, node: ir.Node) -> Weight:
    """A matrix weight as [n, k]."""
    if family(node) == "conv" or output_axis(node) == 0:
        return weight
    if weight.codes.ndim != 2:
        raise QGraphError(f"{where(node)} has a weight of {weight.codes.ndim} dims; the integer runtime takes matrices")
    params = weight.params
    scale = params.scale.T if params.block else params.scale
    axis = None if params.axis is None else 1 - params.axis
    turned = dataclasses.replace(
        params, scale=scale, zero_point=params.zero_point.T if params.block else params.zero_point, axis=axis
    )
    return Weight(weight.name, np.ascontiguousarray(weight.codes.T), turned, weight.levels)


def _bias(
    low: Lowering, found: Match, node: ir.Node, weight: Weight, tokens: bool, x_scale: float, out: QuantSpec, name: str
) -> ir.Value | None:
    if found.bias is None:
        return None
    bias = np.broadcast_to(found.bias.astype(np.float64), (_channels(weight, node),))
    if tokens or weight.params.block:
        return low.build.constant(f"{name}.bias", (bias / out.scale).astype(np.float32))
    codes = np.rint(bias / (x_scale * weight.params.scale.astype(np.float64)))
    return low.build.constant(f"{name}.bias", np.clip(codes, -(2**31) + 1, 2**31 - 1).astype(np.int32))


def _channels(weight: Weight, node: ir.Node) -> int:
    """Output channels of a convolution, or columns of an oriented matrix."""
    return weight.codes.shape[1] * attr(node, "group", 1) if node.op_type == "ConvTranspose" else weight.codes.shape[0]


def prove(node: ir.Node, weight: Weight, max_abs_code: int, bias: ir.Value | None) -> None:
    """The largest |accumulator| of any input must fit int32, also before the zero point is taken away."""
    channels = 1 if node.op_type == "ConvTranspose" else 0
    axes = tuple(i for i in range(weight.codes.ndim) if i != channels)
    totals = np.abs(weight.codes.astype(np.int64)).sum(axes) * (255 + max_abs_code)
    added = constant(bias)
    if added is not None and added.dtype == np.int32:  # of the same channel; those of ConvTranspose repeat over the groups
        totals = np.tile(totals, added.size // max(totals.size, 1)) + np.abs(added.astype(np.int64))
    total = totals.max(initial=0)
    if total >= 2**31:
        raise QGraphError(
            f"{where(node)} can overflow its 32-bit accumulator (bound {total}); "
            "quantize its weights with fewer bits or exclude it"
        )
