"""Which axes of which values change together when a channel is removed.

Nodes are axes, pairs of a value and a number; an edge says which index of one is which index of the other (the files of the
families have a rule an op). Connected components are groups (DepGraph, Fang et al. 2023). Within a group, indices that must go
together are a *unit*: a channel with everything that reads and writes it, a head, the same place of every group of a
convolution.

Nothing goes that is not spoken for: an op without a rule freezes the axes of what it touches, a rule that says nothing of an
axis freezes it (pixels, positions, batches: no weight makes them), and so does an axis whose length is unknown on one side. Each
says why. Lengths are those of the shapes, or those that the caller measured (``shapes``), which knows symbolic dims too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import networkx as nx
import numpy as np
import onnx_ir as ir

from qgraph.ir.axes.registry import apply, freeze_subgraphs
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import constant, is_op
from qgraph.ir.scopes import where
from qgraph.ir.weights import input_axis

Axis = tuple[ir.Value, int]


@dataclasses.dataclass
class Choice:
    """A Reshape that splits or merges axes: one factor of their lengths keeps its meaning, all others stay whole.

    Attributes:
        node: the Reshape.
        lengths: the factors, outermost first.
        axes: the numbers of the factors that each axis is the product of.
        preferred: the factors, the most welcome first.
    """

    node: ir.Node
    lengths: list[int]
    axes: dict[Axis, list[int]]
    preferred: list[int]

    def index(self, axis: Axis, factor: int) -> np.ndarray:
        """The index of ``factor`` at every index of ``axis``."""
        parts = [self.lengths[f] for f in self.axes[axis]]
        at = self.axes[axis].index(factor)
        inner = int(np.prod(parts[at + 1 :], dtype=np.int64))
        return np.arange(int(np.prod(parts, dtype=np.int64))) // inner % parts[at]


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
        """What people know the group by: the first weight that makes its values, or whose inputs it is."""
        weights = sorted(self.weights(), key=lambda axis: len(axis[0].shape or ()) < 2)
        making = next((v.name for v, axis in weights if not _reads(v, axis)), None)
        return making or (f"inputs of {weights[0][0].name}" if weights else "")


def _reads(value: ir.Value, axis: int) -> bool:
    """Whether ``axis`` of a parameter is summed over by a linear op."""
    node = next((u.node for u in value.uses() if has(u.node, Trait.LINEAR)), None)
    return node is not None and node.inputs[1] is value and axis == input_axis(node)


class AxisGraph:
    """The axes of a model's main graph and what couples them.

    Args:
        model: the model; it is not changed.
        shapes: lengths of the axes of values that were measured in a run, for those that are symbolic or unknown.
        vectors: what computed integer inputs (targets of Reshapes, bounds of Slices) held in that run.
    """

    def __init__(
        self,
        model: ir.Model,
        shapes: Mapping[ir.Value, Sequence[int]] | None = None,
        vectors: Mapping[ir.Value, np.ndarray] | None = None,
    ) -> None:
        self.shapes, self.vectors = shapes or {}, vectors or {}
        self.graph: nx.Graph = nx.Graph()
        self.frozen: dict[Axis, str] = {}
        self.marked: set[Axis] = set()
        self.summed: dict[Axis, ir.Node] = {}
        self.partial: list[tuple[Axis, Axis, np.ndarray, np.ndarray]] = []
        self.choices: list[Choice] = []
        self.touched: set[Axis] = set()
        for node in model.graph:
            apply(self, node)
            freeze_subgraphs(self, node)
        for value in (*model.graph.inputs, *model.graph.outputs):
            which = "an input" if value.is_graph_input() else "an output"
            self.freeze(value, range(self.rank(value)), f"{value.name!r} is {which} of the model")
        self.class_of: dict[Axis, int] = {}
        self.start = self._classes()
        self._decide()

    def rank(self, value: ir.Value) -> int:
        return len(self.shapes[value]) if value in self.shapes else len(value.shape or ())

    def dims(self, value: ir.Value) -> list[int | str]:
        """Lengths, symbols as text; an unknown length equals no other."""
        if value in self.shapes:
            return list(self.shapes[value])
        return [int(d) if isinstance(d, int) else str(d.value or f"?{id(value)}:{i}") for i, d in enumerate(value.shape or ())]

    def known(self, value: ir.Value) -> bool:
        """Whether the rank is known."""
        return value in self.shapes or value.shape is not None

    def length(self, axis: Axis) -> int | None:
        """The length of an axis, None where it is symbolic or unknown."""
        found = self.dims(axis[0])[axis[1]]
        return found if isinstance(found, int) else None

    def numbers(self, value: ir.Value | None) -> np.ndarray | None:
        """What a constant, or a computed input that was measured, holds; None where that is unknown."""
        found = constant(value)
        return found if found is not None or value is None else self.vectors.get(value)

    def same(self, a: ir.Value, i: int, b: ir.Value, j: int) -> None:
        """Index k of axis i of ``a`` is index k of axis j of ``b``."""
        left, right = self._node(a, i), self._node(b, j)
        if left == right:
            return
        if left is None or right is None or self.length(left) != self.length(right):
            for node, value in ((left, b), (right, a)):
                if node is not None:
                    self.freeze(node[0], (node[1],), f"it goes with an axis of {value.name!r} whose length is another or unknown")
            return
        self.graph.add_edge(left, right, partial=False)

    def pairs(self, a: ir.Value, i: int, b: ir.Value, j: int, left: np.ndarray, right: np.ndarray) -> None:
        """Index left[k] of axis i of ``a`` goes with index right[k] of axis j of ``b``."""
        first, second = self._node(a, i), self._node(b, j)
        if first is None or second is None:
            for node, value in ((first, b), (second, a)):
                if node is not None:
                    self.freeze(node[0], (node[1],), f"it goes with an axis of {value.name!r} whose length is unknown")
            return
        self._link(first, second, left, right)

    def _link(self, first: Axis, second: Axis, left: np.ndarray, right: np.ndarray) -> None:
        self.partial.append((first, second, left, right))
        if first != second and not self.graph.has_edge(first, second):
            self.graph.add_edge(first, second, partial=True)

    def choose(self, choice: Choice) -> None:
        """One of the factors of ``choice`` keeps its meaning; which one is decided when all rules have spoken."""
        for value, axis in choice.axes:
            self._node(value, axis)
        self.choices.append(choice)

    def freeze(self, value: ir.Value | None, axes: Iterable[int], reason: str) -> None:
        """``axes`` of ``value`` stay whole."""
        if value is None or not self.rank(value):
            return
        for axis in axes:
            node = self._node(value, axis)
            if node is not None:
                self.frozen.setdefault(node, reason)

    def own(self, value: ir.Value, axis: int) -> None:
        """Nothing but its readers says how long the axis is."""
        self._node(value, axis)

    def mark_heads(self, value: ir.Value, axis: int) -> None:
        """The axis runs over attention heads."""
        self.marked.add((value, axis % self.rank(value)))

    def sums(self, value: ir.Value, axis: int, node: ir.Node) -> None:
        """``node`` sums products of computed values over this axis, so what goes from it must have been zero."""
        self.summed[value, axis % self.rank(value)] = node

    def _node(self, value: ir.Value, axis: int) -> Axis | None:
        if not self.rank(value):
            return None
        node = (value, axis % self.rank(value))
        if self.length(node) is None:
            return None
        self.touched.add(node)
        self.graph.add_node(node)
        return node

    def _classes(self) -> np.ndarray:
        """Number the classes of axes with the same indices; returns the first element of each."""
        exact = nx.Graph()
        exact.add_nodes_from(self.graph.nodes)
        exact.add_edges_from((a, b) for a, b, facts in self.graph.edges(data=True) if not facts["partial"])
        lengths = []
        for number, members in enumerate(nx.connected_components(exact)):
            self.class_of |= dict.fromkeys(members, number)
            lengths.append(self.length(next(iter(members))) or 0)
        return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def _decide(self) -> None:
        """Decide every choice: the factor that can go, the most welcome one where several can."""
        waiting = self.choices
        frozen = np.zeros(int(self.start[-1]), bool)
        while waiting:
            self._spread(frozen)
            left = []
            for choice in waiting:
                possible = [f for f in choice.preferred if self._possible(choice, f, frozen)]
                if len(possible) > 1:
                    left.append(choice)
                else:
                    self._settle(choice, possible[0] if possible else None)
            if len(left) == len(waiting):
                choice = left.pop(0)
                possible = [f for f in choice.preferred if self._possible(choice, f, frozen)]
                heads = sorted(f for f in possible if self._is_heads(choice, f))  # heads that share keys go with them
                self._settle(choice, (heads or possible)[0])
            waiting = left

    def _is_heads(self, choice: Choice, factor: int) -> bool:
        marked = {self.class_of[axis] for axis in self.marked if axis in self.class_of}
        return any(factors == [factor] and self.class_of[axis] in marked for axis, factors in choice.axes.items())

    def _possible(self, choice: Choice, factor: int, frozen: np.ndarray) -> bool:
        return not any(
            factor in factors and frozen[self.start[c := self.class_of[axis]] : self.start[c + 1]].all()
            for axis, factors in choice.axes.items()
        )

    def _settle(self, choice: Choice, factor: int | None) -> None:
        holders = [axis for axis, factors in choice.axes.items() if factor in factors]
        for axis in choice.axes:
            if axis not in holders:
                self.frozen.setdefault(axis, f"{where(choice.node)} splits or merges this axis")
        for axis in holders[1:]:
            first = holders[0]
            one, other = choice.index(first, factor), choice.index(axis, factor)  # type: ignore[arg-type]
            _, places = np.unique(one, return_index=True)  # the first index of each
            self._link(first, first, np.arange(len(one)), places[one])
            self._link(axis, first, np.arange(len(other)), places[other])

    def _spread(self, frozen: np.ndarray) -> None:
        """Mark the elements that are frozen, and those that go with them."""
        for axis in self.frozen:
            c = self.class_of[axis]
            frozen[self.start[c] : self.start[c + 1]] = True
        left, right = self._links()
        while (fresh := frozen[left] != frozen[right]).any():
            frozen[left[fresh]] = frozen[right[fresh]] = True

    def _links(self) -> tuple[np.ndarray, np.ndarray]:
        """The elements that partial couplings join."""
        links = [(self.start[self.class_of[a]] + i, self.start[self.class_of[b]] + j) for a, b, i, j in self.partial]
        if not links:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        left, right = (np.concatenate(side) for side in zip(*links, strict=True))
        return left, right

    def groups(self) -> list[Group]:
        """Groups that hold weights, in the order of the graph."""
        labels = self._labels()
        return [g for members in self._components() if (g := self._group(members, labels)).weights()]

    def _components(self) -> list[list[Axis]]:
        order = {node: i for i, node in enumerate(self.graph.nodes)}
        return [sorted(c, key=order.__getitem__) for c in nx.connected_components(self.graph)]

    def _labels(self) -> np.ndarray:
        """The least element that each element is coupled with."""
        labels = np.arange(int(self.start[-1]))
        left, right = self._links()
        if not len(left):
            return labels
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

    def _group(self, members: list[Axis], labels: np.ndarray) -> Group:
        classes = {node: self.class_of[node] for node in members}
        spans = {c: labels[self.start[c] : self.start[c + 1]] for c in dict.fromkeys(classes.values())}
        known, numbers = np.unique(np.concatenate(list(spans.values())), return_inverse=True)
        unit_of, at = {}, 0
        for c, span in spans.items():
            unit_of[c] = numbers[at : at + len(span)]
            at += len(span)
        frozen = [""] * len(known)
        for node in members:
            if reason := self.frozen.get(node, "") or self._sum_of_others(node, members):
                for unit in np.unique(unit_of[classes[node]]):
                    frozen[unit] = frozen[unit] or reason
        heads = any(node in self.marked for node in members)
        return Group(classes, unit_of, len(known), frozen, heads)

    def _sum_of_others(self, axis: Axis, members: list[Axis]) -> str:
        """Why a sum of products of computed values over ``axis`` does not bear that units go; empty where it does."""
        if axis not in self.summed:
            return ""
        inside = {value for value, _ in members}
        for node in dict.fromkeys(n for value in inside if (n := value.producer()) is not None):
            if not _keeps_zero(node, inside):
                return f"{where(self.summed[axis])} sums over this axis, and {where(node)} makes no zero of a channel that goes"
        return ""


def _keeps_zero(node: ir.Node, inside: set[ir.Value]) -> bool:
    """Whether the output is zero where the inputs of ``inside`` are."""
    if is_op(node.outputs[0], "Add", "Sub", "Sum", "Max", "Min", "Mean", "Where"):
        return all(v is None or v in inside or ((c := constant(v)) is not None and not c.any()) for v in node.inputs)
    return has(node, Trait.KEEPS_ZERO) or is_op(node.outputs[0], "Concat") or node.inputs[0] not in inside
