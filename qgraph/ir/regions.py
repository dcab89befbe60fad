"""Pointwise regions: values that depend on one other value element by element, so that one table can hold them.

A region's root is the value it reads; constants in it are scalars or vary along one axis only (per channel), of which the
root has as many elements.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import constant, is_op, only_user


def vector_axis(array_shape: tuple[int, ...], rank: int) -> int | None:
    """The axis (from the front of a tensor of ``rank`` dims) along which a constant varies; -1: a scalar;
    None: it varies along several."""
    axes = [i for i, d in enumerate(array_shape) if d != 1]
    if len(axes) > 1 or len(array_shape) > rank:
        return None
    return rank - len(array_shape) + axes[0] if axes else -1


def _widens(array: np.ndarray | None, value: ir.Value) -> bool:
    """Whether a constant has several elements along an axis of which ``value`` has one: no table of it holds the result."""
    if array is None or value.shape is None:
        return False
    return any(d != 1 and value.shape[i - array.ndim] == 1 for i, d in enumerate(array.shape))


class Regions:
    """Roots of all pointwise values of a graph.

    ``root[v]`` is the value that v is computed from pointwise (missing when v is not pointwise), ``axis[v]`` the
    axis of its per-channel constants (-1: none). ``per_channel=False`` keeps per-channel constants out.
    """

    def __init__(self, graph: ir.Graph, stop: set[ir.Value] | None = None) -> None:
        self.root: dict[ir.Value, ir.Value] = {}
        self.axis: dict[ir.Value, int] = {}
        stop = stop or set()
        for node in graph:
            if has(node, Trait.TABLE) and len(node.outputs) == 1:
                self._visit(node, stop)

    def _visit(self, node: ir.Node, stop: set[ir.Value]) -> None:
        out = node.outputs[0]
        if out.dtype != ir.DataType.FLOAT or out.shape is None:
            return
        if node.op_type == "Add" and any(is_op(v, "MatMul") for v in node.inputs):
            return  # the bias of a matrix product belongs to it
        rank, axis = len(out.shape), -1
        active: list[ir.Value] = []
        for value in node.inputs:
            if value is None:
                continue
            array = constant(value)
            if array is None:
                active.append(value)
                continue
            found = vector_axis(array.shape, rank)
            if found is None or (found >= 0 and axis not in (-1, found)):
                return
            axis = max(axis, found)
        if not active or any(v.shape is None or len(v.shape) != rank for v in active):
            return
        if any(_widens(constant(v), value) for v in node.inputs for value in active):
            return
        inner = {v: self.root[v] for v in active if v in self.root and v not in stop and self._inner(v, node)}
        sources = {inner.get(v, v) for v in active}
        if len(sources) > 1:  # x * sigmoid(x): one side is the root itself
            return
        axes = {axis, *(self.axis[v] for v in inner)} - {-1}
        if len(axes) > 1:  # two different channel axes: start a new region here
            if len(set(active)) > 1:
                return
            sources, axes = {active[0]}, {axis} - {-1}
        self.root[out] = sources.pop()
        self.axis[out] = axes.pop() if axes else -1

    @staticmethod
    def _inner(value: ir.Value, node: ir.Node) -> bool:
        """Whether only ``node`` reads ``value``, so that it need not be materialised."""
        return not value.is_graph_output() and all(u.node is node for u in value.uses())

    def ends(self) -> list[ir.Value]:
        """Values at the end of their region: read by something outside it."""
        return [v for v in self.root if not self._absorbed(v)]

    def _absorbed(self, value: ir.Value) -> bool:
        user = only_user(value)
        if user is None and len({u.node for u in value.uses()}) == 1 and not value.is_graph_output():
            user = next(iter(value.uses())).node
        if user is None or user.outputs[0] not in self.root:
            return False
        return self.root[user.outputs[0]] is not value

    def members(self, end: ir.Value) -> list[ir.Node]:
        """The nodes between the region's root and ``end``, in order."""
        seen: dict[ir.Node, None] = {}
        root = self.root[end]

        def walk(value: ir.Value) -> None:
            node = value.producer()
            if value is root or node is None or node in seen or constant(value) is not None:
                return
            for v in node.inputs:
                if v is not None:
                    walk(v)
            seen[node] = None

        walk(end)
        return list(seen)
