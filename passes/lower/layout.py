"""Channels last: convolutions and pools read and write [n, size..., c], so that a pixel's channels lie side by side.

    Transpose(to last) -> Conv -> Transpose(to first) -> Binary -> Transpose(to last) -> Conv
                                      ->   Transpose(to last) -> Conv -> Binary -> Conv

Each such op is emitted between two transposes; ``sink`` pushes the second one through the ops behind it until it meets
the first one of the next and both vanish. A value that ends up channels last keeps its name, and its permutation is noted.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.builder import Builder
from qgraph.passes.lower.values import QuantSpec

from qgraph.deploy.session import LAST
from qgraph.ir.dialects import INTEGER
from qgraph.ir.integer_ops import INTEGER_OPS, BinaryOp
from qgraph.ir.patterns import attr, constant, is_op, new_node

MARK = "qgraph.layout"


def to_last(rank: int) -> list[int]:
    return [0, *range(2, rank), 1]


def to_first(rank: int) -> list[int]:
    return [0, rank - 1, *range(1, rank - 1)]


def permuted(shape: ir.Shape | None, perm: list[int]) -> ir.Shape | None:
    return None if shape is None else ir.Shape([shape[p] for p in perm])


def emit(
    build: Builder,
    like: ir.Node,
    op: str,
    inputs: list[ir.Value | None],
    out: QuantSpec,
    attributes: dict[str, object],
    value: ir.Value,
    rank: int,
) -> ir.Value:
    """Append a kernel that works channels last between two transposes; its first input and ``value`` are channels first."""
    first = inputs[0]
    assert first is not None and first.dtype is not None
    name = value.name or op
    x = build.transpose(like, first, to_last(rank), f"{first.name}{LAST}", permuted(first.shape, to_last(rank)))
    shape = permuted(value.shape, to_last(rank))
    made = build.add(
        like, op, [x, *inputs[1:]], {**out.attributes, **attributes}, name=f"{name}{LAST}", type=out.type, shape=shape
    )
    build.note(made, out)
    turned = build.transpose(like, made, to_first(rank), name, value.shape)
    build.note(turned, out)
    for one, layout in ((x, "last"), (turned, "first")):
        node = one.producer()
        if node is not None and node.op_type == "Transpose":
            node.metadata_props[MARK] = layout
    return turned


class Sinker:
    """One walk over an integer graph in order."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.swapped: dict[ir.Value, ir.Value] = {}  # channels first -> the same value channels last

    def run(self) -> None:
        for node in list(self.graph):
            if node.metadata_props.get(MARK):
                self._transpose(node)
            elif any(v in self.swapped for v in node.inputs):
                self._sink(node)
        for node in reversed(list(self.graph)):
            if node.metadata_props.get(MARK) and not any(v.uses() or v.is_graph_output() for v in node.outputs):
                self.graph.remove(node, safe=True)

    def _transpose(self, node: ir.Node) -> None:
        source, out = node.inputs[0], node.outputs[0]
        assert source is not None
        if node.metadata_props[MARK] == "first":
            self.swapped[out] = source
        elif source in self.swapped and not out.is_graph_output():
            ir.convenience.replace_all_uses_with(out, self.swapped[source])

    def _sink(self, node: ir.Node) -> None:
        out, op = node.outputs[0], node.op_type
        ranks = [len(attr(v.producer(), "perm")) for v in node.inputs if v in self.swapped]  # type: ignore[union-attr,arg-type]
        rank = ranks[0]
        forward = to_first(rank)
        if any(r != rank for r in ranks) or len(node.outputs) != 1:
            return
        if op in ("Binary", "Concat") and (op == "Binary") == (node.domain == INTEGER):
            if out.shape is None or len(out.shape) != rank:
                return
            inputs = [self._operand(v, rank) for v in node.inputs]
            if any(v is None for v in inputs):
                return
            changed = {} if op == "Binary" else {"axis": forward[attr(node, "axis") % rank]}
        elif INTEGER_OPS[node.domain, op].any_layout:
            inputs = [self.swapped.get(node.inputs[0]), *node.inputs[1:]]  # type: ignore[arg-type]
            if inputs[0] is None:
                return
            changed = {}
            if op == "Requantize":
                factors = constant(node.inputs[1])
                if factors is None or factors.size != 1:
                    return
            elif "axis" in node.attributes:
                changed = {"axis": forward[attr(node, "axis") % rank]}
            elif any(a.name == "axes" for a in INTEGER_OPS[node.domain, op].attributes):
                axes = attr(node, "axes") or list(range(rank))
                changed = {"axes": [forward[a % rank] for a in axes]}
                if not attr(node, "keepdims", 1):
                    self._reduce(node, inputs, changed, rank)
                    return
        else:
            return
        made = self._copy(node, inputs, changed)
        result = made.outputs[0]
        result.name, result.type, result.shape = f"{out.name}{LAST}", out.type, permuted(out.shape, to_last(rank))
        turned = new_node(node, "Transpose", [result], {"perm": forward}, name=f"{node.name}_channels_first")
        turned.metadata_props[MARK] = "first"
        self._replace(node, [made, turned])
        self.swapped[turned.outputs[0]] = result

    def _reduce(self, node: ir.Node, inputs: list[ir.Value | None], changed: dict[str, object], rank: int) -> None:
        """Without the reduced axes nothing is left to turn, when the kept ones stay in order."""
        forward = to_first(rank)
        kept = [forward[a] for a in range(rank) if forward[a] not in changed["axes"]]  # type: ignore[operator]
        if kept == sorted(kept):
            self._replace(node, [self._copy(node, inputs, changed)])

    def _operand(self, value: ir.Value | None, rank: int) -> ir.Value | None:
        """``value`` channels last: what it was turned from, a turned constant, or a new transpose."""
        if value is None or value in self.swapped:
            return None if value is None else self.swapped[value]
        array = value.const_value.numpy() if value.const_value is not None else None
        own = len(value.shape) if value.shape is not None else None
        if own is None or own > rank:
            return None
        if array is not None:
            turned = array.reshape((1,) * (rank - own) + array.shape).transpose(to_last(rank))
            name = f"{value.name}{LAST}"
            if name not in self.graph.initializers:
                tensor = ir.Tensor(np.ascontiguousarray(turned), name=name)
                self.graph.initializers[name] = ir.Value(
                    name=name, const_value=tensor, shape=ir.Shape(turned.shape), type=ir.TensorType(tensor.dtype)
                )
            return self.graph.initializers[name]
        return None

    @staticmethod
    def _copy(node: ir.Node, inputs: list[ir.Value | None], changed: dict[str, object]) -> ir.Node:
        attributes = {**{k: attr(node, k) for k in node.attributes}, **changed}
        return new_node(node, node.op_type, inputs, attributes, domain=node.domain, name=node.name)

    def _replace(self, node: ir.Node, made: list[ir.Node]) -> None:
        """Put ``made`` in the place of ``node``; the last one's output takes over from the node's."""
        old, new = node.outputs[0], made[-1].outputs[0]
        self.graph.insert_before(node, made)
        name, new.type, new.shape = old.name, old.type, old.shape
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        old.name = None
        new.name = name
        self.graph.remove(node, safe=True)


