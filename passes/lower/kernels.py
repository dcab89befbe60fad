"""One function an op type: emit its integer kernel. ``TRANSLATORS`` is the table.

Each takes (lowering, node, value, out) and returns the value in the integer graph, or None when it does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower import attention, layout, linear
from qgraph.passes.lower.linear import geometry
from qgraph.passes.lower.values import Codes, Out

from qgraph.ir.integer_ops import BinaryOp, PadMode, ResizeCoordinates, ResizeNearest
from qgraph.ir.patterns import attr, constant, rank, scalar

if TYPE_CHECKING:
    from qgraph.passes.lower.to_integer import Lowering

Translator = Callable[["Lowering", ir.Node, ir.Value, Out], ir.Value | None]
BINARY = {**{op.name.capitalize(): op for op in BinaryOp}, "Sum": BinaryOp.ADD}
MOVES = set(
    [
        "Reshape",
        "Transpose",
        "Slice",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Identity",
        "Dropout",
        "Expand",
        "Tile",
        "DepthToSpace",
        "SpaceToDepth",
        "Gather",
        "GatherElements",
        "GatherND",
    ]
)


def f32(x: float) -> float:
    """Rounded once to float32."""
    return float(np.float32(x))


def clamped(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    """Relu or Clip of a sum that is not stored: the sum's kernel clamps its codes."""
    source = node.inputs[0]
    inner = source.producer() if source is not None else None
    if inner is None or inner.domain or inner.op_type not in BINARY or source in low.codes or out.type == ir.DataType.FLOAT:
        return None
    return binary(low, inner, value, out, linear.clamp_attributes(linear.clamp_of(node), out))


def binary(low: Lowering, node: ir.Node, value: ir.Value, out: Out, clamp: dict[str, int] | None = None) -> ir.Value | None:
    operands = [low.operand(v) for v in node.inputs]
    if any(o is None for o in operands):
        return None
    first, *rest = operands
    assert first is not None
    if len(operands) == 1:
        return None if clamp else low.requantized(first, node, value, out)
    current = first
    for i, other in enumerate(rest):
        assert other is not None
        last = i == len(rest) - 1
        # a sum of many keeps 16 bits between its steps
        step = out if last else Out(ir.DataType.INT16, (current.scale * current.reach + other.scale * other.reach) / 32767)
        attributes: dict[str, Any] = {"op": int(BINARY[node.op_type]), "a_zero": current.zero, "b_zero": other.zero}
        if node.op_type == "Mul":
            attributes["a_multiplier"] = f32(np.float64(current.scale) * other.scale / step.scale)
        elif node.op_type == "Div":
            attributes["a_multiplier"] = f32(np.float64(current.scale) / other.scale / step.scale)
        else:
            attributes["a_multiplier"] = f32(np.float64(current.scale) / step.scale)
            attributes["b_multiplier"] = f32(np.float64(other.scale) / step.scale)
        if last and clamp:
            attributes |= clamp
        made = low.build.kernel(node, "Binary", [current.value, other.value], step, attributes, value)
        current = Codes(made, step)
    return current.value


