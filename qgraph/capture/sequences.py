"""Sequences inside of a graph become single tensors, since no later stage has values that are sequences.

    s = SplitToSequence(x, sizes); y = SequenceAt(s, 1)            ->  _, y = Split(x, sizes)  (and Squeeze without keepdims)
    s = SequenceConstruct(a, b); y = ConcatFromSequence(s)         ->  y = Concat(a, b)        (Unsqueeze first for new_axis)

SequenceInsert, SequenceErase, SequenceMap, SequenceLength and Identity of sequences whose length is known go the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.capture.branches import splice
from qgraph.capture.shapes import infer_shapes
from qgraph.errors import QGraphError
from qgraph.ir.patterns import attr, constant, new_node
from qgraph.ir.scopes import where

MAKERS = {"SplitToSequence", "SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase"}
READERS = {"SequenceAt", "SequenceLength", "ConcatFromSequence"}
FIX = "give the number and the order of its parts as constants, or export without sequences"


def resolve_sequences(model: ir.Model, origin: str) -> None:
    """Rewrite the main graph of ``model`` in place; a graph without sequences is left as it is.

    Raises:
        QGraphError: a sequence is an input or output, or its parts depend on the data; ``origin`` names the file.
    """
    graph = model.graph
    for kind, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
                what = "a sequence" if isinstance(value.type, ir.SequenceType) else "optional"
                raise QGraphError(f"{origin}: {kind} {value.name!r} is {what}, no tensor; export the model with tensors instead")
    if not any(n.op_type in MAKERS | READERS | {"SequenceMap"} and n.domain == "" for n in graph):
        return
    if any(v.shape is None for n in graph for v in n.outputs):
        infer_shapes(model)
    _Sequences(model, origin).run()


class _Sequences:
    """The parts of every sequence that was met so far, on a way through the nodes in their order."""

    def __init__(self, model: ir.Model, origin: str) -> None:
        self.model, self.graph, self.origin = model, model.graph, origin
        graph = self.graph
        self.parts: dict[ir.Value, list[ir.Value]] = {}
        self.names = {v.name for n in graph for v in n.outputs} | {v.name for v in graph.inputs} | set(graph.initializers)

    def run(self) -> None:
        rules: dict[str, Callable[[ir.Node], None]] = {
            "SplitToSequence": self._split,
            "SequenceConstruct": lambda n: self._hold(n, [v for v in n.inputs if v is not None]),
            "SequenceEmpty": lambda n: self._hold(n, []),
            "SequenceInsert": self._insert,
            "SequenceErase": self._erase,
            "SequenceAt": self._at,
            "SequenceLength": self._length,
            "ConcatFromSequence": self._concat,
            "SequenceMap": self._map,
            "Identity": self._identity,
        }
        gone = []
        for node in list(self.graph):
            sequences = [v for v in node.inputs if v in self.parts]
            rule = rules.get(node.op_type) if node.domain == "" else None
            if rule is None and sequences:
                raise self._refusal(node, f"reads the sequence {sequences[0].name!r}, which {node.op_type} cannot take here")  # type: ignore[union-attr]
            if rule is not None and (node.op_type != "Identity" or sequences):
                rule(node)
                gone.append(node)
        for node in reversed(gone):
            for value in node.outputs:
                if value.is_graph_output():
                    raise QGraphError(
                        f"{self.origin}: output {value.name!r} is a sequence, no tensor; export the model with tensors instead"
                    )
            read = [v.producer() for v in node.inputs if v is not None]
            self.graph.remove(node, safe=True)
            for constants in dict.fromkeys(n for n in read if n is not None and n.op_type == "Constant"):
                if not any(v.uses() or v.is_graph_output() for v in constants.outputs):
                    self.graph.remove(constants, safe=True)

    # helpers

    def _refusal(self, node: ir.Node, reason: str) -> QGraphError:
        return QGraphError(f"{self.origin}: {where(node)} {reason}; {FIX}")

    def _of(self, node: ir.Node) -> list[ir.Value]:
        value = node.inputs[0]
        if value not in self.parts:
            raise self._refusal(node, f"reads the sequence {value.name if value else ''!r}, whose parts are not known")
        return self.parts[value]

    def _hold(self, node: ir.Node, parts: Sequence[ir.Value]) -> None:
        self.parts[node.outputs[0]] = list(parts)

    def _before(self, node: ir.Node, op: str, inputs: list[ir.Value], attributes: dict[str, Any], outputs: int = 1) -> ir.Node:
        base = node.outputs[0].name or node.name or op
        made = new_node(node, op, inputs, attributes, outputs=outputs)
        for value in made.outputs:
            value.name = self._name(f"{base}_{op.lower()}")
        made.name = f"node_{made.outputs[0].name}"
        self.graph.insert_before(node, made)
        return made

    def _name(self, base: str) -> str:
        name, count = base, 0
        while name in self.names:
            count += 1
            name = f"{base}_{count}"
        self.names.add(name)
        return name

    def _ints(self, node: ir.Node, *numbers: int, scalar: bool = False) -> ir.Value:
        array = np.array(numbers[0] if scalar else numbers, np.int64)
        value = self._before(node, "Constant", [], {"value": ir.Tensor(array)}).outputs[0]
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.INT64)
        return value

    def _index(self, node: ir.Node, place: int, count: int, default: int | None = None) -> int:
        """The constant position that input ``place`` gives among ``count`` parts, counted from the start."""
        value = node.inputs[place] if len(node.inputs) > place else None
        if value is None and default is not None:
            return default
        array = constant(value)
        if array is None or array.size != 1:
            raise self._refusal(node, "takes its position from the data, so that the part is not known")
        index = int(array.reshape(()))
        if not -count <= index < count:
            raise self._refusal(node, f"asks for part {index} of a sequence of {count}")
        return index + count if index < 0 else index

    def _put(self, node: ir.Node, value: ir.Value) -> None:
        """Let ``value`` stand for the tensor that ``node`` makes, under its name where that is an output of the graph."""
        out = node.outputs[0]
        if out.is_graph_output():
            name, out.name = out.name, f"{out.name}_of_sequence"
            made = self._before(node, "Identity", [value], {}).outputs[0]
            made.name, made.shape, made.type = name, out.shape, out.type
            value = made
        if value.shape is None:
            value.shape = out.shape
        if value.type is None:
            value.type = out.type
        ir.convenience.replace_all_uses_with(out, value, replace_graph_outputs=True)

    # rules

    def _split(self, node: ir.Node) -> None:
        data, axis = node.inputs[0], int(attr(node, "axis", 0))
        assert data is not None
        shape = data.shape
        size = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
        given = node.inputs[1] if len(node.inputs) > 1 else None
        sizes = self._sizes(node, given, size, axis)
        made = self._before(node, "Split", [data, self._ints(node, *sizes)], {"axis": axis}, len(sizes))
        for value, part in zip(made.outputs, sizes, strict=True):
            value.type = data.type
            if shape is not None:
                dims = list(shape)
                dims[axis] = part
                value.shape = ir.Shape(dims)
        parts = list(made.outputs)
        if given is None and not attr(node, "keepdims", 1):
            axes = self._ints(node, axis)
            squeezed = [self._before(node, "Squeeze", [v, axes], {}).outputs[0] for v in parts]
            parts = squeezed
        self._hold(node, parts)

    def _sizes(self, node: ir.Node, given: ir.Value | None, size: Any, axis: int) -> list[int]:
        array = np.array(1) if given is None else constant(given)
        if array is None:
            raise self._refusal(node, "takes the sizes of its parts from the data")
        if array.ndim:
            return [int(i) for i in array]
        if not isinstance(size, int):
            raise self._refusal(node, f"splits axis {axis}, whose size is not known, so that the number of parts is not")
        step = int(array)
        if step < 1:
            raise self._refusal(node, f"splits into parts of {step}")
        return [min(step, size - start) for start in range(0, size, step)]

    def _insert(self, node: ir.Node) -> None:
        parts, new = list(self._of(node)), node.inputs[1]
        place = node.inputs[2] if len(node.inputs) > 2 else None
        array = constant(place)
        index = len(parts) if place is None or (array is not None and int(array.reshape(())) == len(parts)) else None
        assert new is not None
        parts.insert(self._index(node, 2, len(parts)) if index is None else index, new)
        self._hold(node, parts)

    def _erase(self, node: ir.Node) -> None:
        parts = list(self._of(node))
        del parts[self._index(node, 1, len(parts), len(parts) - 1)]
        self._hold(node, parts)

    def _identity(self, node: ir.Node) -> None:
        self._hold(node, self._of(node))

    def _map(self, node: ir.Node) -> None:
        """The body once for each part; inputs that are no sequences are the same for all."""
        count, body = len(self._of(node)), node.attributes["body"].as_graph()
        made: list[list[ir.Value]] = []
        for i in range(count):
            one = body.clone(allow_outer_scope_values=True)
            for inner, value in zip(one.inputs, node.inputs, strict=True):
                assert value is not None
                ir.convenience.replace_all_uses_with(inner, self.parts[value][i] if value in self.parts else value)
            made.append(splice(self.model, node, one))
        for place, value in enumerate(node.outputs):
            self.parts[value] = [outputs[place] for outputs in made]

    def _at(self, node: ir.Node) -> None:
        parts = self._of(node)
        self._put(node, parts[self._index(node, 1, len(parts))])

    def _length(self, node: ir.Node) -> None:
        self._put(node, self._ints(node, len(self._of(node)), scalar=True))

    def _concat(self, node: ir.Node) -> None:
        parts, axis = self._of(node), int(attr(node, "axis", 0))
        if not parts:
            raise self._refusal(node, "joins an empty sequence")
        if attr(node, "new_axis", 0):
            axes = self._ints(node, axis)
            parts = [self._before(node, "Unsqueeze", [part, axes], {}).outputs[0] for part in parts]
        self._put(node, self._before(node, "Concat", parts, {"axis": axis}).outputs[0])
