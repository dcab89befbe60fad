"""Take units out of a model: slice the weights, and correct what ops say about lengths.

    Reshape(x, [0, 12, 32])   Split(x, [8, 8])   Slice(x, 0:4)   Conv<group=16>   LSTM<hidden_size=8>   ->   what is left

Lengths that are computed from shapes are computed again with the shapes that are left; what then differs is corrected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from qgraph.passes.prune.shape_values import ShapeValues

from qgraph.errors import QGraphError
from qgraph.ir.axes import Axis, Group
from qgraph.ir.op_traits import family
from qgraph.ir.patterns import add_initializer, attr, constant, is_op, new_node
from qgraph.ir.scopes import where

Kept = Mapping[Axis, np.ndarray]
Shapes = Mapping[ir.Value, Sequence[int]]


def kept_indices(group: Group, keep: np.ndarray) -> dict[Axis, np.ndarray]:
    """The indices of each axis that stay when the units of ``keep`` [units] stay; only axes that lose some."""
    found = {}
    by_class = {number: np.flatnonzero(keep[units]) for number, units in group.unit_of.items()}
    for node, number in group.nodes.items():
        if len(by_class[number]) < len(group.unit_of[number]):
            found[node] = by_class[number]
    return found


def remove(model: ir.Model, kept: Kept, shapes: Shapes | None = None) -> None:
    """Keep only ``kept`` of each axis, in place.

    Args:
        model: the model.
        kept: the indices that stay, by axis.
        shapes: measured lengths, where the shapes of values are symbolic or unknown; ``kept`` counts in them.

    Raises:
        QGraphError: an op is given a length that is computed from the data and cannot be corrected.
    """
    if not kept:
        return
    cut = Cut(model, kept, shapes or {})
    depthwise = {n for n in model.graph if is_op(n.outputs[0], "Conv", "ConvTranspose") and _is_depthwise(n, cut)}
    for (value, axis), indices in kept.items():
        if value.const_value is not None:
            array = np.take(value.const_value.numpy(), indices, axis)
            value.const_value = ir.Tensor(array, dtype=value.const_value.dtype, name=value.name)
            value.shape = ir.Shape(array.shape)
        elif value.shape is not None:
            dims: list[int | ir.SymbolicDim | None] = list(value.shape)
            dims[axis] = len(indices) if isinstance(dims[axis], int) else None
            value.shape = ir.Shape(dims)
    if cut.values is not None:
        cut.values.shrink({v: cut.after(v) for v in cut.shapes})
        for node, index, array in cut.values.stale():
            node.replace_input_with(index, add_initializer(model, f"{node.name}_number", array))
    touched = {value for value, _ in kept}
    for node in list(model.graph):
        if node in depthwise:
            node.attributes["group"] = ir.AttrInt64("group", int(cut.after(node.inputs[0])[1]))  # type: ignore[arg-type]
        elif node.op_type == "GroupNormalization" and node.inputs[0] in touched:
            left, groups = cut.after(node.inputs[0])[1], attr(node, "num_groups", 1)
            node.attributes["num_groups"] = ir.AttrInt64("num_groups", groups * left // cut.before(node.inputs[0])[1])  # type: ignore[operator]
        elif family(node) == "recurrent" and node.inputs[2] in touched:
            node.attributes["hidden_size"] = ir.AttrInt64("hidden_size", int(cut.after(node.inputs[2])[2]))  # type: ignore[arg-type]
        elif node.op_type in CORRECTIONS and not node.domain and touched & {*node.inputs, *node.outputs}:
            for index, wanted in CORRECTIONS[node.op_type](cut, node).items():
                _correct(cut, node, index, wanted)


@dataclasses.dataclass
class Cut:
    """What goes, and the lengths before and after."""

    model: ir.Model
    kept: Kept
    shapes: Shapes

    def __post_init__(self) -> None:
        self.old = {v: [d if isinstance(d, int) else None for d in v.shape or ()] for v, _ in self.kept}
        self.values = ShapeValues(self.model, self.shapes) if self.shapes else None

    def numbers(self, node: ir.Node, index: int) -> np.ndarray | None:
        """What an input of lengths held before, None where it is absent or varies."""
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is None or constant(value) is not None or self.values is None:
            return None if value is None else constant(value)
        return None if self.values.varies(value) else self.values.before[value]

    def before(self, value: ir.Value | None) -> list[int | None]:
        """Lengths as they were, None where they are unknown."""
        if value is None:
            return []
        if value in self.shapes:
            return list(self.shapes[value])
        if value in self.old:
            return self.old[value]
        return [d if isinstance(d, int) else None for d in value.shape or ()]

    def after(self, value: ir.Value | None) -> list[int | None]:
        """Lengths that are left."""
        assert value is not None
        return [len(self.kept[value, i]) if (value, i) in self.kept else d for i, d in enumerate(self.before(value))]

    def count(self, value: ir.Value | None, axis: int, stop: int) -> int:
        """How many of the first ``stop`` indices of an axis stay."""
        assert value is not None
        return int((self.kept[value, axis] < stop).sum()) if (value, axis) in self.kept else stop


def _correct(cut: Cut, node: ir.Node, index: int, wanted: np.ndarray) -> None:
    """Let an input of lengths hold ``wanted``; a computed one that depends on open lengths is scaled."""
    value = node.inputs[index] if index < len(node.inputs) else None
    given = constant(value)
    if value is not None and given is None:
        have = cut.values.now(value) if cut.values is not None else None
        if have is None:
            raise QGraphError(f"{where(node)} is given lengths that are computed from data, which pruning cannot correct")
        if node.op_type in TARGETS:  # 0 and -1 follow by themselves, and so does the 1 of an Expand
            wanted = np.where(have > (node.op_type == "Expand"), wanted[len(wanted) - len(have) :], have)
        if np.array_equal(have, wanted):
            return
        if cut.values.varies(value):  # type: ignore[union-attr]
            node.replace_input_with(index, _scaled(cut.model, node, value, have, wanted))
            return
    elif given is not None and np.array_equal(given, wanted):
        return
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    name = "shape" if node.op_type in TARGETS else "sizes"
    dtype = np.int64 if value is None or value.dtype is None else value.dtype.numpy()
    node.replace_input_with(index, add_initializer(cut.model, f"{node.name}_{name}", wanted.astype(dtype)))


def _scaled(model: ir.Model, node: ir.Node, value: ir.Value, have: np.ndarray, wanted: np.ndarray) -> ir.Value:
    """``value`` times ``wanted`` / ``have``, element by element."""
    assert node.graph is not None
    common = np.gcd(np.abs(have), np.abs(wanted))
    common[common == 0] = 1
    times = new_node(
        node, "Mul", [value, add_initializer(model, f"{node.name}_times", wanted // common)], name=f"{node.name}_times"
    )
    part = new_node(
        node, "Div", [times.outputs[0], add_initializer(model, f"{node.name}_of", np.where(have == 0, 1, have // common))],
        name=f"{node.name}_shape",
    )  # fmt: skip
    node.graph.insert_before(node, [times, part])
    for made in (times, part):
        made.outputs[0].name, made.outputs[0].type, made.outputs[0].shape = f"{made.name}_lengths", value.type, value.shape
    return part.outputs[0]


def _target(cut: Cut, node: ir.Node) -> dict[int, np.ndarray]:
    """The target of a Reshape or Expand: numbers above 0 are the lengths that are left, 0, 1 of an Expand and -1 stay."""
    out, given = node.outputs[0], constant(node.inputs[1])
    after, before = cut.after(out), cut.before(out)
    if given is None:
        return {1: np.array([-1 if n is None else n for n in after], np.int64)}
    skip = len(after) - len(given)
    lengths = [
        int(n) if t > 0 and n is not None and n != b else int(t)
        for t, n, b in zip(given.tolist(), after[skip:], before[skip:], strict=True)
    ]
    return {1: np.array(lengths, np.int64)}


def _parts(cut: Cut, node: ir.Node) -> dict[int, np.ndarray]:
    """The sizes of a Split."""
    sizes = [cut.after(v)[attr(node, "axis", 0)] for v in node.outputs]
    if None in sizes:
        return {}
    node.attributes.pop("num_outputs", None)
    return {1: np.array(sizes, np.int64)}


def _bounds(cut: Cut, node: ir.Node) -> dict[int, np.ndarray]:
    """The starts and ends of a Slice; those of axes that lose nothing stay as they are."""
    x, y = node.inputs[0], node.outputs[0]
    starts, ends, named = (cut.numbers(node, i) for i in (1, 2, 3))
    if starts is None or ends is None:
        return {}
    axes = np.arange(len(starts)) if named is None else named
    starts, ends = starts.astype(np.int64), ends.astype(np.int64)
    for i, axis in enumerate(a % len(cut.before(x)) for a in axes.tolist()):
        length, taken = cut.before(x)[axis], cut.after(y)[axis]
        if length is None or taken is None or not {(x, axis), (y, axis)} & set(cut.kept):
            continue
        starts[i] = cut.count(x, axis, min(max(int(starts[i]) + (length if starts[i] < 0 else 0), 0), length))
        ends[i] = starts[i] + taken
    return {1: starts, 2: ends}


def _pads(cut: Cut, node: ir.Node) -> dict[int, np.ndarray]:
    """What a Pad puts around each axis."""
    x, y, pads, named = node.inputs[0], node.outputs[0], cut.numbers(node, 1), cut.numbers(node, 3)
    if pads is None:
        return {}
    axes, half, pads = np.arange(len(cut.before(x))) if named is None else named, len(pads) // 2, pads.astype(np.int64)
    for i, axis in enumerate(a % len(cut.before(x)) for a in axes.tolist()):
        inside, out = cut.after(x)[axis], cut.after(y)[axis]
        if (y, axis) in cut.kept and inside is not None and out is not None:
            pads[i] = cut.count(y, axis, int(pads[i]))
            pads[half + i] = out - inside - pads[i]
    return {1: pads}


def _picked(cut: Cut, node: ir.Node) -> dict[int, np.ndarray]:
    """The indices of a Gather that picks channels: what is left of them, counted in what is left."""
    x, y, given = node.inputs[0], node.outputs[0], constant(node.inputs[1])
    axis = attr(node, "axis", 0) % max(1, len(cut.before(x)))
    if given is None or given.ndim != 1 or not {(x, axis), (y, axis)} & set(cut.kept):
        return {}
    assert x is not None
    length = cut.before(x)[axis]
    assert length is not None
    places = np.full(length, -1)
    left = cut.kept.get((x, axis), np.arange(length))
    places[left] = np.arange(len(left))
    return {1: places[(given % length)[cut.kept.get((y, axis), np.arange(len(given)))]].astype(given.dtype)}


def _repeats(cut: Cut, node: ir.Node) -> dict[int, np.ndarray]:
    """How often a Tile repeats axes of one; other axes lose as much as their copies."""
    x, y, given = node.inputs[0], node.outputs[0], cut.numbers(node, 1)
    places = [i for i, n in enumerate(cut.before(x)) if n == 1 and (y, i) in cut.kept]
    if not places:
        return {}
    if given is None:
        raise QGraphError(f"{where(node)} repeats axes as often as the data says, which pruning cannot correct")
    repeats = given.astype(np.int64)
    for i in places:
        repeats[i] = cut.after(y)[i] or 1
    return {1: repeats}


def _resized(cut: Cut, node: ir.Node) -> dict[int, np.ndarray]:
    """The sizes of a Resize that is given sizes."""
    if len(node.inputs) < 4 or node.inputs[3] is None or "axes" in node.attributes:
        return {}
    return {3: np.array([-1 if n is None else n for n in cut.after(node.outputs[0])], np.int64)}


TARGETS = ("Reshape", "Expand")
CORRECTIONS = {
    "Reshape": _target, "Expand": _target, "Split": _parts, "Slice": _bounds, "Pad": _pads, "Gather": _picked, "Resize": _resized,
    "Tile": _repeats,
}  # fmt: skip
"""Ops that are given lengths: what the inputs that hold them must be, by the number of the input."""


def untie_vectors(model: ir.Model) -> None:
    """Give every reader of a shared vector its own: equal biases and statistics are stored once, which couples no channels."""
    for value in list(model.graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or tensor.size < 2 or tensor.size != max(tensor.numpy().shape) or tensor.dtype != ir.DataType.FLOAT:
            continue
        for use in list(value.uses())[1:]:
            use.node.replace_input_with(use.idx, add_initializer(model, value.name or "vector", tensor.numpy()))


def _is_depthwise(node: ir.Node, cut: Cut) -> bool:
    group = attr(node, "group", 1)
    return group > 1 and cut.before(node.inputs[0])[1] == group