def movement(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    x = low.operand(node.inputs[0], out)
    if x is None:
        return None
    if node.op_type == "Transpose":
        perm = attr(node, "perm", list(range(len(value.shape or ())))[::-1])
        made = low.build.transpose(node, x.value, perm, value.name or "", value.shape)
    elif node.op_type == "Dropout":
        made = x.value
    else:
        made = low.moved(node, [x.value, *(low.any(v) for v in node.inputs[1:])], value, x.out.type)
    low.build.note(made, x.out)
    return low.requantized(Codes(made, x.out), node, value, out)


def split(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    """All outputs of a Split at once; each is requantized as its reader asks."""
    if node not in low.splits:
        x = low.operand(node.inputs[0], out)
        if x is None:
            return None
        low.splits[node] = x, low.split(node, x)
    x, parts = low.splits[node]
    part = parts[next(i for i, v in enumerate(node.outputs) if v is value)]
    return low.requantized(Codes(part, x.out), node, value, out)


def concat(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    if out.type == ir.DataType.FLOAT:
        return None
    parts = []
    for v in node.inputs:
        x = low.operand(v, out)
        if x is None or v is None:
            return None
        parts.append(low.requantized(x, node, v, out))
    made = low.moved(node, parts, value, out.type)
    low.build.note(made, out)
    return made


def pad(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    fill = scalar(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else 0.0
    mode = PadMode.__members__.get(attr(node, "mode", "constant").upper())
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else np.zeros(0, np.int64)
    if x is None or fill is None or mode is None or axes is None:
        return None
    code = x.zero if fill == 0.0 else x.out.code(fill)
    attributes: dict[str, Any] = {"mode": int(mode), "value": code}
    if axes.size:
        attributes["axes"] = [int(a) for a in axes]
    made = low.build.add(
        node, "Pad", [x.value, low.any(node.inputs[1])], attributes, name=value.name or "pad", type=x.out.type, shape=value.shape
    )
    return low.requantized(Codes(made, x.out), node, value, out)


def window(node: ir.Node, spatial: int) -> dict[str, Any]:
    kernel = attr(node, "kernel_shape")
    return {
        **geometry(node, spatial),
        "kernel": kernel,
        "ceil": attr(node, "ceil_mode", 0),
        "count_include_pad": attr(node, "count_include_pad", 0),
    }


def max_pool(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if x is None or len(node.outputs) > 1:
        return None
    spatial = len(attr(node, "kernel_shape"))
    made = layout.emit(low.build, node, "MaxPool", [x.value], x.out, window(node, spatial), value, spatial + 2)
    return low.requantized(Codes(made, x.out), node, value, out)


def average_pool(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if x is None:
        return None
    spatial = len(attr(node, "kernel_shape"))
    attributes = {**window(node, spatial), "x_zero": x.zero, "multiplier": f32(x.scale / out.scale)}
    return layout.emit(low.build, node, "AveragePool", [x.value], out, attributes, value, spatial + 2)


def mean(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
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
    attributes = {"axes": axes, "keepdims": keep, "x_zero": x.zero, "multiplier": f32(x.scale / out.scale)}
    return low.build.kernel(node, "ReduceMean", [x.value], out, attributes, value)


def softmax(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if x is None or out.zero != 0:
        return None
    attributes = {"axis": attr(node, "axis", -1), "x_zero": x.zero, "scale": f32(x.scale)}
    if out.type != ir.DataType.FLOAT:
        attributes["top"] = f32(1 / out.scale)
    return low.build.kernel(node, "Softmax", [x.value], out, attributes, value)


def norm(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    gamma = constant(node.inputs[1])
    if x is None or gamma is None:
        return None
    beta = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros_like(gamma)
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


def response_norm(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if x is None:
        return None
    size = attr(node, "size")
    attributes = {
        "size": size,
        "x_zero": x.zero,
        "factor": f32(attr(node, "alpha", 1e-4) / size * np.float64(x.scale) ** 2),
        "bias": f32(attr(node, "bias", 1.0)),
        "beta": f32(attr(node, "beta", 0.75)),
        "multiplier": f32(x.scale / out.scale),
    }
    return low.build.kernel(node, "LocalResponseNorm", [x.value], out, attributes, value)


def resize(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    x, n = low.codes.get(node.inputs[0]), rank(value)  # type: ignore[arg-type]
    mode = attr(node, "mode", "nearest")
    coordinates = ResizeCoordinates.__members__.get(attr(node, "coordinate_transformation_mode", "half_pixel").upper())
    nearest = ResizeNearest[attr(node, "nearest_mode", "round_prefer_floor").upper()]
    if (
        x is None
        or n is None
        or mode not in ("nearest", "linear")
        or coordinates is None
        or attr(node, "axes")
        or attr(node, "antialias", 0)
    ):
        return None
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    sizes = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else None
    spatial = min(2, n - 2)
    target = scales if scales is not None and scales.size else sizes
    if target is None or spatial < 1 or (scales is target and np.any(target[:-spatial] != 1)):
        return None
    tail = target[-spatial:].astype(np.float32 if target is scales else np.int64)
    attributes: dict[str, Any] = {
        "linear": int(mode == "linear"),
        "coordinates": int(coordinates),
        "nearest": int(nearest),
        "x_zero": x.zero,
    }
    size = low.build.constant(f"{value.name}.size", tail)
    if mode == "nearest":
        made = low.build.kernel(node, "Resize", [x.value, size], x.out, attributes, value)
        return low.requantized(Codes(made, x.out), node, value, out)
    attributes["multiplier"] = f32(x.scale / out.scale)
    return low.build.kernel(node, "Resize", [x.value, size], out, attributes, value)


def matmul(low: Lowering, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
    scores, b = low.scores.get(node.inputs[0]), low.codes.get(node.inputs[1])  # type: ignore[arg-type]
    if scores is not None and b is not None and not b.wide:
        return attention.emit(low, scores, b, node, value, out)
    a = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    if a is None or b is None or a.wide or b.wide:
        return None
    attributes = {"a_zero": a.zero, "b_zero": b.zero, "multiplier": f32(np.float64(a.scale) * b.scale / out.scale)}
    return low.build.kernel(node, "MatMul", [a.value, b.value], out, attributes, value)


TRANSLATORS: dict[str, Translator] = {
    **dict.fromkeys(BINARY, binary),
    **dict.fromkeys(MOVES, movement),
    "Relu": clamped,
    "Clip": clamped,
    "Split": split,
    "Concat": concat,
    "Pad": pad,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": mean,
    "ReduceMean": mean,
    "Softmax": softmax,
    "LayerNormalization": norm,
    "GroupNormalization": norm,
    "InstanceNormalization": norm,
    "LRN": response_norm,
    "Resize": resize,
    "MatMul": matmul,
}
