"""``Mask(w, mask)``: a weight without its pruned elements: ``w`` where ``mask`` (bool, the shape of ``w``) is true, else 0.

The pruned elements keep their values, so that training may bring them back. Folded by ``finalize-pruning``.
"""

from __future__ import annotations

from onnxscript import opset21, script
from onnxscript import opset21 as op
from onnxscript.values import Opset

INPUT_AXIS = "qgraph.input_axis"
"""Metadata of a node: the axis that the inputs of the masked weight lie on."""
MOVED = "qgraph.movement"
"""Metadata of a node whose mask is trained by movement: the sparsity at the end."""
QGRAPH = Opset("qgraph", 1)


@script(QGRAPH, default_opset=opset21)
def Mask(w, mask):  # type: ignore[no-untyped-def]
    return op.Mul(w, op.CastLike(mask, w))
