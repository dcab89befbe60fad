"""Remove whole layers: what a layer reads is handed on in place of what it makes.

    x -> layer 3 -> y -> layer 4     ->     x -> layer 4

This is the layer reduction that extreme compression starts from (XTC, Wu et al. 2022; DistilBERT, Sanh et al. 2019).
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.prune.structured import refuse_quantized
from qgraph.passes.prune.trial import Trial

from qgraph.errors import QGraphError
from qgraph.ir.layers import LayerValues, layer_of, layers
from qgraph.pipeline import Pass, PassReport, register


@register("prune-layers")
class PruneLayers(Pass):
    """Remove repeated blocks, found by module path; weights of those that stay do not change."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            keep: numbers of the layers that stay, counted from 0; empty keeps a part of them, evenly spaced.
            ratio: part of the layers to remove when ``keep`` is empty.
        """

        keep: tuple[int, ...] = ()
        ratio: float = 0.5

    def requires(self, model: ir.Model) -> None:
        refuse_quantized(model, self.name)

    def apply(self, model: ir.Model, report: PassReport) -> None:
        found = [layer for layer in layers(model) if "feature" in layer.values]
        keep = self._keep(len(found))
        trial = Trial.of(model, self.context, self.name)
        order = {node: i for i, node in enumerate(model.graph)}
        for number, layer in enumerate(found):
            if number in keep:
                continue
            out = layer.values["feature"]
            entry = _entry(model, layer, out, order)
            ir.convenience.replace_all_uses_with(out, entry, replace_graph_outputs=True)
            report.count("layers removed")
        common.RemoveUnusedNodesPass()(model)
        if failure := trial.breaks(model):
            raise QGraphError(f"pass 'prune-layers' leaves the model as it was: {failure}; name other layers with keep=[...]")
        report.details["layers"] = {layer.name: "kept" if i in keep else "removed" for i, layer in enumerate(found)}

    def _keep(self, count: int) -> set[int]:
        if not count:
            raise QGraphError("pass 'prune-layers' finds no layers (module paths with a number) in this model")
        if not self.options.keep:
            if not 0 <= self.options.ratio < 1:
                raise QGraphError(f"pass 'prune-layers': ratio={self.options.ratio} is out of range; give 0 to below 1")
            left = max(1, count - round(self.options.ratio * count))
            return {(i + 1) * count // left - 1 for i in range(left)}
        wrong = [n for n in self.options.keep if not 0 <= n < count]
        if wrong:
            raise QGraphError(f"pass 'prune-layers': there is no layer {wrong[0]}; the model has layers 0 to {count - 1}")
        return set(self.options.keep)


def _entry(model: ir.Model, layer: LayerValues, out: ir.Value, order: dict[ir.Node, int]) -> ir.Value:
    """The value that the layer changes: the last one made before it that it reads and that has the shape of ``out``."""
    members = {n for n in model.graph if layer_of(n) == layer.name}
    found = [
        value
        for node in members
        for value in node.inputs
        if value is not None
        and value.const_value is None
        and (value.producer() is None or value.producer() not in members)
        and value.dtype == out.dtype
        and value.shape is not None
        and out.shape is not None
        and [str(d) for d in value.shape] == [str(d) for d in out.shape]
    ]
    if not found:
        raise QGraphError(
            f"pass 'prune-layers': layer {layer.name!r} hands on another shape ({out.shape}) than it reads; "
            "keep it with keep=[...]"
        )
    return max(found, key=lambda v: order.get(v.producer(), -1))  # type: ignore[arg-type]
