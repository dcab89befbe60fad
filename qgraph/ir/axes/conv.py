"""Convolutions."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import rule
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where


@rule("Conv", "ConvTranspose")
def conv(graph: AxisGraph, node: ir.Node) -> None:
    """Weights are [outputs, inputs of a group, ...] in a Conv, [inputs, outputs of a group, ...] in a ConvTranspose."""
    x, w, y, groups = node.inputs[0], node.inputs[1], node.outputs[0], attr(node, "group", 1)
    assert x is not None and w is not None
    inputs, outputs, plain = graph.dims(x)[1], graph.dims(y)[1], node.op_type == "Conv"
    graph.same(x, 0, y, 0)
    if not isinstance(outputs, int) or not isinstance(inputs, int):
        for value, axes in ((w, (0, 1)), (x, (1,)), (y, (1,))):
            graph.freeze(value, axes, f"{where(node)} has channels of unknown number")
        return
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        graph.same(node.inputs[2], 0, y, 1)
    across, within = ((y, outputs), (x, inputs)) if plain else ((x, inputs), (y, outputs))
    graph.same(w, 0, across[0], 1)
    if groups == 1:
        graph.same(w, 1, within[0], 1)
    elif inputs == groups:  # depthwise: an input channel with all outputs made of it
        several = np.arange(outputs)
        graph.pairs(x, 1, y, 1, several // (outputs // groups), several)
    else:  # every group keeps as many channels: the same places go in all
        (_, many), (value, number) = across, within
        graph.pairs(value, 1, w, 1, np.arange(number), np.arange(number) % (number // groups))
        graph.pairs(w, 0, w, 0, np.arange(many), np.arange(many) % (many // groups))
