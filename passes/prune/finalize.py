"""Fold masks into the weights, and remove the units that they left without any effect.

Mask(W, mask)   ->   W with zeros   ->   fewer channels where all that makes, or all that reads, a channel is zero
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.prune.remove import kept_indices, remove, untie_vectors
from qgraph.passes.prune.trial import Trial

from qgraph.errors import QGraphError
from qgraph.ir.axes import Axis, AxisGraph, Group
from qgraph.ir.dialects import DOMAIN
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import attr, constant, is_op, nodes
from qgraph.ir.scopes import where
from qgraph.ir.weights import input_axis
from qgraph.pipeline import Pass, PassReport, register


@register("finalize-pruning")
class FinalizePruning(Pass):
    """Fold masks and remove dead channels; the function stays the same."""

    def requires(self, model: ir.Model) -> None:
        if any(not n.domain and n.op_type == "QuantizeLinear" and is_op(n.inputs[0], "Mask", domain=DOMAIN) for n in model.graph):
            raise QGraphError("pass 'finalize-pruning' meets masked weights behind quantizers; run 'bake', which folds them")
        for node in nodes(model, "Mask", domain=DOMAIN):
            if constant(node.outputs[0]) is None:
                raise QGraphError(f"{where(node)} masks a value that is computed; only weights can be finalized")

    def ensures(self, model: ir.Model) -> None:
        for node in nodes(model, "Mask", domain=DOMAIN):
            raise QGraphError(f"pass 'finalize-pruning' left {where(node)}; report this with the model")

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, "Mask", domain=DOMAIN):
            value, array = node.inputs[0], constant(node.outputs[0])
            assert value is not None and array is not None
            value.const_value = ir.Tensor(array, name=value.name)
            ir.convenience.replace_all_uses_with(node.outputs[0], value)
            model.graph.remove(node, safe=True)
            report.count("masks folded")
        common.RemoveUnusedNodesPass()(model)
        untie_vectors(model)
        whole, trial = model.clone(), None
        while kept := self._dead(model, report):  # what reads a dead channel may die next
            trial = trial or Trial.of(whole, self.context, self.name)
            remove(model, kept)
        if trial is not None and (difference := trial.differs(whole, model)):
            raise QGraphError(f"pass 'finalize-pruning' leaves the model as it was: without its dead channels {difference}")

    @staticmethod
    def _dead(model: ir.Model, report: PassReport) -> dict[Axis, np.ndarray]:
        kept: dict[Axis, np.ndarray] = {}
        for group in AxisGraph(model).groups():
            reading, making = _sides(group)
            dead = (without_readers(group, reading) | without_makers(group, making)) & group.free
            keep = ~dead
            for units in group.unit_of.values():
                if not keep[units].any():
                    keep[units[0]] = True
            if not keep.all():
                kept |= kept_indices(group, keep)
                report.count("units removed", int((~keep).sum()))
        return kept


def _zeros(group: Group, parts: list[Axis]) -> np.ndarray:
    """Units all of whose elements in ``parts`` are zero."""
    arrays = ((n, np.abs(n[0].const_value.numpy().astype(np.float64))) for n in parts)  # type: ignore[union-attr]
    return np.asarray(group.totals(arrays) == 0)


def _sides(group: Group) -> tuple[list[Axis], list[Axis]]:
    """Weights that read the group's values, and all other parameters."""
    reading: list[Axis] = []
    making: list[Axis] = []
    for value, axis in group.weights():
        linear = [u.node for u in value.uses() if has(u.node, Trait.LINEAR) and u.idx == 1]
        depthwise = any(n.op_type == "Conv" and attr(n, "group", 1) > 1 for n in linear)
        (reading if linear and not depthwise and all(axis == input_axis(n) for n in linear) else making).append((value, axis))
    return reading, making


def without_readers(group: Group, reading: list[Axis]) -> np.ndarray:
    """Units that only zeros read."""
    read = {value for value, _ in reading}
    others = {
        u.node
        for value, _ in group.nodes
        if value.const_value is None
        for u in value.uses()
        if not any(v is not None and (v, i) in group.nodes for v in u.node.outputs for i in range(len(v.shape or ())))
        and not (has(u.node, Trait.LINEAR) and u.node.inputs[1] in read)
    }
    return _zeros(group, reading) if reading and not others else np.zeros(group.units, bool)


def without_makers(group: Group, making: list[Axis]) -> np.ndarray:
    """Units that are zero whatever comes in."""
    makers = {n for value, _ in group.nodes if value.const_value is None and (n := value.producer()) is not None}
    keep_zero = all(has(n, Trait.KEEPS_ZERO) for n in makers)
    return _zeros(group, making) if making and keep_zero else np.zeros(group.units, bool)
