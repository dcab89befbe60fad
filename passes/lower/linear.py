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
from qgraph.passes.lower import layout
from qgraph.passes.lower.values import Codes, Out, Weight

from qgraph.errors import QGraphError
from qgraph.ir.patterns import attr, constant, is_op, scalar
from qgraph.ir.scopes import where

if TYPE_CHECKING:
    from qgraph.passes.lower.to_integer import Lowering

OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclasses.dataclass
class Match:
    """A linear node and what follows it."""

    node: ir.Node
    weight: Weight
    bias: np.ndarray | None = None
    residual: Codes | None = None
    clamp: tuple[float | None, float | None] | None = None


def clamp_of(node: ir.Node) -> tuple[float | None, float | None]:
    """The bounds of a Relu or Clip node."""
    if node.op_type == "Relu":
        return 0.0, None
    low, high = (None if v is None else scalar(v) for v in (*node.inputs[1:], None, None)[:2])
    return low, high


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
        if found.node.op_type in ("Conv", "ConvTranspose") or _shape(other) != _shape(value):
            continue
        found.residual, found.clamp = residual, clamp
        return found
    return None


def _shape(value: ir.Value | None) -> list[str] | None:
    return None if value is None or value.shape is None else [str(d) for d in value.shape]


def _biased(low: Lowering, value: ir.Value) -> Match | None:
    if is_op(value, *OPS):
        node = value.producer()
        assert node is not None
        weight = low.weights.get(node.inputs[1])  # type: ignore[arg-type]
        if weight is None:
            return None
        bias = low.float_constant(node.inputs[2]) if len(node.inputs) > 2 else None
        return Match(node, weight, bias)
    if is_op(value, "Add"):
        a, b = value.producer().inputs  # type: ignore[union-attr]
        for one, other in ((a, b), (b, a)):
            vector = constant(other)
            if vector is not None and vector.ndim <= 1 and is_op(one, "MatMul"):
                found = _biased(low, one)  # type: ignore[arg-type]
                if found is not None and found.bias is None:
                    found.bias = vector
                    return found
    return None


def emit(low: Lowering, found: Match, value: ir.Value, out: Out) -> ir.Value | None:
    """Emit the kernel of ``found`` that computes ``value`` as ``out``; None when it does not fit."""
    if found.clamp is not None and out.type == ir.DataType.FLOAT:
        return None
    node = found.node
    tokens = low.tokens(node.inputs[0])
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if tokens is None and (x is None or x.wide):
        return None
    weight = _oriented(found.weight, node)
    if np.any(weight.params.zero_point):
        raise QGraphError(f"{where(node)} has asymmetric weights; use symmetric ones (zero point 0)")
    channels = weight.codes.shape[1] * attr(node, "group", 1) if node.op_type == "ConvTranspose" else weight.codes.shape[0]
    attributes: dict[str, Any] = {"x_zero": 128 if tokens else x.zero}  # type: ignore[union-attr]
    attributes |= clamp_attributes(found.clamp, out)
    if weight.levels is not None:
        attributes["levels"] = weight.table()
    scale = weight.params.scale.astype(np.float64)
    reach = 255 if x is None else x.reach
    multiplier = scale / out.scale * (1.0 if tokens else x.scale)  # type: ignore[union-attr]
    if weight.params.block:
        attributes["block"] = weight.params.block
        multiplier = multiplier.T  # [blocks, channels]
    elif weight.params.axis is None:
        multiplier = np.full(channels, multiplier)
    name = value.name or node.name or "linear"
    bias = _bias(low, found, node, weight, tokens is not None, 1.0 if tokens else x.scale, out, name)  # type: ignore[union-attr]
    _prove(node, weight, reach, bias)
    inputs: list[ir.Value | None] = [
        tokens[0] if tokens else x.value,  # type: ignore[union-attr]
        None if node.op_type in ("Conv", "ConvTranspose") else low.weight_constant(weight),
        low.build.constant(f"{name}.multiplier", multiplier.astype(np.float32)),
        bias,
        tokens[1] if tokens else None,
        None,
    ]
    if found.residual is not None:
        inputs[5] = found.residual.value
        attributes["residual_zero"] = found.residual.zero
        attributes["residual_multiplier"] = float(np.float32(found.residual.scale / out.scale))
    if node.op_type in ("Conv", "ConvTranspose"):
        attributes |= geometry(node, weight.codes.ndim - 2)
        attributes["group"] = attr(node, "group", 1)
        inputs[1] = low.weight_constant(dataclasses.replace(weight, codes=np.moveaxis(weight.codes, 1, -1)))
        return layout.emit(low.build, node, node.op_type, inputs[:4], out, attributes, value, weight.codes.ndim)
    return low.build.kernel(node, "Linear", inputs, out, attributes, value)


