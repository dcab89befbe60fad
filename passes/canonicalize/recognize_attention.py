"""Bring scaled-dot-product attention into one form.

    MatMul(q * c, kT * c) [or / c]  ->  MatMul(q, kT) * c^2       one scale, after the product
    Div(scores, c)                  ->  Mul(scores, 1 / c)

so that later passes see: MatMul(q, kT) -> Mul -> Add(mask) -> Softmax -> [Where(IsNaN, 0)] -> MatMul(v).
The guard stays: without it a row whose keys are all masked is NaN, not 0.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.ir.matchers.attention import scaled
from qgraph.ir.patterns import add_initializer, constant, new_node, nodes, replace
from qgraph.pipeline import Pass, PassReport, register


def feeds_softmax(value: ir.Value, depth: int = 4) -> bool:
    """Whether ``value`` reaches a Softmax through scaling and mask additions only."""
    for use in value.uses():
        if use.node.op_type == "Softmax":
            return True
        if depth and use.node.op_type in ("Mul", "Div", "Add", "Where"):
            return feeds_softmax(use.node.outputs[0], depth - 1)
    return False


@register("recognize-attention")
class RecognizeAttention(Pass):
    """One scale after the query-key product, whatever way the source wrote it."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, "MatMul"):
            self._scores(model, node, report)
        if report.counts:
            common.RemoveUnusedNodesPass()(model)

    @staticmethod
    def _scores(model: ir.Model, node: ir.Node, report: PassReport) -> None:
        if any(constant(v) is not None for v in node.inputs) or not feeds_softmax(node.outputs[0]):
            return
        if node.outputs[0].is_graph_output() and any(v is not None and scaled(v) for v in node.inputs):
            return  # the caller reads the scores as they are
        factor = 1.0
        for i, value in enumerate(node.inputs):
            while value is not None and (found := scaled(value)):
                value, c = found
                factor *= c
                node.replace_input_with(i, value)
        moved = factor != 1.0
        out, after = node.outputs[0], [u.node for u in node.outputs[0].uses()]
        end = out
        if len(after) == 1 and after[0].op_type in ("Mul", "Div") and (found := scaled(after[0].outputs[0])):
            if after[0].op_type == "Mul" and factor == 1.0:
                return
            factor, end = factor * found[1], after[0].outputs[0]
        if factor == 1.0 and end is out:
            return
        name = out.name
        number = add_initializer(model, f"{name}_scale", np.array(factor, np.float32))
        if moved:  # a name stands for a value, and this one is another now
            out.name = f"{name}_unscaled"
        scale = new_node(node, "Mul", [out, number], name=f"{node.name}_scale")
        graph = node.graph
        assert graph is not None
        graph.insert_after(node, scale)
        if end is out:
            scale.outputs[0].name, scale.outputs[0].shape, scale.outputs[0].type = name, out.shape, out.type
            ir.convenience.replace_all_uses_with(out, scale.outputs[0])
            scale.replace_input_with(0, out)
        else:
            replace(end, scale.outputs[0])
        report.count("attention scales")
