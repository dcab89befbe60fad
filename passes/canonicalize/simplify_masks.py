"""Resolve the exporter's mask arithmetic.

Range(0, n, 1) >= 0                                 ->  true
GatherND(mask[b,l], grid of Range(b) x Range(l))    ->  Unsqueeze(mask)
And(x, true), Expand(x), where readers broadcast    ->  x
"""

from __future__ import annotations

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
