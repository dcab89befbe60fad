"""Resize."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import rule, same_channels
from qgraph.ir.patterns import constant
from qgraph.ir.scopes import where


@rule("Resize")
def resize(graph: AxisGraph, node: ir.Node) -> None:
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if scales is None or not np.all(scales[:2] == 1):
        for value in (node.inputs[0], node.outputs[0]):
            graph.freeze(value, (0, 1), f"{where(node)} is given sizes, not scales")
        return
    same_channels(graph, node)
