"""Normalization over axes or channels, and softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import QuantSpec, f32

from qgraph.ir.patterns import attr, rank

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


@lowers("Softmax", writes_float=True)
def softmax(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if x is None or out.zero_point != 0:
        return None
    attributes = {"axis": attr(node, "axis", -1), "x_zero": x.zero_point, "scale": f32(x.scale)}
    if out.type != ir.DataType.FLOAT:
        attributes["top"] = f32(1 / out.scale)
    return low.build.kernel(node, "Softmax", [x.value], out, attributes, value)


@lowers("LayerNormalization", writes_float=True)
@lowers("GroupNormalization", "InstanceNormalization")
def norm(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    gamma = low.float_constant(node.inputs[1])
    if x is None or gamma is None:
        return None
    beta = low.float_constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros_like(gamma)
    if beta is None:
        return None
    attributes: dict[str, Any] = {"epsilon": f32(attr(node, "epsilon", 1e-5) / np.float64(x.scale) ** 2)}
    op = "GroupNorm"
    if node.op_type == "LayerNormalization":
        n, axis = rank(value), attr(node, "axis", -1)
        if n is None or gamma.ndim != (n - axis if axis >= 0 else -axis):
            return None
        op = "LayerNorm"
    else:
        attributes["groups"] = attr(node, "num_groups", gamma.size)
    name = value.name or "norm"
    scaled = [
        low.build.constant(f"{name}.{n}", (a.astype(np.float64) / out.scale).astype(np.float32))
        for n, a in (("gamma", gamma), ("beta", beta))
    ]
    return low.build.kernel(node, op, [x.value, *scaled], out, attributes, value)


@lowers("LRN")
def response_norm(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if x is None:
        return None
    size = attr(node, "size")
    attributes = {
        "size": size,
        "x_zero": x.zero_point,
        "factor": f32(attr(node, "alpha", 1e-4) / size * np.float64(x.scale) ** 2),
        "bias": f32(attr(node, "bias", 1.0)),
        "beta": f32(attr(node, "beta", 0.75)),
        "multiplier": f32(x.scale / out.scale),
    }
    return low.build.kernel(node, "LocalResponseNorm", [x.value], out, attributes, value)
