"""Recognise decomposed layer normalization (Ba et al. 2016) over the last axis.

d = x - mean(x) ; d / sqrt(mean(d^2) + eps) [* gamma] [+ beta]   ->  LayerNormalization(x, gamma, beta)
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.ir.parameters import ROLE
from qgraph.ir.patterns import (
    add_initializer,
    attr,
    constant,
    is_op,
    new_node,
    nodes,
    only_user,
    rank,
    replace,
    scalar,
    static_shape,
)
from qgraph.pipeline import Pass, PassReport, register


def mean_of(value: ir.Value | None) -> ir.Value | None:
    """x of ``ReduceMean(x)`` over the last axis with the axis kept."""
    if not is_op(value, "ReduceMean"):
        return None
    node = value.producer()  # type: ignore[union-attr]
    assert node is not None
    x = node.inputs[0]
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes is None or axes.size != 1 or not attr(node, "keepdims", 1) or x is None:
        return None
    last = int(axes.reshape(()))
    return x if last == -1 or (rank(x) is not None and last == rank(x) - 1) else None  # type: ignore[operator]


def operands(value: ir.Value | None, op: str) -> tuple[ir.Value | None, ir.Value | None]:
    if not is_op(value, op):
        return None, None
    a, b = value.producer().inputs[:2]  # type: ignore[union-attr]
    return a, b


@register("recognize-layernorm")
class RecognizeLayerNorm(Pass):
    """Replace decomposed layer normalization by the ONNX op."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, "Div"):
            self._try(model, node, report)
        if report.counts:
            common.RemoveUnusedNodesPass()(model)

    def _try(self, model: ir.Model, node: ir.Node, report: PassReport) -> None:
        d, root = node.inputs
        x, mean = operands(d, "Sub")
        if x is None or mean_of(mean) is not x or not is_op(root, "Sqrt"):
            return
        variance, eps = operands(root.producer().inputs[0], "Add")  # type: ignore[union-attr]
        if scalar(variance) is not None:
            variance, eps = eps, variance
        square = mean_of(variance)
        base, power = operands(square, "Pow")
        if base is None:
            base, power = operands(square, "Mul")
            squared = base is d and power is d
        else:
            squared = base is d and scalar(power) == 2
        shape = static_shape(ir.Value(shape=ir.Shape(list(x.shape)[-1:]))) if x.shape is not None else None
        if not squared or scalar(eps) is None or not shape:
            return
        end, gamma = self._affine(node.outputs[0], "Mul", shape)
        end, beta = self._affine(end, "Add", shape)
        weight = gamma
        if weight is None:
            weight = add_initializer(model, f"{end.name}_gamma", np.ones(shape, np.float32))
            weight.metadata_props[ROLE] = "constant"
        inputs = [x, weight] + ([beta] if beta is not None else [])
        new = new_node(
            node, "LayerNormalization", inputs, {"axis": -1, "epsilon": float(scalar(eps) or 0)}, name=f"{node.name}_ln"
        )
        end.producer().graph.insert_before(end.producer(), new)  # type: ignore[union-attr, arg-type]
        replace(end, new.outputs[0])
        report.count("layer norms")

    @staticmethod
    def _affine(value: ir.Value, op: str, shape: tuple[int, ...]) -> tuple[ir.Value, ir.Value | None]:
        """Take one following ``op`` with a constant of the normalized shape along."""
        user = only_user(value)
        if user is None or user.op_type != op or user.domain:
            return value, None
        other = user.inputs[1] if user.inputs[0] is value else user.inputs[0]
        array = constant(other)
        return (user.outputs[0], other) if array is not None and array.shape == shape else (value, None)
