"""Take taps away again: the graph is as it was before ``attach-taps``."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.dialects import DOMAIN
from qgraph.ir.patterns import nodes
from qgraph.pipeline import Pass, PassReport, register


@register("strip-taps")
class StripTaps(Pass):
    """Remove what attach-taps added."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        taps = nodes(model, "Tap", domain=DOMAIN)
        gone = {t.outputs[0] for t in taps}
        kept = [o for o in model.graph.outputs if o not in gone]
        model.graph.outputs.clear()
        model.graph.outputs.extend(kept)
        for tap in taps:
            model.graph.remove(tap, safe=True)
            report.count("taps removed")
        model.functions.pop((DOMAIN, "Tap", ""), None)
        if not any(n.domain == DOMAIN for n in model.graph):
            model.graph.opset_imports.pop(DOMAIN, None)
