"""Ops that move, cut or join elements."""

from __future__ import annotations

import itertools
import operator

import numpy as np
import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph, Choice
from qgraph.ir.axes.registry import broadcast, keep_whole, rule
from qgraph.ir.patterns import attr, constant
from qgraph.ir.scopes import where


@rule("Transpose")
def transpose(graph: AxisGraph, node: ir.Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    for out, axis in enumerate(attr(node, "perm", list(range(graph.rank(x)))[::-1])):
        graph.same(x, axis, y, out)


@rule("Concat")
def concat(graph: AxisGraph, node: ir.Node) -> None:
    y = node.outputs[0]
    along, at = attr(node, "axis", 0) % max(1, graph.rank(y)), 0
    for x in node.inputs:
        assert x is not None
        length = graph.dims(x)[along]
        for axis in range(graph.rank(x)):
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
    along = attr(node, "axis", 0) % graph.rank(x)
    for y in node.outputs:
        length = graph.dims(y)[along]
        for axis in range(graph.rank(x)):
            if axis != along:
                graph.same(x, axis, y, axis)
        if not isinstance(length, int):
            graph.freeze(x, (along,), f"{where(node)} makes parts of unknown length")
            return
        graph.pairs(y, along, x, along, np.arange(length), np.arange(length) + at)
        at += length


@rule("Slice")
def cut(graph: AxisGraph, node: ir.Node) -> None:
    """What a Slice takes goes with where it was; one that steps over elements takes its axis whole."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    bounds = slice_starts(graph, node)
    for axis in range(graph.rank(x)):
        length, taken = graph.length((x, axis)), graph.length((y, axis))
        start, step = (0, 0) if bounds is None else bounds.get(axis, (0, 1))
        if bounds is not None and axis not in bounds:
            graph.same(x, axis, y, axis)
        elif step == 1 and length is not None and taken is not None:
            graph.pairs(x, axis, y, axis, np.arange(taken) + start, np.arange(taken))
        else:
            for value in (x, y):
                graph.freeze(value, (axis,), f"{where(node)} cuts this axis")


def slice_starts(graph: AxisGraph, node: ir.Node) -> dict[int, tuple[int, int]] | None:
    """(first index, step) of every axis that a Slice cuts, (0, 0) where the length is unknown; None where the axes are."""
    x = node.inputs[0]
    assert x is not None
    given = [graph.numbers(v) for v in (*node.inputs, None, None)[:5]]
    starts, axes, steps = given[1], given[3], given[4]
    if starts is None:
        return None
    for index, default in ((3, np.arange(len(starts))), (4, np.ones(len(starts), np.int64))):
        if len(node.inputs) <= index or node.inputs[index] is None:
            axes, steps = (default, steps) if index == 3 else (axes, default)
    if axes is None or steps is None:
        return None
    found = {}
    for start, axis, step in zip(starts.tolist(), axes.tolist(), steps.tolist(), strict=True):
        length = graph.length((x, axis % graph.rank(x)))
        first = 0 if length is None else min(max(start + length if start < 0 else start, 0), length)
        found[axis % graph.rank(x)] = (first, 0 if length is None else step)
    return found


@rule("Pad")
def pad(graph: AxisGraph, node: ir.Node) -> None:
    """What is padded around channels goes as they do; other modes than a constant read their neighbours."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    begins = pad_begins(graph, node)
    for axis in range(graph.rank(x)):
        length, padded = graph.length((x, axis)), graph.length((y, axis))
        begin = None if begins is None else begins.get(axis, 0)
        if begin == 0 and graph.dims(x)[axis] == graph.dims(y)[axis]:
            graph.same(x, axis, y, axis)
        elif begin is None or begin < 0 or length is None or padded is None or begin + length > padded:
            for value in (x, y):
                graph.freeze(value, (axis,), f"{where(node)} pads this axis")
        elif attr(node, "mode", "constant") != "constant":
            for value in (x, y):
                graph.freeze(value, (axis,), f"{where(node)} pads this axis with what is near")
        else:
            graph.pairs(x, axis, y, axis, np.arange(length), np.arange(length) + begin)


def pad_begins(graph: AxisGraph, node: ir.Node) -> dict[int, int] | None:
    """How many elements a Pad puts in front of each axis that it names; None where that is unknown."""
    x = node.inputs[0]
    assert x is not None
    pads = graph.numbers(node.inputs[1])
    named = len(node.inputs) > 3 and node.inputs[3] is not None
    axes = graph.numbers(node.inputs[3]) if named else np.arange(graph.rank(x))
    if pads is None or axes is None:
        return None
    return {int(a) % graph.rank(x): int(p) for a, p in zip(axes, pads, strict=False)}


@rule("Gather")
def gather(graph: AxisGraph, node: ir.Node) -> None:
    """A list of constant indices picks channels, as a shuffle or a repetition does; other indices take the axis whole."""
    x, index, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and index is not None
    along = attr(node, "axis", 0) % max(1, graph.rank(x))
    picked, length = constant(index), graph.length((x, along))
    if picked is not None and picked.ndim == 1 and length is not None:
        graph.pairs(x, along, y, along, picked % length, np.arange(len(picked)))
    else:
        graph.freeze(x, (along,), f"{where(node)} indexes this axis")
    for axis in range(graph.rank(x)):
        if axis != along:
            graph.same(x, axis, y, axis if axis < along else axis - 1 + graph.rank(index))


@rule("Tile")
def tile(graph: AxisGraph, node: ir.Node) -> None:
    """Every copy of a channel goes with it; an axis of one is repeated as often as its readers wish."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis in range(graph.rank(x)):
        length, out = graph.length((x, axis)), graph.length((y, axis))
        if graph.dims(x)[axis] == graph.dims(y)[axis]:
            graph.same(x, axis, y, axis)
        elif length is not None and out is not None and length > 1:
            graph.pairs(x, axis, y, axis, np.arange(out) % length, np.arange(out))
        elif length == 1 and (graph.numbers(node.inputs[1]) is not None or y in graph.shapes):
            graph.own(y, axis)
        else:
            graph.freeze(y, (axis,), f"{where(node)} repeats this axis")


@rule("DepthToSpace", "SpaceToDepth")
def shuffle_pixels(graph: AxisGraph, node: ir.Node) -> None:
    """A channel of the side with more pixels goes with all the channels that it is on the other side."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    deep, flat = (x, y) if node.op_type == "DepthToSpace" else (y, x)
    many, few = graph.length((deep, 1)), graph.length((flat, 1))
    graph.same(x, 0, y, 0)
    if many is not None and few is not None:
        every, innermost = np.arange(many), attr(node, "mode", "DCR") == "DCR"
        graph.pairs(deep, 1, flat, 1, every, every % few if innermost else every // (many // few))


@rule("Squeeze", "Unsqueeze", "Reshape", "Flatten")
def reshape(graph: AxisGraph, node: ir.Node) -> None:
    """Axes that survive; where axes are split or merged, one factor of them keeps its meaning."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    before, after = graph.dims(x), graph.dims(y)
    if node.op_type == "Reshape" and constant(node.inputs[1]) is None and y not in graph.shapes:
        for j in range(graph.rank(y)):  # a length that is written down would have to change
            graph.freeze(y, (j,), f"{where(node)} has a computed shape")
    start, end = 0, 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        graph.same(x, start, y, start)
        start += 1
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        graph.same(x, len(before) - 1 - end, y, len(after) - 1 - end)
        end += 1
    old = [(x, i) for i in range(start, len(before) - end) if before[i] != 1]
    new = [(y, j) for j in range(start, len(after) - end) if after[j] != 1]
    for value, dims in ((x, before), (y, after)):
        ones = [i for i in range(start, len(dims) - end) if dims[i] == 1]
        graph.freeze(value, ones, f"{where(node)} makes or drops this axis of one")
    if [before[i] for _, i in old] == [after[j] for _, j in new]:
        for a, b in zip(old, new, strict=True):
            graph.same(*a, *b)
        return
    for left, right in _segments(graph, old, new):
        if len(left) == len(right) == 1:
            graph.same(*left[0], *right[0])
        elif (choice := _choice(graph, node, left, right)) is not None:
            graph.choose(choice)
        else:
            for value, axis in (*left, *right):
                graph.freeze(value, (axis,), f"{where(node)} mixes this axis with others")


Axes = list[tuple[ir.Value, int]]


def _products(graph: AxisGraph, axes: Axes) -> list[int] | None:
    """The products of the last 1, 2, ... lengths; None where one is unknown."""
    lengths = [n for axis in axes[::-1] if (n := graph.length(axis)) is not None]
    return list(itertools.accumulate(lengths, operator.mul)) if len(lengths) == len(axes) else None


def _segments(graph: AxisGraph, old: Axes, new: Axes) -> list[tuple[Axes, Axes]]:
    """The shortest runs of axes that hold the same elements before and after, from the last one on."""
    one, other = _products(graph, old), _products(graph, new)
    if one is None or other is None:
        return [(old, new)]
    found, i, j = [], 0, 0
    for border in (p for p in one if p in other):
        left, right = one.index(border) + 1, other.index(border) + 1
        found.append((old[len(old) - left : len(old) - i], new[len(new) - right : len(new) - j]))
        i, j = left, right
    return found if (i, j) == (len(old), len(new)) else [(old, new)]


def _choice(graph: AxisGraph, node: ir.Node, old: Axes, new: Axes) -> Choice | None:
    """The factors of two runs of axes with the same elements; None where there are none.

    The most welcome factor is the outermost (the heads of a split last axis, the channels of a flattened picture); of another
    split axis, as in a channel shuffle, it is the innermost, which has the groups in front of it.
    """
    sides = [_products(graph, old), _products(graph, new)]
    if sides[0] is None or sides[1] is None:
        return None

    borders = sorted({1, *sides[0], *sides[1]})
    if any(b % a for a, b in itertools.pairwise(borders)):
        return None
    count, axes = len(borders) - 1, {}
    for side, ends in zip((old, new), sides, strict=True):
        assert ends is not None
        for axis, low, high in zip(side[::-1], [1, *ends], ends, strict=False):
            axes[axis] = list(range(count - borders.index(high), count - borders.index(low)))
    lengths = [b // a for a, b in itertools.pairwise(borders)][::-1]
    middle = len(old) == 1 and old[0][1] != graph.rank(old[0][0]) - 1
    return Choice(node, lengths, axes, list(range(count))[:: -1 if middle else 1])


@rule("Expand")
def expand(graph: AxisGraph, node: ir.Node) -> None:
    """An axis that is repeated is as long as its readers wish."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    broadcast(graph, x, out)
    for axis in range(graph.rank(out)):
        if graph.numbers(node.inputs[1]) is not None or out in graph.shapes:
            graph.own(out, axis)
        else:
            graph.freeze(out, (axis,), f"{where(node)} is given this length")


@rule("ReverseSequence")
def reverse_sequence(graph: AxisGraph, node: ir.Node) -> None:
    keep_whole(graph, node, [attr(node, "time_axis", 0), attr(node, "batch_axis", 1)], "reverses sequences")


@rule("CenterCropPad")
def center_crop_pad(graph: AxisGraph, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    named = attr(node, "axes", list(range(graph.rank(x))))
    keep_whole(graph, node, named, "gives this axis another length")