def clamp_attributes(clamp: tuple[float | None, float | None] | None, out: Out) -> dict[str, int]:
    """A clamp of real numbers as a clamp of codes (exact: the quantizer is monotone)."""
    made = {}
    if clamp is not None and clamp[0] is not None:
        made["clamp_min"] = out.code(clamp[0])
    if clamp is not None and clamp[1] is not None:
        made["clamp_max"] = out.code(clamp[1])
    return made


def _oriented(weight: Weight, node: ir.Node) -> Weight:
    """A matrix weight as [n, k]."""
    if node.op_type not in ("Gemm", "MatMul") or (node.op_type == "Gemm" and attr(node, "transB", 0)):
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
    low: Lowering, found: Match, node: ir.Node, weight: Weight, tokens: bool, x_scale: float, out: Out, name: str
) -> ir.Value | None:
    if found.bias is None:
        return None
    channels = weight.codes.shape[1] * attr(node, "group", 1) if node.op_type == "ConvTranspose" else weight.codes.shape[0]
    bias = np.broadcast_to(found.bias.astype(np.float64), (channels,))
    if tokens or weight.params.block:
        return low.build.constant(f"{name}.bias", (bias / out.scale).astype(np.float32))
    codes = np.rint(bias / (x_scale * weight.params.scale.astype(np.float64)))
    return low.build.constant(f"{name}.bias", np.clip(codes, -(2**31) + 1, 2**31 - 1).astype(np.int32))


def _prove(node: ir.Node, weight: Weight, reach: int, bias: ir.Value | None) -> None:
    """The largest |accumulator| of any input must fit int32, also before the zero point is taken away."""
    axes = (
        tuple(i for i in range(weight.codes.ndim) if i != 0)
        if node.op_type != "ConvTranspose"
        else (0, 2, 3)[: weight.codes.ndim - 1]
    )
    total = np.abs(weight.codes.astype(np.int64)).sum(axes).max(initial=0) * (255 + reach)
    added = constant(bias)
    if added is not None and added.dtype == np.int32 and added.size:
        total += int(np.abs(added.astype(np.int64)).max())
    if total >= 2**31:
        raise QGraphError(
            f"{where(node)} can overflow its 32-bit accumulator (bound {total}); "
            "quantize its weights with fewer bits or exclude it"
        )


def geometry(node: ir.Node, spatial: int) -> dict[str, Any]:
    """Strides, dilations and explicit pads of a Conv, ConvTranspose or pooling node."""
    auto = attr(node, "auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID"):
        raise QGraphError(f"{where(node)} uses auto_pad={auto}; export it with explicit pads")
    if spatial > 2:
        raise QGraphError(f"{where(node)} has {spatial} spatial axes; the integer runtime takes one or two")
    if attr(node, "output_shape"):
        raise QGraphError(f"{where(node)} gives output_shape; export it with pads instead")
    made = {
        "strides": attr(node, "strides", [1] * spatial),
        "dilations": attr(node, "dilations", [1] * spatial),
        "pads": attr(node, "pads", [0] * 2 * spatial),
    }
    if attr(node, "output_padding"):
        made["output_padding"] = attr(node, "output_padding")
    return made
