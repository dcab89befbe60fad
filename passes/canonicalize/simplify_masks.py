"""Resolve the exporter's mask arithmetic.

Range(0, n, 1) >= 0                                 ->  true
GatherND(mask[b,l], grid of Range(b) x Range(l))    ->  Unsqueeze(mask)
And(x, true), Expand(x), where readers broadcast    ->  x
Trilu of one number (or true) everywhere            ->  Where(row + k <= column, number, 0), from the dims
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.canonicalize.simplify_shapes import broadcast, dims_of

from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import add_initializer, attr, constant, is_op, new_node, nodes, replace, scalar
from qgraph.pipeline import Pass, PassReport, register


def full_range(value: ir.Value | None) -> ir.Value | None:
    """See through Unsqueeze and Expand to ``Range(0, n, 1)``; returns its output."""
    while is_op(value, "Unsqueeze", "Expand"):
        value = value.producer().inputs[0]  # type: ignore[union-attr]
    if not is_op(value, "Range"):
        return None
    start, _, step = value.producer().inputs  # type: ignore[union-attr]
    return value if scalar(start) == 0 and scalar(step) == 1 else None


def uniform(value: ir.Value | None) -> float | None:
    """The number that every element of a float or bool tensor is, where it is made by Expand or ConstantOfShape; else None."""
    if value is None or value.dtype not in (ir.DataType.FLOAT, ir.DataType.BOOL):
        return None
    if is_op(value, "Expand"):
        return scalar(value.producer().inputs[0])  # type: ignore[union-attr]
    if not is_op(value, "ConstantOfShape"):
        return None
    fill = attr(value.producer(), "value")  # type: ignore[arg-type]
    return 0.0 if fill is None else float(fill.numpy().reshape(-1)[0])


def absorbed(value: ir.Value, axes: set[int]) -> bool:
    """Whether every reader broadcasts ``value`` along ``axes`` (counted from the end) anyway."""
    if value.is_graph_output() or not value.uses():
        return False
    for use in value.uses():
        node, out = use.node, use.node.outputs[0]
        if not has(node, Trait.ELEMENTWISE):
            return False
        rest = set(axes)
        for other in node.inputs:
            dims, full = dims_of(other), dims_of(out)
            if other is value or dims is None or full is None:
                continue
            rest -= {a for a in rest if len(dims) >= -a and dims[a] != 1 and dims[a] == full[a]}
        if rest and not absorbed(out, rest):
            return False
    return True


@register("simplify-masks")
class SimplifyMasks(Pass):
    """Remove index grids, always-true comparisons and Expand nodes around attention masks."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, "GreaterOrEqual"):
            if scalar(node.inputs[1]) == 0 and full_range(node.inputs[0]) is not None:
                rank = len(node.outputs[0].shape or [])
                true = add_initializer(model, f"{node.outputs[0].name}_true", np.ones([1] * rank, np.bool_))
                ir.convenience.replace_all_uses_with(node.outputs[0], true)
                report.count("comparisons")
        for node in nodes(model, "GatherND"):
            self._grid(model, node, report)
        for node in nodes(model, "Trilu"):
            self._triangle(model, node, report)
        for node in nodes(model, "And", "Expand"):
            self._broadcast(node, report)
        if report.counts:
            common.RemoveUnusedNodesPass()(model)
            refresh_shapes(model)

    @staticmethod
    def _grid(model: ir.Model, node: ir.Node, report: PassReport) -> None:
        data, index = node.inputs
        dims, out = dims_of(data), dims_of(node.outputs[0])
        if attr(node, "batch_dims", 0) or dims is None or out is None or not is_op(index, "Concat"):
            return
        ranges = [full_range(part) for part in index.producer().inputs]  # type: ignore[union-attr]
        owners = [dims_of(r) for r in ranges]
        if len(ranges) != len(dims) or any(o != [d] for o, d in zip(owners, dims, strict=True)):
            return
        if [d for d in out if d != 1] != dims:  # the grid must run over the data's axes in order
            return
        axes = [i for i, d in enumerate(out) if d == 1]
        shape = add_initializer(model, f"{node.outputs[0].name}_axes", np.array(axes, np.int64))
        new = new_node(node, "Unsqueeze", [data, shape], name=f"{node.name}_unsqueeze")
        node.graph.insert_before(node, new)  # type: ignore[union-attr]
        replace(node.outputs[0], new.outputs[0])
        report.count("index grids")

    @staticmethod
    def _triangle(model: ir.Model, node: ir.Node, report: PassReport) -> None:
        """A triangle of one number whose dims are not known: the kernels compare places, none cuts a triangle."""
        x, out = node.inputs[0], node.outputs[0]
        fill, shift = uniform(x), 0.0 if len(node.inputs) < 2 or node.inputs[1] is None else scalar(node.inputs[1])
        if fill is None or shift is None or x is None or not fill:
            return
        name = out.name or "triangle"

        def add(op: str, inputs: Sequence[ir.Value | None], what: str, kind: ir.DataType, **attributes: int) -> ir.Value:
            made = new_node(node, op, inputs, attributes, name=f"{name}_{what}")
            made.outputs[0].name, made.outputs[0].type = f"{name}_{what}", ir.TensorType(kind)
            node.graph.insert_before(node, made)  # type: ignore[union-attr]
            return made.outputs[0]

        def number(value: float | list[int], what: str, dtype: type = np.int64) -> ir.Value:
            return add_initializer(model, f"{name}_{what}", np.array(value, dtype))

        whole = ir.DataType.INT64
        dims = add("Shape", [x], "shape", whole)
        ranges = []
        for place, what in ((-2, "rows"), (-1, "columns")):
            length = add("Gather", [dims, number(place, f"{what}_place")], f"{what}_count", whole)
            ranges.append(add("Range", [number(0, "start"), length, number(1, "step")], what, whole))
        rows = add("Unsqueeze", [ranges[0], number([1], "axis")], "row_numbers", whole)
        edge = add("Add", [rows, number(int(shift), "diagonal")], "edge", whole)
        compared = [edge, ranges[1]] if attr(node, "upper", 1) else [ranges[1], edge]
        kept = add("LessOrEqual", compared, "kept", ir.DataType.BOOL)
        if out.dtype != ir.DataType.BOOL:
            kept = add(
                "Where", [kept, number(fill, "fill", np.float32), number(0.0, "rest", np.float32)], "numbers", ir.DataType.FLOAT
            )
        kept.shape = None if out.shape is None else ir.Shape(out.shape[-2:])
        if out.shape is None or len(out.shape) != 2:
            kept = add("Expand", [kept, dims], "expanded", kept.dtype or ir.DataType.FLOAT)
        replace(out, kept)
        report.count("triangles")

    @staticmethod
    def _broadcast(node: ir.Node, report: PassReport) -> None:
        if node.op_type == "And":
            pairs = [node.inputs, node.inputs[::-1]]
            kept = next((a for a, b in pairs if (c := constant(b)) is not None and c.all()), None)
        else:
            kept = node.inputs[0]
        before, after = dims_of(kept), dims_of(node.outputs[0])
        if kept is None or before is None or after is None or len(before) > len(after):
            return
        padded = [1] * (len(after) - len(before)) + before
        grown = {i - len(after) for i, (a, b) in enumerate(zip(padded, after, strict=True)) if a != b}
        if absorbed(node.outputs[0], grown):
            ir.convenience.replace_all_uses_with(node.outputs[0], kept)
            report.count("broadcasts")


def refresh_shapes(model: ir.Model) -> None:
    """Recompute the shapes of elementwise nodes after an operand became smaller."""
    for node in model.graph:
        if not node.domain and has(node, Trait.ELEMENTWISE):
            inputs = [dims_of(v) for v in node.inputs if v is not None]
            shape = broadcast([i for i in inputs if i is not None]) if None not in inputs else None
            if shape is not None:
                node.outputs[0].shape = ir.Shape(shape)
