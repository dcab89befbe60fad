"""Fold constants and clean up: what a compiler's constant folding, CSE and dead-code elimination do.

    Shape -> Slice -> Concat (dims known)      ->  constant
    Transpose(weight)                          ->  weight, transposed, under the weight's own name
    Identity, Cast to the same type, unused    ->  gone

The work is onnxscript's optimizer and onnx_ir's common passes; this pass sets their limits and keeps names.
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript import rewriter
from onnxscript.optimizer import _constant_folding as folding

from qgraph.ir.patterns import constant
from qgraph.pipeline import Pass, PassReport, register

TRANSPOSED = "qgraph.transposed"
KEEP = {"QuantizeLinear", "DequantizeLinear"}
FORCE = {"ConstantOfShape"}  # left alone by default, for models that fill tensors of any size
# BatchNorm has a pass of its own: training from scratch needs it unfolded
# and a rule with two outputs is tried on every pair of nodes, which takes quadratic time
LEFT_OUT = ("BatchNorm", "SlicesSplit")
RULES = [r for r in rewriter._DEFAULT_REWRITE_RULES if not any(word in str(r.name) for word in LEFT_OUT)]


def _applicable(model: ir.Model) -> list[rewriter.RewriteRule]:
    """The rules whose ops are all in the graph; every rule is tried on every node, so fewer rules are quicker."""
    present = {n.op_type for n in model.graph} | {"Reshape"}  # rules turn other ops into Reshape
    return [r for r in RULES if {str(n.op) for n in r._target_pattern._nodes} <= present]


@register("fold-constants")
class FoldConstants(Pass):
    """Fold constants (also shape arithmetic), remove identities, common subexpressions and dead nodes."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            limit: largest tensor, in MiB, that folding may create.
        """

        limit: int = 2048

    def apply(self, model: ir.Model, report: PassReport) -> None:
        limit = self.options.limit << 20
        transposed = {
            node.outputs[0].name: node.inputs[0]
            for node in model.graph
            if node.op_type == "Transpose" and node.inputs[0] is not None and node.inputs[0].is_initializer()
        }
        folder = folding.FoldConstantsPass(
            shape_inference=True,
            input_size_limit=limit,
            output_size_limit=limit,
            should_fold=lambda node: False if node.op_type in KEEP else True if node.op_type in FORCE else None,
        )
        before = len(model.graph)
        modified = folder(model).modified
        modified |= rewriter.RewritePass(_applicable(model))(model).modified
        for cleanup in (
            common.IdentityEliminationPass(),
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
            common.RemoveUnusedNodesPass(),
            common.RemoveUnusedFunctionsPass(),
            common.DeduplicateInitializersPass(size_limit=1 << 16),
            common.CommonSubexpressionEliminationPass(),
            common.RemoveUnusedNodesPass(),
            common.RemoveUnusedOpsetsPass(),
            common.NameFixPass(),
        ):
            modified |= cleanup(model).modified
        self._keep_names(model, transposed)
        if modified:
            report.count("nodes removed", before - len(model.graph))

    @staticmethod
    def _keep_names(model: ir.Model, transposed: dict[str | None, ir.Value]) -> None:
        """A folded Transpose of a weight takes the weight's name, so that parameters keep theirs."""
        table = model.graph.initializers
        for name, source in transposed.items():
            folded = table.get(name) if name else None
            if folded is None or name is None or source.name is None or source.name in table or constant(folded) is None:
                continue
            del table[name]
            folded.name = source.name
            folded.metadata_props[TRANSPOSED] = "1"
            table[source.name] = folded
