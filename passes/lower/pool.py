"""Pooling and reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower import layout
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import QuantizedValue, QuantSpec, f32
from qgraph.passes.lower.windows import geometry

from qgraph.ir.dialects import INTEGER
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


def has_kernel(node: ir.Node, spatial: int) -> bool:
    """Whether the integer kernels have windows like these; others are those of ONNX's op."""
    return spatial <= 2 and attr(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")


@lowers("MaxPool")
def max_pool(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if x is None or len(node.outputs) > 1:
        return None
    spatial = len(attr(node, "kernel_shape"))
    if has_kernel(node, spatial):
        made = layout.emit(low.build, node, "MaxPool", [x.value], x.spec, window(node, spatial), value, spatial + 2)
    elif x.spec.type == ir.DataType.UINT8:
        made = low.moved(node, [x.value], value, x.spec.type)
        low.build.note(made, x.spec)
    else:
        return None
    return low.requantized(QuantizedValue(made, x.spec), node, value, out)


@lowers("AveragePool")
def average_pool(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    spatial = len(attr(node, "kernel_shape"))
    if x is None or not has_kernel(node, spatial):
        return None
    attributes = {**window(node, spatial), "x_zero": x.zero_point, "multiplier": f32(x.scale / out.scale)}
    return layout.emit(low.build, node, "AveragePool", [x.value], out, attributes, value, spatial + 2)


@lowers("GlobalAveragePool", "ReduceMean")
def mean(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    reduction = reduced_axes(node)
    if x is None or reduction is None:
        return None
    if not reduction["axes"]:
        return low.requantized(x, node, value, out)
    attributes = {**reduction, "x_zero": x.zero_point, "multiplier": f32(x.scale / out.scale)}
    return low.build.kernel(node, "ReduceMean", [x.value], out, attributes, value)


@lowers("GlobalMaxPool", "ReduceMax", "ReduceMin")
def extreme(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    reduction = reduced_axes(node)
    if x is None or reduction is None:
        return None
    if not reduction["axes"]:
        return low.requantized(x, node, value, out)
    op, domain, inputs = "ReduceMax", INTEGER, [x.value]
    if node.op_type == "ReduceMin":  # ONNX's own, whose axes are an input
        op, domain = "ReduceMin", ""
        inputs.append(low.build.constant(f"{value.name}.axes", np.array(reduction.pop("axes"), np.int64)))
    name = value.name or op
    made = low.build.add(node, op, [*inputs], reduction, name=name, type=x.spec.type, shape=value.shape, domain=domain)
    low.build.note(made, x.spec)
    return low.requantized(QuantizedValue(made, x.spec), node, value, out)


def reduced_axes(node: ir.Node) -> dict[str, Any] | None:
    """Attributes ``axes`` (empty: nothing is reduced) and ``keepdims`` of a reduction; None where they are computed."""
    n = rank(node.inputs[0])  # type: ignore[arg-type]
    if n is None:
        return None
    if node.op_type.startswith("Global"):
        return {"axes": list(range(2, n)), "keepdims": 1}
    given = node.inputs[1] if len(node.inputs) > 1 else None
    axes = constant(given)
    if given is not None and axes is None:
        return None
    if axes is None or axes.size == 0:
        listed = [] if attr(node, "noop_with_empty_axes", 0) else list(range(n))
    else:
        listed = [int(a) for a in axes]
    return {"axes": listed, "keepdims": attr(node, "keepdims", 1)}
