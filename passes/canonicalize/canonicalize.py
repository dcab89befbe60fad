"""The canonical form: all clean-up and recognition passes, in order, until nothing changes.

inline functions -> fold constants -> Gemm's C -> pads -> shapes -> masks -> gelu, layer norm, attention -> fold constants
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.canonicalize.explicit_pads import ExplicitPads
from qgraph.passes.canonicalize.fold_constants import FoldConstants, Parameters
from qgraph.passes.canonicalize.masks_as_sums import MasksAsSums
from qgraph.passes.canonicalize.recognize_attention import RecognizeAttention
from qgraph.passes.canonicalize.recognize_gelu import RecognizeGelu
from qgraph.passes.canonicalize.recognize_layernorm import RecognizeLayerNorm
from qgraph.passes.canonicalize.simplify_masks import SimplifyMasks
from qgraph.passes.canonicalize.simplify_shapes import SimplifyShapes
from qgraph.passes.canonicalize.split_gemm import SplitGemm

from qgraph.ir.dialects import DOMAIN
from qgraph.pipeline import Pass, PassReport, register


@register("canonicalize")
class Canonicalize(Pass):
    """Constant folding, dead code, CSE, shape and mask arithmetic, GELU, LayerNorm, attention in one form."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            parameters: fold, keep (for graphs that will be trained) or merge (for those that will not), see fold-constants.
        """

        parameters: Parameters = "fold"

    def apply(self, model: ir.Model, report: PassReport) -> None:
        if model.functions:  # the trainable ops are functions, too
            common.InlinePass(criteria=lambda function: function.domain != DOMAIN)(model)
        parts = [
            *(FoldConstants, SplitGemm, ExplicitPads, SimplifyShapes, SimplifyMasks, MasksAsSums),
            *(RecognizeGelu, RecognizeLayerNorm, RecognizeAttention),
        ]
        again = True
        while again:
            again = False
            for part in parts:
                options = {"parameters": self.options.parameters} if part is FoldConstants else {}
                one = part(context=self.context, **options)
                one(model)
                for what, n in one.report.counts.items():
                    report.count(what, n)
                again |= bool(one.report.counts) and part is not FoldConstants
        common.TopologicalSortPass()(model)
