"""Convolutions."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import dims, rule
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where


@rule("Conv")
def conv(graph: AxisGraph, node: ir.Node) -> None:
    x, w, y, group = node.inputs[0], node.inputs[1], node.outputs[0], attr(node, "group", 1)
    assert x is not None and w is not None
    outputs, per = dims(w)[:2]
    inputs = dims(x)[1]
    if not all(isinstance(d, int) for d in (outputs, per, inputs)):
        graph.freeze(w, (0, 1), f"{where(node)} has channels of unknown number")
        graph.freeze(y, (1,), f"{where(node)} has channels of unknown number")
        return
    graph.same(w, 0, y, 1)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        graph.same(node.inputs[2], 0, y, 1)
    if group == 1:
        graph.same(x, 1, w, 1)
    elif per == 1:  # depthwise: an input channel with all outputs made of it
        several = np.arange(int(outputs))
        graph.pairs(x, 1, w, 0, several // (int(outputs) // group), several)
    else:  # every group keeps as many channels: the same places go in all
        graph.pairs(x, 1, w, 1, np.arange(int(inputs)), np.arange(int(inputs)) % int(per))
        every = np.arange(int(outputs))
        graph.pairs(w, 0, w, 0, every, every % (int(outputs) // group))


@rule("ConvTranspose")
def conv_transpose(graph: AxisGraph, node: ir.Node) -> None:
    x, w, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and w is not None
    if attr(node, "group", 1) != 1:
        graph.freeze(x, (1,), f"{where(node)} has groups")
        graph.freeze(y, (1,), f"{where(node)} has groups")
        graph.freeze(w, (0, 1), f"{where(node)} has groups")
        return
    graph.same(x, 1, w, 0)
    graph.same(w, 1, y, 1)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        graph.same(node.inputs[2], 0, y, 1)
