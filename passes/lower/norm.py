"""Normalization over axes or channels, and softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import QuantSpec, f32

from qgraph.ir.matchers import rms_norm as matcher
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


@lowers("RMSNormalization", writes_float=True)
def rms_norm(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """RMSNorm(x) is the first half of LayerNorm([x, -x]), whose mean is 0 and whose variance is the mean square of x."""
    found = matcher.rms_norm(value)
    x = low.codes.get(found.x) if found is not None else None
    if found is None or x is None or value.shape is None:
        return None
    name, n = value.name or "norm", found.gamma.size
    signed = QuantSpec(ir.DataType.INT16, x.scale)  # both have the zero point 0
    sides: list[ir.Value | None] = [x.value]
    for sign, side in ((1, "same"), (-1, "negated")):
        if sign < 0 or x.spec != signed:
            factor = low.build.constant(f"{name}.{side}", np.array([sign], np.float32))
            made = low.build.add(
                node,
                "Requantize",
                [x.value, factor],
                {"x_zero": x.zero_point, **signed.attributes},
                name=f"{name}_{side}",
                type=signed.type,
                shape=value.shape,
            )
            sides[sign < 0 :] = [made]
    doubled = ir.Shape([*value.shape[:-1], 2 * n])
    axis = len(value.shape) - 1
    pair = low.build.add(node, "Concat", sides, {"axis": axis}, name=f"{name}_pair", type=signed.type, shape=doubled, domain="")
    gamma = np.concatenate([found.gamma.astype(np.float64) / out.scale, np.zeros(n)]).astype(np.float32)
    parameters = [low.build.constant(f"{name}.{k}", v) for k, v in (("gamma", gamma), ("beta", np.zeros_like(gamma)))]
    attributes: dict[str, Any] = {"epsilon": f32(found.epsilon / np.float64(x.scale) ** 2), **out.attributes}
    whole = low.build.add(node, "LayerNorm", [pair, *parameters], attributes, name=f"{name}_both", type=out.type, shape=doubled)
    ends = [low.build.constant(f"{name}.{k}", np.array([v], np.int64)) for k, v in (("start", 0), ("end", n), ("axis", axis))]
    made = low.build.add(node, "Slice", [whole, *ends], name=name, type=out.type, shape=value.shape, domain="")
    low.build.note(made, out)
    return made


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
