"""Pooling and reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from qgraph.passes.lower import layout
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import QuantizedValue, QuantSpec, f32
from qgraph.passes.lower.windows import geometry

from qgraph.ir.patterns import attr, constant, rank

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


def window(node: ir.Node, spatial: int) -> dict[str, Any]:
    kernel = attr(node, "kernel_shape")
    return {
        **geometry(node, spatial),
        "kernel": kernel,
        "ceil": attr(node, "ceil_mode", 0),
        "count_include_pad": attr(node, "count_include_pad", 0),
    }


@lowers("MaxPool")
def max_pool(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if x is None or len(node.outputs) > 1:
        return None
    spatial = len(attr(node, "kernel_shape"))
    made = layout.emit(low.build, node, "MaxPool", [x.value], x.spec, window(node, spatial), value, spatial + 2)
    return low.requantized(QuantizedValue(made, x.spec), node, value, out)


@lowers("AveragePool")
def average_pool(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if x is None:
        return None
    spatial = len(attr(node, "kernel_shape"))
    attributes = {**window(node, spatial), "x_zero": x.zero_point, "multiplier": f32(x.scale / out.scale)}
    return layout.emit(low.build, node, "AveragePool", [x.value], out, attributes, value, spatial + 2)


@lowers("GlobalAveragePool", "ReduceMean")
def mean(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    n = rank(node.inputs[0])  # type: ignore[arg-type]
    if x is None or n is None:
        return None
    keep = 1
    if node.op_type == "GlobalAveragePool":
        axes = list(range(2, n))
    else:
        given = constant(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
        if given is None and len(node.inputs) > 1 and node.inputs[1] is not None:
            return None
        empty = given is None or given.size == 0
        if empty and attr(node, "noop_with_empty_axes", 0):
            return low.requantized(x, node, value, out)
        axes = list(range(n)) if empty else [int(a) for a in given]  # type: ignore[union-attr]
        keep = attr(node, "keepdims", 1)
    attributes = {"axes": axes, "keepdims": keep, "x_zero": x.zero_point, "multiplier": f32(x.scale / out.scale)}
    return low.build.kernel(node, "ReduceMean", [x.value], out, attributes, value)
