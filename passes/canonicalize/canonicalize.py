"""The canonical form: all clean-up and recognition passes, in order, until nothing changes.

inline functions -> fold constants -> shapes -> masks -> gelu, layer norm, attention -> fold constants
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.canonicalize.fold_constants import FoldConstants
from qgraph.passes.canonicalize.recognize_attention import RecognizeAttention
from qgraph.passes.canonicalize.recognize_gelu import RecognizeGelu
from qgraph.passes.canonicalize.recognize_layernorm import RecognizeLayerNorm
from qgraph.passes.canonicalize.simplify_masks import SimplifyMasks
from qgraph.passes.canonicalize.simplify_shapes import SimplifyShapes

from qgraph.pipeline import Pass, PassReport, register


@register("canonicalize")
class Canonicalize(Pass):
    """Constant folding, dead code, CSE, shape and mask arithmetic, GELU, LayerNorm, attention in one form."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        if model.functions:
            common.InlinePass()(model)
        parts = [FoldConstants, SimplifyShapes, SimplifyMasks, RecognizeGelu, RecognizeLayerNorm, RecognizeAttention]
        again = True
        while again:
            again = False
            for part in parts:
                one = part(context=self.context)
                one(model)
                for what, n in one.report.counts.items():
                    report.count(what, n)
                again |= bool(one.report.counts) and part is not FoldConstants
        common.TopologicalSortPass()(model)
