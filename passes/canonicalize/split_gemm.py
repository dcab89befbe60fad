"""Gemm with a C that is no bias becomes a product and an addition.

    Gemm(x, W, c[m,1])          ->  Add(Gemm(x, W), c)
    Gemm(x, W, activation)      ->  Add(Gemm(x, W), activation)

A bias is a constant with one number a column, or one for all. What follows knows no other C.
"""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.matchers.linear import has_bias_of_columns
from qgraph.ir.patterns import attr, constant, new_node, nodes, replace
from qgraph.pipeline import Pass, PassReport, register


@register("split-gemm")
class SplitGemm(Pass):
    """Turn a Gemm with a constant weight whose C is an activation or differs by row into Gemm and Add."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, "Gemm"):
            if has_bias_of_columns(node) or constant(node.inputs[1]) is None or attr(node, "beta", 1.0) != 1:
                continue
            out = node.outputs[0]
            product = new_node(node, "Gemm", node.inputs[:2], name=node.name)
            product.attributes.update(node.attributes)
            product.outputs[0].name, product.outputs[0].shape = f"{out.name}_product", out.shape
            product.outputs[0].dtype = ir.DataType.FLOAT
            add = new_node(node, "Add", [product.outputs[0], node.inputs[2]], name=f"{node.name}_add")
            node.graph.insert_before(node, [product, add])  # type: ignore[union-attr]
            replace(out, add.outputs[0])
            node.graph.remove(node, safe=True)  # type: ignore[union-attr]
            report.count("sums taken out of Gemm")
