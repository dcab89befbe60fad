"""Fold BatchNormalization in inference form.

    BN(Conv(x, W, b))  ->  Conv(x, W * g, (b - mean) * g + beta)     g = gamma / sqrt(var + eps)
    BN(x) elsewhere    ->  x * g + (beta - mean * g)

The first line is onnxscript's rule (Conv, ConvTranspose, Gemm); the second serves what has no such producer.
Source: Jacob et al. 2018, section 3.2.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.rules import common as rules

from qgraph.errors import QGraphError
from qgraph.ir.patterns import add_initializer, attr, constant, is_op, new_node, nodes, rank, replace
from qgraph.ir.scopes import where
from qgraph.pipeline import Pass, PassReport, register

FOLDABLE = ("Conv", "ConvTranspose", "Gemm")
RULES = RewriteRuleSet(
    [
        rules.fuse_batchnorm_into_conv_rule,
        rules.fuse_batchnorm_into_conv_transpose_rule,
        rules.fuse_batchnorm_into_gemm_rule,
    ]
)


@register("fold-batchnorm")
class FoldBatchNorm(Pass):
    """Fold BatchNorm into the weights before it, or into one multiply and one add."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        count = len(nodes(model, "BatchNormalization"))
        if not count:
            return
        names = {
            node.outputs[0].name: [v.name for v in node.inputs[0].producer().inputs[1:3] if v is not None]  # type: ignore[union-attr]
            for node in nodes(model, "BatchNormalization")
            if is_op(node.inputs[0], *FOLDABLE)
        }
        for node in nodes(model, "BatchNormalization"):
            if attr(node, "training_mode", 0):
                raise QGraphError(f"{where(node)} is in training mode; capture the model in inference mode (eval())")
        RULES.apply_to_model(model)
        self._names(model, names)
        report.count("folded into weights", count - len(nodes(model, "BatchNormalization")))
        for node in nodes(model, "BatchNormalization"):
            self._affine(model, node, report)
        common.RemoveUnusedNodesPass()(model)

    @staticmethod
    def _names(model: ir.Model, names: dict[str | None, list[str | None]]) -> None:
        """Folded weights keep the names of the weights that they came from."""
        users = {u.node for v in model.graph.initializers.values() for u in v.uses()}
        common.RemoveUnusedNodesPass()(model)
        for node in users:
            if node.op_type not in FOLDABLE:
                continue
            for value, old in zip(node.inputs[1:3], names.get(node.outputs[0].name, []), strict=False):
                if value is not None and old and value.name != old and old not in model.graph.initializers:
                    model.graph.initializers.pop(value.name or "")
                    value.name = old
                    model.graph.initializers[old] = value

    @staticmethod
    def _affine(model: ir.Model, node: ir.Node, report: PassReport) -> None:
        gamma, beta, mean, var = (constant(v) for v in node.inputs[1:5])
        x, out = node.inputs[0], node.outputs[0]
        if gamma is None or beta is None or mean is None or var is None or x is None or rank(x) is None:
            return
        g = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + attr(node, "epsilon", 1e-5))
        shape = (-1, *[1] * (len(x.shape or ()) - 2))
        scale = add_initializer(model, f"{out.name}_gain", g.astype(np.float32).reshape(shape))
        shift = add_initializer(model, f"{out.name}_shift", (beta - mean * g).astype(np.float32).reshape(shape))
        mul = new_node(node, "Mul", [x, scale], name=f"{node.name}_mul")
        mul.outputs[0].name, mul.outputs[0].shape, mul.outputs[0].type = f"{out.name}_mul", out.shape, out.type
        add = new_node(node, "Add", [mul.outputs[0], shift], name=f"{node.name}_add")
        node.graph.insert_before(node, [mul, add])  # type: ignore[union-attr]
        replace(out, add.outputs[0])
        report.count("turned into multiply and add")
