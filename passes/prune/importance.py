"""How much each unit of a group matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from qgraph.analyze.activations import summarize
from qgraph.errors import QGraphError
from qgraph.ir.axes import Axis, Group
from qgraph.numerics.observers import ChannelStatistics
from qgraph.pipeline import PassContext

Criterion = Literal["l1", "l2", "bn", "taylor", "activation"]


class Importance:
    """Scores of units by one criterion.

    ``l1``, ``l2``: norm of all weights that a unit removes. ``bn``: |scale| of the BatchNorms on it (Liu et al. 2017), l2 without
    one. ``taylor``: |sum of weight times gradient| (Molchanov et al. 2019, equation 8), from ``context.state.gradients``.
    ``activation``: the largest |activation| on the calibration data.
    """

    def __init__(self, criterion: Criterion, context: PassContext, model: object) -> None:
        self.criterion, self.context, self.model = criterion, context, model

    def __call__(self, group: Group) -> np.ndarray:
        """A score a unit, float64; larger matters more."""
        weights = group.weights()
        if self.criterion == "bn":
            scales = [n for n in weights if any(u.node.op_type == "BatchNormalization" and u.idx == 1 for u in n[0].uses())]
            return self._sum(group, scales, 1) if scales else self._sum(group, weights, 2)
        if self.criterion == "taylor":
            return self._taylor(group, weights)
        if self.criterion == "activation":
            return self._activation(group)
        return self._sum(group, weights, 1 if self.criterion == "l1" else 2)

    @staticmethod
    def _sum(group: Group, nodes: list[Axis], power: int) -> np.ndarray:
        arrays = ((n, np.abs(n[0].const_value.numpy().astype(np.float64)) ** power) for n in nodes)  # type: ignore[union-attr]
        return group.totals(arrays) ** (1 / power)  # type: ignore[no-any-return]

    def _taylor(self, group: Group, nodes: list[Axis]) -> np.ndarray:
        gradients: Mapping[str, np.ndarray] = self.context.state.gradients
        known = [n for n in nodes if (n[0].name or "") in gradients]
        if not known:
            raise QGraphError(
                f"criterion=taylor needs gradients of {group.name()!r}; use it in a stage of a recipe that says 'gradients: 8'"
            )
        arrays = ((n, n[0].const_value.numpy().astype(np.float64) * gradients[n[0].name or ""]) for n in known)  # type: ignore[union-attr]
        return np.abs(group.totals(arrays))

    def _activation(self, group: Group) -> np.ndarray:
        floats = {v: i for v, i in group.nodes if v.const_value is None and v.producer() is not None and v.dtype is not None}
        chosen = {v: i for v, i in floats.items() if v.dtype.name.startswith("FLOAT")}  # type: ignore[union-attr]
        found = {value: ChannelStatistics() for value in chosen}
        for summaries, _ in summarize(self.model, chosen, [], self.context.batches("criterion=activation")):  # type: ignore[arg-type]
            for value, one in summaries.items():
                found[value].update(one.low, one.high, one.total, one.count)
        total = np.zeros(group.units)
        for value, axis in chosen.items():
            if found[value].count:
                np.maximum.at(total, group.unit_of[group.nodes[value, axis]], np.asarray(found[value].peak, np.float64))
        return total
