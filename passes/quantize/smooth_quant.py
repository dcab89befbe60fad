"""Move activation outliers into the weights (SmoothQuant, Xiao et al. 2023).

    x -> MatMul(W)   ->   x -> Mul(1/s) -> MatMul(s * W)       s_j = max|x_j|^alpha / max|W_j|^(1-alpha)

The function stays the same in float. Linears that read the same value share one s. The multiply becomes part of the
per-token quantizer; only such linears (matrix products over tokens) are smoothed.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from qgraph.analyze.activations import summarize
from qgraph.ir.matchers.linear import weight_of
from qgraph.ir.parameters import tied_to
from qgraph.ir.patterns import add_initializer, constant, new_node, nodes
from qgraph.numerics.observers import ChannelStatistics
from qgraph.pipeline import Pass, PassReport, register


@register("smooth-quant")
class SmoothQuant(Pass):
    """Balance the ranges of activations and weights a channel at a time."""

    needs_data = True

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            alpha: share of the outliers that moves into the weights, 0 to 1.
        """

        alpha: float = 0.5

    def apply(self, model: ir.Model, report: PassReport) -> None:
        groups: dict[ir.Value, list[ir.Node]] = {}
        for node in nodes(model, "MatMul"):
            x, weight = node.inputs[0], weight_of(node)
            if weight is None or weight.producer() is not None or x is None or x.shape is None or len(x.shape) < 3:
                continue
            alone = len(weight.uses()) == 1 and tied_to(weight, model.graph) is None
            if len(constant(weight).shape) == 2 and alone:  # type: ignore[union-attr]
                groups.setdefault(x, []).append(node)
        if not groups:
            return
        found = {v: known for v in groups if (known := self.context.state.channels.get(v.name or "")) is not None}
        missing = {v: ChannelStatistics() for v in groups if v not in found}
        if missing:  # calibrate did not run before
            for summaries, _ in summarize(model, dict.fromkeys(missing, -1), [], self.context.batches(self.name)):
                for value, one in summaries.items():
                    missing[value].update(one.low, one.high, one.total, one.count)
        found |= missing
        for value, readers in groups.items():
            if found[value].count:
                self._smooth(model, value, readers, np.asarray(found[value].peak))
                report.count("linears smoothed", len(readers))

    def _smooth(self, model: ir.Model, value: ir.Value, readers: list[ir.Node], peak: np.ndarray) -> None:
        weights = [constant(n.inputs[1]) for n in readers]
        largest = np.max([np.abs(w).max(1) for w in weights if w is not None], axis=0).astype(np.float64)
        alpha = self.options.alpha
        with np.errstate(divide="ignore", invalid="ignore"):
            s = peak.astype(np.float64) ** alpha / largest ** (1 - alpha)
        s = np.where(np.isfinite(s) & (s > 1e-5), s, 1.0).astype(np.float32)
        inverse = add_initializer(model, f"{value.name}_smooth", (1 / s).astype(np.float32))
        mul = new_node(readers[0], "Mul", [value, inverse], name=f"{value.name}_smooth")
        out = mul.outputs[0]
        out.name, out.shape, out.type = f"{value.name}_smoothed", value.shape, value.type
        self.context.state.smoothed.add(out.name)
        readers[0].graph.insert_before(readers[0], mul)  # type: ignore[union-attr]
        for node, weight in zip(readers, weights, strict=True):
            assert weight is not None and node.inputs[1] is not None
            name = node.inputs[1].name
            scaled = (weight * s[:, None]).astype(np.float32)
            node.inputs[1].const_value = ir.Tensor(scaled, name=name)
            node.replace_input_with(0, out)
