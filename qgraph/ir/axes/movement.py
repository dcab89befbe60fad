"""Ops that move, cut or join elements."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import dims, rank, rule
from qgraph.ir.patterns import attr, constant
from qgraph.ir.scopes import where


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
