"""``Tap(x)``: an identity whose output, an output of the graph, names a value for distillation: ``tap.KIND.KEY``."""

from __future__ import annotations

from onnxscript import opset21, script
from onnxscript import opset21 as op
from onnxscript.values import Opset

QGRAPH = Opset("qgraph", 1)


@script(QGRAPH, default_opset=opset21)
def Tap(x):  # type: ignore[no-untyped-def]
    return op.Identity(x)
