"""Repeated blocks of a network, found by module path: what distillation pairs and pruning removes.

A layer is named by its module path up to the first number: ``encoder.layer.3``, ``layer2.0``, ``features.5``.
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from qgraph.ir.dialects import QDQ
from qgraph.ir.matchers import attention
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import is_op, scalar
from qgraph.ir.scopes import module_path


def layer_of(node: ir.Node) -> str:
    """The layer that ``node`` belongs to, or an empty string."""
    parts = module_path(node).split(".")
    for i, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[: i + 1])
    return ""


@dataclasses.dataclass
class LayerValues:
    """Values of one layer: ``feature`` is what it hands on; the others exist where it has attention."""

    name: str
    values: dict[str, ir.Value]


def layers(model: ir.Model) -> list[LayerValues]:
    """The layers of ``model`` in the order in which they run; what has no linear op, such as a shared mask, is none."""
    members: dict[str, list[ir.Node]] = {}
    for node in model.graph:
        if name := layer_of(node):
            members.setdefault(name, []).append(node)
    found = []
    for name, nodes in members.items():
        if not any(has(node, Trait.LINEAR) for node in nodes):
            continue
        values = attention_values(nodes)
        inside = set(nodes)
        for node in nodes:  # the last of those that other layers read
            for value in node.outputs:
                leaves = value.is_graph_output() or any(use.node not in inside for use in value.uses())
                if leaves and node.op_type != "Shape" and value.const_value is None:
                    values["feature"] = value
        if values:
            found.append(LayerValues(name, values))
    return found


def attention_values(nodes: list[ir.Node]) -> dict[str, ir.Value]:
    """Scores before the softmax, and the queries, keys and values [batch, length, width], of the last attention in ``nodes``."""
    found: dict[str, ir.Value] = {}
    for node in nodes:
        scores = attention.scores(node, through_quantizers=True)
        if scores is None:
            continue
        found["attention"] = node.inputs[0]  # type: ignore[assignment]
        reader = attention.context(node)
        value = reader.inputs[1] if reader is not None else None
        for kind, start in (("query", scores.q), ("key", scores.kt), ("value", value)):
            origin = _origin(start)
            if origin is not None:
                found[kind] = origin
    return found


def _origin(value: ir.Value | None) -> ir.Value | None:
    """The three-dimensional value that heads were split from."""
    while value is not None:
        if value.shape is not None and len(value.shape) == 3 and not is_op(value, *QDQ):
            return value
        node = value.producer()
        if node is None:
            return None
        scales = node.op_type in ("Mul", "Div") and scalar(node.inputs[1]) is not None
        if not (has(node, Trait.PERMUTES) or node.op_type in QDQ or scales):
            return None
        value = node.inputs[0]
    return None


def pairs(student: int, teacher: int, how: str) -> list[tuple[int, int]]:
    """Which layer of the student learns from which of the teacher, counted from 0.

    ``uniform``: student i from teacher (i + 1) * teacher / student - 1; ``last``: the last layers; or text such as
    ``0:1 1:3``.
    """
    if how == "uniform":
        return (
            [(i, (i + 1) * teacher // student - 1) for i in range(student)]
            if student <= teacher
            else _uniform_down(student, teacher)
        )
    if how == "last":
        return [(student - 1, teacher - 1)]
    return [(int(a), int(b)) for a, b in (part.split(":") for part in how.split())]


def _uniform_down(student: int, teacher: int) -> list[tuple[int, int]]:
    return [((i + 1) * student // teacher - 1, i) for i in range(teacher)]
