"""The rule of every op: which axes of its inputs and outputs change together. See ``axis_graph``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from qgraph.ir.op_traits import Trait, has, ops
from qgraph.ir.patterns import attr, constant
from qgraph.ir.scopes import where

if TYPE_CHECKING:
    from qgraph.ir.axis_graph import AxisGraph

Rule = Callable[["AxisGraph", ir.Node], None]
RULES: dict[str, Rule] = {}
ELEMENTWISE = sorted(ops(Trait.ELEMENTWISE) | ops(Trait.ELEMENTWISE, "qgraph") | {"CastLike"})


def rule(*ops: str) -> Callable[[Rule], Rule]:
    def keep(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, function))
        return function

    return keep


def apply(graph: AxisGraph, node: ir.Node) -> None:
    """Put what ``node`` couples into ``graph``."""
    if has(node, Trait.FROM_SHAPES):
        return
    found = RULES.get(node.op_type) if node.domain in ("", "qgraph") else None
    values = [v for v in (*node.inputs, *node.outputs) if v is not None]
    if found is None or any(v.shape is None for v in values):
        why = f"{where(node)} has no rule for pruning" if found is None else f"{where(node)} has values of unknown rank"
        for value in values:
            graph.freeze(value, range(len(value.shape or ())), why)
        return
    found(graph, node)


def rank(value: ir.Value) -> int:
    return len(value.shape or ())


def dims(value: ir.Value) -> list[int | str]:
    """Lengths, symbols as text; an unknown length equals no other."""
    return [int(d) if isinstance(d, int) else str(d.value or f"?{id(value)}:{i}") for i, d in enumerate(value.shape or ())]


@rule(*ELEMENTWISE)
def pointwise(graph: AxisGraph, node: ir.Node) -> None:
    """NumPy's broadcasting: axes of equal length from the right."""
    out = node.outputs[0]
    for value in node.inputs:
        if value is None:
            continue
        for back in range(1, rank(value) + 1):
            if dims(value)[-back] == dims(out)[-back]:
                graph.same(value, rank(value) - back, out, rank(out) - back)
    for extra in node.outputs[1:]:
        for axis in range(rank(extra)):
            graph.same(out, axis, extra, axis)


