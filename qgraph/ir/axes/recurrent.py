"""LSTM, GRU and RNN: a hidden unit is a row of every gate, a column of R, and a channel of states and outputs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import rule
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where


@rule("LSTM", "GRU", "RNN")
def recurrent(graph: AxisGraph, node: ir.Node) -> None:
    """Both directions lose the same units, since they share an axis of the output."""
    x, w, r, b, lengths, h, c, p = (*node.inputs, *[None] * 8)[:8]
    assert x is not None and w is not None and r is not None
    batch_first = attr(node, "layout", 0) == 1
    batch, time = (0, 1) if batch_first else (1, 0)
    graph.same(x, 2, w, 2)
    graph.freeze(x, (time,), f"{where(node)} goes over this axis step by step")
    y, *last = node.outputs
    states = [v for v in (h, c, *last) if v is not None and graph.known(v) and graph.rank(v) == 3]
    channels = [(v, 2) for v in states]
    batches = [(v, 0 if batch_first else 1) for v in states]
    if graph.known(y) and graph.rank(y) == 4:
        graph.freeze(y, (1 if batch_first else 0,), f"{where(node)} goes over this axis step by step")
        channels.append((y, 3))
        batches.append((y, 0 if batch_first else 2))
    if lengths is not None:
        batches.append((lengths, 0))
    for value, axis in channels:
        graph.same(r, 2, value, axis)
    for value, axis in batches:
        graph.same(x, batch, value, axis)
    hidden = graph.length((r, 2))
    for value in (v for v in (w, r, b, p) if v is not None):
        rows = graph.length((value, 1))
        if hidden and rows is not None:
            graph.pairs(value, 1, r, 2, np.arange(rows), np.arange(rows) % hidden)
