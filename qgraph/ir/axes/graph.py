"""Which axes of which values change together when a channel is removed.

Nodes are axes, pairs of a value and a number; an edge says which index of one is which index of the other (the files of the
families have a rule an op). Connected components are groups (DepGraph, Fang et al. 2023). Within a group, indices that must go
together are a *unit*: a channel with everything that reads and writes it, a head, the same place of every group of a
convolution. An op without a rule freezes the axes of what it touches, and says why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import networkx as nx
import numpy as np
import onnx_ir as ir

from qgraph.ir.axes.registry import apply

Axis = tuple[ir.Value, int]


def size(node: Axis) -> int | None:
    """The length of an axis, None where it is symbolic or unknown."""
    value, axis = node
    if value.shape is None or not isinstance(value.shape[axis], int):
        return None
    return int(value.shape[axis])  # type: ignore[arg-type]


@dataclasses.dataclass
class Group:
    """Axes that are pruned together.

    Attributes:
        nodes: the axes, each with the number of its class: axes of one class have the same indices.
        unit_of: by class, the unit that each index belongs to.
        units: how many units there are.
        frozen: by unit, why it cannot be removed (empty: it can).
        heads: whether its units are blocks of an axis that a Reshape splits, such as attention heads.
    """

    nodes: dict[Axis, int]
    unit_of: dict[int, np.ndarray]
    units: int
    frozen: list[str]
    heads: bool

    def weights(self) -> list[Axis]:
        """The axes of float parameters."""
        return [n for n in self.nodes if n[0].const_value is not None and n[0].dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16)]

    @property
    def free(self) -> np.ndarray:
        return np.array([not reason for reason in self.frozen], bool)

    @property
    def why(self) -> str:
        """The first reason for which a unit stays; empty where all are free."""
        return next((reason for reason in self.frozen if reason), "")

    def totals(self, arrays: Iterable[tuple[Axis, np.ndarray]]) -> np.ndarray:
        """Sums by unit [units], float64: every array, shaped like the value of its axis, is summed over all other axes."""
        found = np.zeros(self.units)
        for (value, axis), array in arrays:
            sums = array.sum(tuple(i for i in range(array.ndim) if i != axis))
            np.add.at(found, self.unit_of[self.nodes[value, axis]], sums)
        return found

    def name(self) -> str:
        """The first weight, which is what people know a layer by."""
        return next((v.name or "" for v, _ in self.weights()), "")


class AxisGraph:
    """The axes of a model's main graph and what couples them."""

    def __init__(self, model: ir.Model) -> None:
        self.graph: nx.Graph = nx.Graph()
        self.frozen: dict[Axis, str] = {}
        self.marked: set[Axis] = set()
        self.partial: list[tuple[Axis, Axis, np.ndarray, np.ndarray]] = []
        for node in model.graph:
            apply(self, node)
        for value in (*model.graph.inputs, *model.graph.outputs):
            which = "an input" if value.is_graph_input() else "an output"
            self.freeze(value, range(len(value.shape or ())), f"{value.name!r} is {which} of the model")

    def same(self, a: ir.Value, i: int, b: ir.Value, j: int) -> None:
        """Index k of axis i of ``a`` is index k of axis j of ``b``."""
        left, right = self._node(a, i), self._node(b, j)
        if left is None or right is None or size(left) != size(right) or left == right:
            return
        self.graph.add_edge(left, right, partial=False)

    def pairs(self, a: ir.Value, i: int, b: ir.Value, j: int, left: np.ndarray, right: np.ndarray) -> None:
        """Index left[k] of axis i of ``a`` goes with index right[k] of axis j of ``b``."""
        first, second = self._node(a, i), self._node(b, j)
        if first is None or second is None:
            return
        self.partial.append((first, second, left, right))
        if first != second and not self.graph.has_edge(first, second):
            self.graph.add_edge(first, second, partial=True)

    def freeze(self, value: ir.Value | None, axes: Iterable[int], reason: str) -> None:
        if value is None or value.shape is None:
            return
        for axis in axes:
            node = (value, axis % max(1, len(value.shape)))
            if size(node) is not None:
                self.graph.add_node(node)
                self.frozen.setdefault(node, reason)

    def mark_heads(self, value: ir.Value, axis: int) -> None:
        self.marked.add((value, axis))

    def _node(self, value: ir.Value, axis: int) -> Axis | None:
        if value.shape is None:
            return None
        node = (value, axis % len(value.shape))
        if size(node) is None:
            return None
        self.graph.add_node(node)
        return node

    def groups(self) -> list[Group]:
        """Groups that hold weights, in the order of the graph."""
        exact = nx.Graph()
        exact.add_nodes_from(self.graph.nodes)
        exact.add_edges_from((a, b) for a, b, facts in self.graph.edges(data=True) if not facts["partial"])
        class_of: dict[Axis, int] = {}
        lengths = []
        for number, members in enumerate(nx.connected_components(exact)):
            class_of |= dict.fromkeys(members, number)
            lengths.append(size(next(iter(members))) or 0)
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        labels = self._labels(class_of, start)
        return [g for members in self._components() if (g := self._group(members, class_of, start, labels)).weights()]

    def _components(self) -> list[list[Axis]]:
        order = {node: i for i, node in enumerate(self.graph.nodes)}
        return [sorted(c, key=order.__getitem__) for c in nx.connected_components(self.graph)]

    def _labels(self, class_of: dict[Axis, int], start: np.ndarray) -> np.ndarray:
        """The least element that each element is coupled with."""
        labels = np.arange(int(start[-1]))
        links = [(start[class_of[a]] + left, start[class_of[b]] + right) for a, b, left, right in self.partial]
        if not links:
            return labels
        left, right = (np.concatenate(side) for side in zip(*links, strict=True))
        while True:
            least = np.minimum(labels[left], labels[right])
            before = labels.copy()
            np.minimum.at(labels, left, least)
            np.minimum.at(labels, right, least)
            np.minimum.at(labels, before[left], least)
            np.minimum.at(labels, before[right], least)
            labels = labels[labels]
            if np.array_equal(before, labels):
                return labels

    def _group(self, members: list[Axis], class_of: dict[Axis, int], start: np.ndarray, labels: np.ndarray) -> Group:
        classes = {node: class_of[node] for node in members}
        spans = {c: labels[start[c] : start[c + 1]] for c in dict.fromkeys(classes.values())}
        known, numbers = np.unique(np.concatenate(list(spans.values())), return_inverse=True)
        unit_of, at = {}, 0
        for c, span in spans.items():
            unit_of[c] = numbers[at : at + len(span)]
            at += len(span)
        frozen = [""] * len(known)
        for node in members:
            if reason := self.frozen.get(node, ""):
                for unit in np.unique(unit_of[classes[node]]):
                    frozen[unit] = frozen[unit] or reason
        heads = any(node in self.marked for node in members)
        return Group(classes, unit_of, len(known), frozen, heads)