def sink(graph: ir.Graph) -> None:
    """Push the transposes of ``graph`` down until they meet and vanish."""
    Sinker(graph).run()


def fuse_add(graph: ir.Graph) -> int:
    """Conv -> Binary add becomes one Conv with a residual, which rounds twice as the two did; returns how many."""
    fused = 0
    for node in list(graph):
        if node.op_type != "Binary" or node.domain != INTEGER or attr(node, "op") != BinaryOp.ADD:
            continue
        for side, other in ((0, 1), (1, 0)):
            value, beside = node.inputs[side], node.inputs[other]
            if value is None or beside is None or not _fits(value, beside, node.outputs[0]):
                continue
            _fuse(graph, node, value.producer(), side)  # type: ignore[arg-type]
            fused += 1
            break
    return fused


def _fits(value: ir.Value, beside: ir.Value, out: ir.Value) -> bool:
    conv = value.producer()
    if conv is None or not is_op(value, "Conv", domain=INTEGER) or len(conv.inputs) > 4 or value.is_graph_output():
        return False
    if len(value.uses()) != 1 or beside is value or beside.const_value is not None:
        return False
    shapes = [None if v.shape is None else [str(d) for d in v.shape] for v in (value, beside, out)]
    return shapes[0] is not None and shapes[0] == shapes[1] == shapes[2] and value.dtype != ir.DataType.FLOAT


def _fuse(graph: ir.Graph, add: ir.Node, conv: ir.Node, side: int) -> None:
    names = ("a", "b") if side == 0 else ("b", "a")
    info = np.iinfo(conv.outputs[0].dtype.numpy())  # type: ignore[union-attr]
    own = {k: attr(conv, k) for k in conv.attributes}
    attributes = {
        **{k: v for k, v in own.items() if k not in ("y_zero", "clamp_min", "clamp_max")},
        "staged": 1,
        "mid_zero": own.get("y_zero", 0),
        "mid_min": own.get("clamp_min", int(info.min)),
        "mid_max": own.get("clamp_max", int(info.max)),
        "mid_multiplier": attr(add, f"{names[0]}_multiplier"),
        "residual_zero": attr(add, f"{names[1]}_zero", 0),
        "residual_multiplier": attr(add, f"{names[1]}_multiplier"),
        **{k: attr(add, k) for k in ("y_zero", "clamp_min", "clamp_max") if k in add.attributes},
    }
    inputs = [*[*conv.inputs, None][:4], add.inputs[1 - side]]
    made = new_node(conv, "Conv", inputs, attributes, domain=INTEGER, name=conv.name)
    old, out = add.outputs[0], made.outputs[0]
    out.type, out.shape = old.type, old.shape
    graph.insert_before(add, made)
    name = old.name
    ir.convenience.replace_all_uses_with(old, out, replace_graph_outputs=True)
    old.name = None
    out.name = name
    graph.remove([add, conv], safe=True)
