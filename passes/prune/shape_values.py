"""What a model computes from shapes, before and after units went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.errors import QGraphError
from qgraph.execute.onnxruntime import session
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import attr, constant, is_op
from qgraph.ir.scopes import where

Shapes = Mapping[ir.Value, Sequence[int | None]]
LENGTHS = {
    "Reshape": (1,),
    "Expand": (1,),
    "Split": (1,),
    "Slice": (1, 2, 3, 4),
    "Pad": (1, 3),
    "Resize": (1, 2, 3),
    "Tile": (1,),
}
"""The inputs of lengths, which removing corrects by itself."""
INTEGERS = (ir.DataType.INT64, ir.DataType.INT32)


class ShapeValues:
    """The values that nodes compute from Shape and Size alone.

    Args:
        model: the model before units go.
        shapes: the measured shapes of its values.
    """

    def __init__(self, model: ir.Model, shapes: Shapes) -> None:
        self.model = model
        self.values = computed_from_shapes(model)
        self.read = dict.fromkeys(v for v in self.values if any(_reads_numbers(u.node, u.idx, self.values) for u in v.uses()))
        self.before = self.after = evaluate(model, shapes, self.read)
        try:
            self.doubled = evaluate(model, doubled(shapes), self.read)
        except QGraphError:  # lengths that only fit as they are
            self.doubled = {}

    def shrink(self, shapes: Shapes) -> None:
        """Compute everything again with the shapes that are left."""
        self.after = evaluate(self.model, shapes, self.read)

    def now(self, value: ir.Value) -> np.ndarray | None:
        return self.after.get(value)

    def varies(self, value: ir.Value) -> bool:
        """Whether the value depends on lengths that the model leaves open."""
        return value not in self.doubled or not _equal(self.before[value], self.doubled[value])

    def fixed(self) -> dict[ir.Value, np.ndarray]:
        """The values that do not depend on them."""
        return {value: array for value, array in self.before.items() if not self.varies(value)}

    def stale(self) -> Iterator[tuple[ir.Node, int, np.ndarray]]:
        """Inputs that take a number from shapes which is no longer what it was, with the number that it was.

        The scale 1 / sqrt(width) of attention must stay what it was trained with. Inputs of lengths are not among them.
        """
        for value in self.read:
            if _equal(self.before[value], self.after[value]):
                continue
            for use in list(value.uses()):
                if not _reads_numbers(use.node, use.idx, self.values) or use.idx in LENGTHS.get(use.node.op_type, ()):
                    continue
                if self.varies(value):
                    raise QGraphError(f"{where(use.node)} computes with the number of channels, which pruning would change")
                yield use.node, use.idx, self.before[value]


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same, NaN included."""
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _reads_numbers(node: ir.Node, index: int, values: Mapping[ir.Value, None]) -> bool:
    """Whether a node outside of the arithmetic of shapes reads its input as numbers."""
    return node.outputs[0] not in values and not has(node, Trait.FROM_SHAPES)


def computed_from_shapes(model: ir.Model) -> dict[ir.Value, None]:
    """The outputs of Shape and Size, of all nodes that read nothing else but constants, and integers computed from constants."""
    found: dict[ir.Value, None] = {}
    for node in model.graph:
        inputs = [v for v in node.inputs if v is not None]
        integers = all(v.dtype in INTEGERS for v in node.outputs) and bool(inputs)
        follows = (integers or any(v in found for v in inputs)) and all(v in found or constant(v) is not None for v in inputs)
        if follows or is_op(node.outputs[0], "Shape", "Size"):
            found |= dict.fromkeys(node.outputs)
    return found


def doubled(shapes: Shapes) -> Shapes:
    """The shapes with every length that the model leaves open twice as large."""
    return {
        v: [n if n is None or (v.shape is not None and isinstance(v.shape[i], int)) else 2 * n for i, n in enumerate(dims)]
        for v, dims in shapes.items()
    }


def evaluate(model: ir.Model, shapes: Shapes, wanted: Mapping[ir.Value, None]) -> dict[ir.Value, np.ndarray]:
    """Compute ``wanted`` with the values of the model having ``shapes``.

    Raises:
        QGraphError: ONNX Runtime cannot compute them.
    """
    if not wanted:
        return {}
    copy, names = model.clone(), {v.name: v for v in wanted}
    lengths = {v.name: dims for v, dims in shapes.items() if all(n is not None for n in dims)}
    for node in list(copy.graph):
        source = (
            node.inputs[0].name if node.op_type in ("Shape", "Size") and not node.domain and node.inputs[0] is not None else None
        )
        if source not in lengths:
            continue
        dims = np.array(lengths[source], np.int64)
        array = dims[attr(node, "start", 0) : attr(node, "end")] if node.op_type == "Shape" else np.array(dims.prod(), np.int64)
        known = ir.Node("", "Constant", [], [ir.AttrTensor("value", ir.Tensor(array))])
        copy.graph.insert_before(node, known)
        name, node.outputs[0].name = node.outputs[0].name, None
        ir.convenience.replace_all_uses_with(node.outputs[0], known.outputs[0], replace_graph_outputs=True)
        copy.graph.remove(node, safe=True)
        known.outputs[0].name = name
    outputs = {o.name: o for n in copy.graph for o in n.outputs if o.name in names}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(outputs.values())
    common.RemoveUnusedNodesPass()(copy)
    copy.graph.inputs.clear()
    try:
        found = session(copy, threads=1, quiet=True).run(list(outputs), {})
    except Exception as error:
        raise QGraphError(f"what the model computes from its shapes cannot be computed: {error}") from error
    return {names[name]: array for name, array in zip(outputs, found, strict=True)}
