"""If nodes whose condition is known become the nodes of the branch that is taken.

    y = If(Equal(Shape(x)[1], 1)) { Squeeze(x) } { Identity(x) }   ->   y = Identity(x)      where x has 3 channels

A condition is known where it is computed from constants, from dims and ranks that shape inference finds, or from inputs that were
given a value (``fix``). What is left where one branch contradicts the ops behind it (their ranks, say) takes the other one: no
run could have taken it and finished.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnx.reference import ReferenceEvaluator

from qgraph.capture.shapes import infer_shapes
from qgraph.ir.dialects import opset
from qgraph.ir.op_traits import Trait, family, has
from qgraph.ir.patterns import attr, constant, new_node, rank, replace

SMALL, DEEP = 256, 100
"""Elements of the largest arrays that are computed, and nodes of the longest chain."""
UNKNOWN = -(10**15)
"""This number and those below it stand for dims that are not known."""
KEEPING = {"Gather", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Concat", "Identity", "Split", "Flatten"}
"""Ops whose outputs hold elements of their inputs, also unknown ones."""
STATES = (0, 5, 6)
"""Inputs of LSTM, GRU and RNN that have three dims, which shape inference does not look at: x and the initial states."""
MOVED = "qgraph.moved"
"""Of a node: the node inside of which it stood."""
MANY = 64
"""Ifs of which both branches are tried."""


def resolve_branches(model: ir.Model) -> int:
    """Inline, in place, every If whose branch is known, also inside of other graphs; returns how many were."""
    if not any(_is_if(n) for n in model.graph.all_nodes()):
        return 0
    declared = {v: v.shape for n in model.graph.all_nodes() for v in n.outputs}
    count = _inline_known(model)
    while (only := _only_valid(model)) is not None:
        inline(model, *only)
        count += 1 + _inline_known(model)
    for value, shape in declared.items():
        if value.shape is None:
            value.shape = shape
    common.RemoveUnusedNodesPass()(model)
    return count


def _inline_known(model: ir.Model) -> int:
    """Inline until no condition is known; returns how many were."""
    count = 0
    while True:
        _infer(model)
        values = Values(model)
        found = [(n, taken) for n in model.graph.all_nodes() if _is_if(n) and (taken := values.condition(n)) is not None]
        if not found:
            return count
        for node, taken in found:
            if node.graph is not None:  # not in a branch that has just gone
                inline(model, node, taken)
                count += 1


def _is_if(node: ir.Node) -> bool:
    return node.op_type == "If" and node.domain == ""


def _infer(model: ir.Model) -> None:
    """Let every value have the shape that follows from the inputs: what a file declares may be of one example."""
    for node in model.graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    infer_shapes(model)


class Values:
    """What is known of the small values of a model."""

    def __init__(self, model: ir.Model) -> None:
        self.version = opset(model)
        self.found: dict[ir.Value, np.ndarray | None] = {}

    def condition(self, node: ir.Node) -> bool | None:
        """Whether an If takes its first branch; None where that is not known."""
        array = self.of(node.inputs[0])
        return None if array is None or array.size != 1 or _unknown(array) else bool(array.reshape(())[()])

    def of(self, value: ir.Value | None, depth: int = 0) -> np.ndarray | None:
        """The elements of ``value``, with numbers from ``UNKNOWN`` on where some are not known; None where none are."""
        if value is None or depth > DEEP:
            return None
        if value not in self.found:
            node, tensor = value.producer(), value.const_value
            array = constant(value) if tensor is None or tensor.size <= SMALL else None
            if array is not None and array.size <= SMALL:
                self.found[value] = array
            elif (
                array is not None
                or node is None
                or node.domain
                or has(node, Trait.CONTROL_FLOW)
                or family(node) in ("random", "sequence", "text")
            ):
                self.found[value] = None
            else:
                self.found[value] = self._computed(node, value, depth)
        return self.found[value]

    def _computed(self, node: ir.Node, value: ir.Value, depth: int) -> np.ndarray | None:
        if node.op_type in ("Shape", "Size"):
            return self._dims(node, depth)
        if value.shape is not None and (len(value.shape) > 2 or any(isinstance(d, int) and d > SMALL for d in value.shape)):
            return None
        inputs = {v.name or "": self.of(v, depth + 1) for v in node.inputs if v is not None}
        if any(a is None or (_unknown(a) and node.op_type not in KEEPING) for a in inputs.values()):
            return None
        try:
            run = ReferenceEvaluator(ir.to_proto(node), opsets={"": self.version}).run(None, inputs)
        except Exception:  # an op that the evaluator lacks, or inputs that do not fit: ONNX Runtime will say so
            return None
        result = np.asarray(list(run)[node.outputs.index(value)])
        return result if result.size <= SMALL else None

    def _dims(self, node: ir.Node, depth: int) -> np.ndarray | None:
        x = node.inputs[0]
        assert x is not None
        known = self.of(x, depth + 1) if x.shape is None else None
        shape = x.shape if x.shape is not None else None if known is None else known.shape
        if shape is None:
            return None
        dims = np.array([d if isinstance(d, int) else UNKNOWN - i for i, d in enumerate(shape)], np.int64)
        if node.op_type == "Shape":
            return dims[attr(node, "start", 0) : attr(node, "end")]
        return None if _unknown(dims) else np.array(dims.prod())


def _unknown(array: np.ndarray) -> bool:
    return array.dtype == np.int64 and bool((array <= UNKNOWN).any())


def _only_valid(model: ir.Model) -> tuple[ir.Node, bool] | None:
    """The first If of the main graph of which only one branch goes with the ops behind it, and which that is."""
    places = [i for i, node in enumerate(model.graph) if _is_if(node)]
    for place in places[:MANY]:
        valid = [taken for taken in (True, False) if _is_valid(model, place, taken)]
        if len(valid) == 1:
            return model.graph[place], valid[0]
    return None


def _is_valid(model: ir.Model, place: int, taken: bool) -> bool:
    """Whether shape inference finds no contradiction with one branch of the If at ``place``, nor a state without a direction."""
    tried = _without_weights(model)
    inline(tried, tried.graph[place], taken)
    _inline_known(tried)
    try:
        onnx.shape_inference.infer_shapes(ir.to_proto(tried), check_type=False, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return False
    recurrent = (n for n in tried.graph if family(n) == "recurrent")
    return all(rank(v) in (None, 3) for n in recurrent for i in STATES if i < len(n.inputs) and (v := n.inputs[i]) is not None)


def _without_weights(model: ir.Model) -> ir.Model:
    """A copy whose large tensors have their shapes alone."""
    copy = model.clone()
    for graph in copy.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and tensor.size > SMALL:
                hollow = onnx.TensorProto(name=value.name, dims=list(tensor.shape), data_type=int(tensor.dtype))  # type: ignore[arg-type]
                value.const_value = ir.TensorProtoTensor(hollow)
    return copy


def inline(model: ir.Model, node: ir.Node, taken: bool) -> None:
    """Put the nodes of one branch of an If in its place."""
    outputs = splice(model, node, node.attributes["then_branch" if taken else "else_branch"].as_graph())
    given: set[ir.Value] = set()
    graph = node.graph
    assert graph is not None
    for old, new in zip(node.outputs, outputs, strict=True):
        maker = new.producer()
        if maker is None or maker.graph is not graph or maker.meta.get(MOVED) is not node or new in given:
            copy = new_node(node, "Identity", [new], name=f"{old.name}_identity")  # it has a name of its own already
            graph.insert_before(node, copy)
            new = copy.outputs[0]
        given.add(new)
        replace(old, new)
    graph.remove(node, safe=True)
    _let_go(node)


def _let_go(node: ir.Node) -> None:
    """Let the graphs inside of a removed node read nothing, so that what only they read is known to be unused."""
    for attribute in node.attributes.values():
        if attribute.type != ir.AttributeType.GRAPH:
            continue
        body = attribute.as_graph()
        body.outputs.clear()
        for inner in body.all_nodes():
            for i in range(len(inner.inputs)):
                inner.replace_input_with(i, None)


def splice(model: ir.Model, node: ir.Node, body: ir.Graph) -> list[ir.Value]:
    """Put the nodes of a graph inside of ``node`` in front of it; returns what the graph hands out.

    Names that are in use elsewhere get a number.
    """
    graph, outputs, moved = node.graph, list(body.outputs), list(body)
    assert graph is not None
    body.outputs.clear()
    body.remove(moved)
    used = _names(model.graph.all_nodes())
    for owner in model.graphs():
        used |= set(owner.initializers) | {v.name for v in owner.inputs}
    for name, value in list(body.initializers.items()):
        del body.initializers[name]
        value.name = _unique(name, used)
        graph.register_initializer(value)
    for one in moved:
        one.meta[MOVED] = node
        for value in one.outputs:
            if value.name:
                value.name = _unique(value.name, used)
    graph.insert_before(node, moved)
    return outputs


def _names(nodes: Iterable[ir.Node]) -> set[str | None]:
    return {v.name for n in nodes for v in n.outputs}


def _unique(name: str, used: set[str | None]) -> str:
    unique, n = name, 1
    while unique in used:
        unique, n = f"{name}_{n}", n + 1
    used.add(unique)
    return unique
