"""Recognise decomposed layer normalization over the last axis (the spellings: ``qgraph.ir.matchers.layernorm``).

d = x - mean(x) ; d / sqrt(mean(d^2) + eps) [* gamma] [+ beta]   ->  LayerNormalization(x, gamma, beta)
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.ir.matchers.layernorm import Normalized, match
from qgraph.ir.parameters import ROLE
from qgraph.ir.patterns import add_initializer, constant, new_node, nodes, only_user, replace
from qgraph.pipeline import Pass, PassReport, register


@register("recognize-layernorm")
class RecognizeLayerNorm(Pass):
    """Replace decomposed layer normalization by the ONNX op."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, "Div", "Mul", "Add"):
            found = match(node)
            if found is not None and self._rewrite(model, node, found):
                report.count("layer norms")
        if report.counts:
            common.RemoveUnusedNodesPass()(model)

    def _rewrite(self, model: ir.Model, node: ir.Node, found: Normalized) -> bool:
        channels = found.x.shape[-1] if found.x.shape else None
        if not isinstance(channels, int):
            return False
        given = {v: self._vector(model, v, channels) for v in (found.gamma, found.beta) if v is not None}
        if None in given.values():
            return False
        gamma = given[found.gamma] if found.gamma is not None else None
        beta = given[found.beta] if found.beta is not None else None
        end = node.outputs[0]
        if gamma is None and beta is None:
            end, gamma = self._following(model, end, "Mul", channels)
        if beta is None:
            end, beta = self._following(model, end, "Add", channels)
        if gamma is None:
            gamma = add_initializer(model, f"{end.name}_gamma", np.ones(channels, np.float32))
            gamma.metadata_props[ROLE] = "constant"
        inputs = [found.x, gamma] + ([beta] if beta is not None else [])
        attributes = {"axis": -1, "epsilon": found.epsilon}
        new = new_node(node, "LayerNormalization", inputs, attributes, name=f"{node.name}_ln")
        end.producer().graph.insert_before(end.producer(), new)  # type: ignore[union-attr, arg-type]
        replace(end, new.outputs[0])
        return True

    def _following(self, model: ir.Model, value: ir.Value, op: str, channels: int) -> tuple[ir.Value, ir.Value | None]:
        """Take one following ``op`` with one constant a channel along."""
        user = only_user(value)
        if user is None or user.op_type != op or user.domain:
            return value, None
        vector = self._vector(model, user.inputs[1] if user.inputs[0] is value else user.inputs[0], channels)
        return (user.outputs[0], vector) if vector is not None else (value, None)

    @staticmethod
    def _vector(model: ir.Model, value: ir.Value | None, channels: int) -> ir.Value | None:
        """A constant as [channels]: itself, or a copy without the leading ones where nothing else reads it."""
        array = constant(value)
        if array is None or value is None or array.shape == (channels,):
            return value if array is not None else None
        if array.size != channels or array.shape[-1:] != (channels,) or len({u.node for u in value.uses()}) > 1:
            return None
        flat = add_initializer(model, f"{value.name}_flat", array.reshape(channels))
        flat.metadata_props.update(value.metadata_props)
        return flat
