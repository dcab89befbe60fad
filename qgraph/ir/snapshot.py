"""What a graph looks like at one moment, as plain data that goes into JSON: for reports, the timeline and the viewer.

A node is told apart by its id: the name of the value that it makes, which passes and dialects keep.
"""

from __future__ import annotations

import collections
import dataclasses
import zlib
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.ir.dialects import QDQ
from qgraph.ir.patterns import constant
from qgraph.ir.scopes import module_path, source_line

RAW = "_raw"
"""Ending of the name of a value that a quantizer follows, which has the name without it."""
LAST = "_channels_last"
"""Ending of the names of values that a program keeps channels last."""
SHOWN = 200
"""Characters of an attribute that are kept."""


@dataclasses.dataclass
class Value:
    """A value: its type (``float32``), shape (``[batch, 384]``), and for a constant what it holds.

    ``scale`` and ``zero_point`` describe the codes of a quantized value; ``checksum`` changes when a constant's elements do.
    """

    type: str = ""
    shape: str = ""
    constant: bool = False
    bytes: int = 0
    checksum: int = 0
    scale: str = ""
    zero_point: str = ""


@dataclasses.dataclass
class Node:
    """A node: module path (``encoder.layer.0``), ``file:line`` of the user's source, names of its values ("" where absent)."""

    id: str
    op: str
    name: str = ""
    scope: str = ""
    line: str = ""
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    inputs: list[str] = dataclasses.field(default_factory=list)
    outputs: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Snapshot:
    """A graph: nodes in topological order, values by name, and the names of its inputs and outputs."""

    nodes: list[Node]
    values: dict[str, Value]
    inputs: list[str]
    outputs: list[str]

    def json(self) -> dict[str, Any]:
        """Plain data; fields that are empty are left out."""
        return {
            "nodes": [_short(n) for n in self.nodes],
            "values": {name: _short(v) for name, v in self.values.items()},
            "inputs": self.inputs,
            "outputs": self.outputs,
        }

    @staticmethod
    def of(model: ir.Model) -> Snapshot:
        """The snapshot of a model of any dialect."""
        values: dict[str, Value] = {}
        nodes = []
        name_of = Ids()
        for node in model.graph:
            for value in (*node.inputs, *node.outputs):
                if value is not None and value.name not in values:
                    values[value.name or ""] = _value(value)
            attributes = {a.name: str(a.value)[:SHOWN] for a in node.attributes.values() if a.type != ir.AttributeType.TENSOR}
            op = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            inputs = [(v.name or "") if v is not None else "" for v in node.inputs]
            outputs = [v.name or "" for v in node.outputs]
            name = node.name or ""
            identity = name_of(node.op_type, name, outputs)
            nodes.append(Node(identity, op, name, module_path(node), source_line(node), attributes, inputs, outputs))
            _quantization(node, values)
        for value in (*model.graph.inputs, *model.graph.outputs):
            values.setdefault(value.name or "", _value(value))
        sides = ([v.name or "" for v in side] for side in (model.graph.inputs, model.graph.outputs))
        return Snapshot(nodes, values, *sides)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Snapshot:
        """The inverse of ``json``; raises KeyError or TypeError for other data."""
        nodes = [Node(**n) for n in data["nodes"]]
        return Snapshot(nodes, {k: Value(**v) for k, v in data["values"].items()}, data["inputs"], data["outputs"])

    def producers(self) -> dict[str, Node]:
        """Value name -> the node that makes it."""
        return {name: node for node in self.nodes for name in node.outputs}


def _short(item: Node | Value) -> dict[str, Any]:
    return {f.name: getattr(item, f.name) for f in dataclasses.fields(item) if getattr(item, f.name) or f.name in ("id", "op")}


class Ids:
    """Gives nodes their ids, in order: the first value's name as it was before a quantizer stood behind it."""

    def __init__(self) -> None:
        self.given: collections.Counter[str] = collections.Counter()

    def __call__(self, op: str, name: str, outputs: list[str]) -> str:
        base = name if op in QDQ else (outputs[0] if outputs else "").removesuffix(RAW).removesuffix(LAST)
        base = base or name or op
        self.given[base] += 1
        return base if self.given[base] == 1 else f"{base} ({self.given[base]})"


def _value(value: ir.Value) -> Value:
    shape = "" if value.shape is None else "[" + ", ".join(str(d if isinstance(d, int) else d.value) for d in value.shape) + "]"
    shown = Value(value.dtype.name.lower() if value.dtype is not None else "", shape)
    if value.const_value is not None and value.producer() is None:
        shown.constant, shown.bytes = True, value.const_value.nbytes
        shown.checksum = zlib.crc32(value.const_value.tobytes())
    return shown


def _quantization(node: ir.Node, values: dict[str, Value]) -> None:
    if node.op_type == "QuantizeLinear":
        codes = node.outputs[0]
    elif node.op_type == "DequantizeLinear" and node.inputs[0] is not None:
        codes = node.inputs[0]
    else:
        return
    described = values[codes.name or ""]
    parts = [constant(v) for v in node.inputs[1:3]]
    described.scale, described.zero_point = (_numbers(part) for part in (*parts, None, None)[:2])


def _numbers(array: np.ndarray | None) -> str:
    if array is None or not array.size:
        return ""
    flat = array.reshape(-1).astype(np.float64)
    return f"{flat[0]:.6g}" if flat.size == 1 else f"{flat.size} from {flat.min():.4g} to {flat.max():.4g}"


@dataclasses.dataclass
class Change:
    """Ids of the nodes that a step added, removed and changed (op, attributes, inputs or the elements of constants)."""

    added: list[str]
    removed: list[str]
    changed: list[str]


def difference(before: Snapshot, after: Snapshot) -> Change:
    """What happened from one snapshot to the next."""
    old, new = ({n.id: n for n in s.nodes} for s in (before, after))
    changed = [i for i, node in new.items() if i in old and _looks(node, after) != _looks(old[i], before)]
    return Change([i for i in new if i not in old], [i for i in old if i not in new], changed)


def _looks(node: Node, snapshot: Snapshot) -> tuple[Any, ...]:
    checksums = [snapshot.values[name].checksum for name in node.inputs if name]
    return node.op, node.attributes, node.inputs, checksums
