"""Give linear ops their bias as an input.

    Add(Conv(x, W), c[1,C,1,1])     ->  Conv(x, W, c)
    Add(MatMul(x[m,k], W), c[n])    ->  Gemm(x, W, c)        two-dimensional x only
    Add(MatMul(x, W), c[1,n])       ->  Add(MatMul(x, W), c[n])

A batched MatMul keeps its Add, for which ONNX has no fused form; later passes see through it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.ir.patterns import add_initializer, constant, new_node, nodes, only_user, rank, replace
from qgraph.pipeline import Pass, PassReport, register


@register("fuse-bias")
class FuseBias(Pass):
    """Move an added constant into the bias of the Conv, ConvTranspose or MatMul before it."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, "Conv", "ConvTranspose", "MatMul"):
            add = only_user(node.outputs[0])
            weight = constant(node.inputs[1])
            if add is None or add.op_type != "Add" or add.domain or weight is None:
                continue
            other = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
            bias = constant(other)
            if bias is None or other is None:
                continue
            if node.op_type == "MatMul":
                dims = rank(node.inputs[0])  # type: ignore[arg-type]
                full = (1,) * (bias.ndim - 1) + weight.shape[1:]
                if weight.ndim != 2 or bias.shape != full or dims is None or bias.ndim > max(dims, 1):
                    continue
                vector = other if bias.ndim == 1 else add_initializer(model, f"{other.name}_bias", bias.reshape(-1))
                if dims != 2:
                    if vector is not other:
                        add.replace_input_with(add.inputs.index(other), vector)
                        report.count("biases made vectors")
                    continue
            else:
                channels = (node.outputs[0].shape or [None, None])[1]
                spatial = weight.ndim - 2
                full = (1,) * (spatial + 2 - bias.ndim) + bias.shape
                if (len(node.inputs) > 2 and node.inputs[2] is not None) or full != (1, channels, *[1] * spatial):
                    continue
                vector = add_initializer(model, f"{other.name}_bias", bias.reshape(-1).astype(np.float32))
            op = "Gemm" if node.op_type == "MatMul" else node.op_type
            new = new_node(node, op, [*node.inputs[:2], vector], name=node.name)
            new.attributes.update(node.attributes)
            node.graph.insert_before(add, new)  # type: ignore[union-attr]
            replace(add.outputs[0], new.outputs[0])
            report.count("biases fused")
        if report.counts:
            common.RemoveUnusedNodesPass()(model)