@rule("Conv")
def conv(graph: AxisGraph, node: ir.Node) -> None:
    x, w, y, group = node.inputs[0], node.inputs[1], node.outputs[0], attr(node, "group", 1)
    assert x is not None and w is not None
    outputs, per = dims(w)[:2]
    inputs = dims(x)[1]
    if not all(isinstance(d, int) for d in (outputs, per, inputs)):
        graph.freeze(w, (0, 1), f"{where(node)} has channels of unknown number")
        graph.freeze(y, (1,), f"{where(node)} has channels of unknown number")
        return
    graph.same(w, 0, y, 1)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        graph.same(node.inputs[2], 0, y, 1)
    if group == 1:
        graph.same(x, 1, w, 1)
    elif per == 1:  # depthwise: an input channel with all outputs made of it
        several = np.arange(int(outputs))
        graph.pairs(x, 1, w, 0, several // (int(outputs) // group), several)
    else:  # every group keeps as many channels: the same places go in all
        graph.pairs(x, 1, w, 1, np.arange(int(inputs)), np.arange(int(inputs)) % int(per))
        every = np.arange(int(outputs))
        graph.pairs(w, 0, w, 0, every, every % (int(outputs) // group))


@rule("ConvTranspose")
def conv_transpose(graph: AxisGraph, node: ir.Node) -> None:
    x, w, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and w is not None
    if attr(node, "group", 1) != 1:
        graph.freeze(x, (1,), f"{where(node)} has groups")
        graph.freeze(y, (1,), f"{where(node)} has groups")
        graph.freeze(w, (0, 1), f"{where(node)} has groups")
        return
    graph.same(x, 1, w, 0)
    graph.same(w, 1, y, 1)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        graph.same(node.inputs[2], 0, y, 1)


@rule("MatMul")
def matmul(graph: AxisGraph, node: ir.Node) -> None:
    a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    graph.same(a, rank(a) - 1, b, max(0, rank(b) - 2))
    if rank(b) > 1:
        graph.same(b, rank(b) - 1, y, rank(y) - 1)
    if rank(a) > 1 and rank(b) > 1:
        graph.same(a, rank(a) - 2, y, rank(y) - 2)
    for value in (a, b):
        for back in range(3, rank(value) + 1):
            if dims(value)[-back] == dims(y)[-back]:
                graph.same(value, rank(value) - back, y, rank(y) - back)


@rule("Gemm")
def gemm(graph: AxisGraph, node: ir.Node) -> None:
    a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    ta, tb = attr(node, "transA", 0), attr(node, "transB", 0)
    graph.same(a, 0 if ta else 1, b, 1 if tb else 0)
    graph.same(b, 0 if tb else 1, y, 1)
    graph.same(a, 1 if ta else 0, y, 0)
    c = node.inputs[2] if len(node.inputs) > 2 else None
    if c is not None and rank(c) and dims(c)[-1] == dims(y)[-1]:
        graph.same(c, rank(c) - 1, y, 1)


@rule("BatchNormalization", "InstanceNormalization")
def channel_norm(graph: AxisGraph, node: ir.Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis in range(rank(x)):
        graph.same(x, axis, y, axis)
    for parameter in node.inputs[1:]:
        if parameter is not None:
            graph.same(parameter, 0, y, 1)


def _along(graph: AxisGraph, node: ir.Node, axes: list[int], why: str) -> None:
    """The first input and every output have the same axes, and ``axes`` must stay whole."""
    x = node.inputs[0]
    assert x is not None
    for y in node.outputs:
        for axis in range(rank(x)):
            if rank(y) == rank(x):
                graph.same(x, axis, y, axis)
    graph.freeze(x, [a % max(1, rank(x)) for a in axes], f"{where(node)} {why}")
    for other in node.inputs[1:]:
        if other is not None:
            graph.freeze(other, range(rank(other)), f"{where(node)} {why}")


@rule("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def layer_norm(graph: AxisGraph, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    first = attr(node, "axis", -1) % rank(x)
    _along(graph, node, list(range(first, rank(x))), "takes its statistics over this axis")


@rule("Softmax", "LogSoftmax", "Hardmax", "CumSum", "TopK")
def softmax(graph: AxisGraph, node: ir.Node) -> None:
    _along(graph, node, [attr(node, "axis", -1)], "works over this axis")


@rule("GroupNormalization", "LRN", "LpNormalization", "MeanVarianceNormalization")
def across_channels(graph: AxisGraph, node: ir.Node) -> None:
    _along(graph, node, [attr(node, "axis", 1)], "mixes channels")


@rule("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool", "Resize", "Upsample")
def spatial(graph: AxisGraph, node: ir.Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    scales = constant(node.inputs[2]) if node.op_type == "Resize" and len(node.inputs) > 2 else None
    if node.op_type == "Resize" and (scales is None or not np.all(scales[:2] == 1)):
        graph.freeze(x, (0, 1), f"{where(node)} is given sizes, not scales")
        graph.freeze(y, (0, 1), f"{where(node)} is given sizes, not scales")
        return
    for axis in (0, 1):
        for out in node.outputs:
            graph.same(x, axis, out, axis)


@rule(
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceL2",
    "ReduceProd",
    "ReduceSumSquare",
    "ArgMax",
    "ArgMin",
)
def reduce(graph: AxisGraph, node: ir.Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    if node.op_type.startswith("Arg"):
        axes = [attr(node, "axis", 0)]
    else:
        given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        axes = list(range(rank(x))) if given is None else [int(a) for a in given.reshape(-1)]
        axes = attr(node, "axes", axes)
    axes = [a % max(1, rank(x)) for a in axes]
    graph.freeze(x, axes, f"{where(node)} reduces this axis")
    kept = [a for a in range(rank(x)) if a not in axes]
    for place, axis in enumerate(kept):
        graph.same(x, axis, y, axis if attr(node, "keepdims", 1) else place)


@rule("Transpose")
def transpose(graph: AxisGraph, node: ir.Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    for out, axis in enumerate(attr(node, "perm", list(range(rank(x)))[::-1])):
        graph.same(x, axis, y, out)


@rule("Concat")
def concat(graph: AxisGraph, node: ir.Node) -> None:
    y = node.outputs[0]
    along, at = attr(node, "axis", 0) % max(1, rank(y)), 0
    for x in node.inputs:
        assert x is not None
        length = dims(x)[along]
        for axis in range(rank(x)):
            if axis != along:
                graph.same(x, axis, y, axis)
            elif isinstance(length, int):
                graph.pairs(x, axis, y, axis, np.arange(length), np.arange(length) + at)
        if not isinstance(length, int):
            graph.freeze(y, (along,), f"{where(node)} joins parts of unknown length")
            return
        at += length


@rule("Split")
def split(graph: AxisGraph, node: ir.Node) -> None:
    x, at = node.inputs[0], 0
    assert x is not None
    along = attr(node, "axis", 0) % rank(x)
    for y in node.outputs:
        length = dims(y)[along]
        for axis in range(rank(x)):
            if axis != along:
                graph.same(x, axis, y, axis)
        if not isinstance(length, int):
            graph.freeze(x, (along,), f"{where(node)} makes parts of unknown length")
            return
        graph.pairs(y, along, x, along, np.arange(length), np.arange(length) + at)
        at += length


@rule("Slice", "Pad")
def cut(graph: AxisGraph, node: ir.Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    if node.op_type == "Pad":
        pads = constant(node.inputs[1])
        half = rank(x)
        touched = list(range(half)) if pads is None or axes is not None else [i for i in range(half) if pads[i] or pads[half + i]]
    else:
        touched = list(range(rank(x))) if axes is None else [int(a) % rank(x) for a in axes]
    for axis in range(rank(x)):
        if axis in touched:
            graph.freeze(x, (axis,), f"{where(node)} cuts or pads this axis")
            graph.freeze(y, (axis,), f"{where(node)} cuts or pads this axis")
        else:
            graph.same(x, axis, y, axis)


@rule("Gather")
def gather(graph: AxisGraph, node: ir.Node) -> None:
    x, index, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and index is not None
    along = attr(node, "axis", 0) % max(1, rank(x))
    graph.freeze(x, (along,), f"{where(node)} indexes this axis")
    for axis in range(rank(x)):
        if axis != along:
            graph.same(x, axis, y, axis if axis < along else axis - 1 + rank(index))


@rule("Squeeze", "Unsqueeze", "Reshape", "Flatten")
def reshape(graph: AxisGraph, node: ir.Node) -> None:
    """Axes that survive; an axis that is split goes by blocks, one that merges too."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    if node.op_type == "Reshape" and constant(node.inputs[1]) is None:
        computed = f"{where(node)} has a computed shape"
    else:
        computed = ""
    before, after = dims(x), dims(y)
    start, end = 0, 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        graph.same(x, start, y, start)
        start += 1
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        graph.same(x, len(before) - 1 - end, y, len(after) - 1 - end)
        end += 1
    old, new = list(range(start, len(before) - end)), list(range(start, len(after) - end))
    old, new = [i for i in old if before[i] != 1], [j for j in new if after[j] != 1]
    if computed:
        for j in range(rank(y)):  # a length that is written down would have to change
            if isinstance(after[j], int):
                graph.freeze(y, (j,), computed)
    if len(old) == len(new) and all(before[i] == after[j] for i, j in zip(old, new, strict=True)):
        for i, j in zip(old, new, strict=True):
            graph.same(x, i, y, j)
        return
    one_to_many = len(old) == 1 and len(new) > 1
    if (one_to_many or (len(new) == 1 and len(old) > 1)) and all(
        isinstance(d, int) for d in (*(before[i] for i in old), *(after[j] for j in new))
    ):
        flat, parts = ((x, old[0]), [(y, j) for j in new]) if one_to_many else ((y, new[0]), [(x, i) for i in old])
        _blocks(graph, node, flat, parts, splits=one_to_many)
        return
    for value, axes in ((x, old), (y, new)):
        graph.freeze(value, axes, f"{where(node)} mixes this axis with others")


def _blocks(
    graph: AxisGraph, node: ir.Node, flat: tuple[ir.Value, int], parts: list[tuple[ir.Value, int]], *, splits: bool
) -> None:
    """An axis that is written as several: one of them keeps its meaning, the others stay whole.

    A last axis is split into heads, and the heads go; another one, as in a channel shuffle, into groups that stay.
    """
    lengths = [int(value.shape[axis]) for value, axis in parts]  # type: ignore[index, arg-type]
    last = flat[1] == rank(flat[0]) - 1
    chosen = 0 if last or not splits else len(parts) - 1
    every = np.arange(math.prod(lengths))
    index = every // math.prod(lengths[chosen + 1 :]) % lengths[chosen]
    graph.pairs(*flat, *parts[chosen], every, index)
    if splits and last:
        graph.mark_heads(*parts[chosen])
    for number, (value, axis) in enumerate(parts):
        if number != chosen:
            graph.freeze(value, (axis,), f"{where(node)} splits or merges this axis")


@rule("Expand")
def expand(graph: AxisGraph, node: ir.Node) -> None:
    pointwise_of = node.inputs[0]
    out = node.outputs[0]
    assert pointwise_of is not None
    for back in range(1, rank(pointwise_of) + 1):
        if dims(pointwise_of)[-back] == dims(out)[-back]:
            graph.same(pointwise_of, rank(pointwise_of) - back, out, rank(out) - back)
    given = constant(node.inputs[1])
    for axis, length in enumerate(dims(out)):
        if isinstance(length, int) and length != 1 and (given is None or int(given[axis - rank(out) + len(given)]) != 1):
            graph.freeze(out, (axis,), f"{where(node)} is given this length")
