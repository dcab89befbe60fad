"""Builds the integer graph: nodes, constants, and the cancelling of transposes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.values import QuantSpec

from qgraph.ir.dialects import INTEGER
from qgraph.ir.integer_ops import check_node
from qgraph.ir.patterns import attr, new_node
from qgraph.ir.weights import MULTIPLE_OF


class Builder:
    """Collects the nodes of a new graph in order.

    ``unknown`` are placeholders for values that have no form in the new graph, and what is computed from them. No name that is
    made unique is one of ``reserved``.
    """

    def __init__(self, reserved: Collection[str] = ()) -> None:
        self.reserved = reserved
        self.nodes: list[ir.Node] = []
        self.initializers: dict[str, ir.Value] = {}
        self.names: set[str] = set()
        self.unknown: set[ir.Value] = set()
        self.scales: dict[str, tuple[float, int]] = {}

    def unique(self, stem: str) -> str:
        name, n = stem, 1
        while name in self.names or (n > 1 and name in self.reserved):
            name, n = f"{stem}_{n}", n + 1
        self.names.add(name)
        return name

    def multipliers(self, stem: str, array: np.ndarray, scales: np.ndarray, factor: float) -> ir.Value:
        """A constant, float32, that is ``factor`` times the scales of a weight, which other ops may scale by other factors."""
        value = self.constant(stem, array.astype(np.float32))
        value.meta[MULTIPLE_OF] = scales, factor
        return value

    def release(self, name: str) -> None:
        """Give what is called ``name`` another name."""
        holders = [v for n in self.nodes for v in n.outputs if v.name == name]
        if (constant := self.initializers.pop(name, None)) is not None:
            holders.append(constant)
        for value in holders:
            value.name = self.unique(name)
            if value is constant:
                self.initializers[value.name] = value
            if name in self.scales:
                self.scales[value.name] = self.scales.pop(name)
        self.names.discard(name)

    def constant(self, stem: str, array: np.ndarray, dtype: ir.DataType | None = None) -> ir.Value:
        name = self.unique(stem)
        tensor = ir.Tensor(array, dtype=dtype, name=name)
        value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
        self.initializers[name] = value
        return value

    def add(
        self,
        like: ir.Node,
        op: str,
        inputs: list[ir.Value | None],
        attributes: dict[str, Any] | None = None,
        *,
        name: str,
        type: ir.DataType,
        shape: ir.Shape | None,
        domain: str = INTEGER,
        others: Sequence[tuple[str, ir.DataType]] = (),
    ) -> ir.Value:
        """Append a node with an output called ``name`` (made unique) and ``others``, name and type each; returns the first.

        Raises:
            QGraphError: the integer dialect has no such node.
        """
        while inputs and inputs[-1] is None:
            inputs.pop()
        node = new_node(like, op, inputs, attributes, domain=domain, outputs=1 + len(others), name=self.unique(f"{name}/{op}"))
        out = node.outputs[0]
        out.name, out.shape, out.dtype = self.unique(name), shape, type
        for value, (other, kind) in zip(node.outputs[1:], others, strict=True):
            value.name, value.dtype = self.unique(other), kind
        if self.unknown.isdisjoint(inputs):  # type: ignore[arg-type]
            check_node(node)
        else:
            self.unknown.update(node.outputs)
        self.nodes.append(node)
        return out

    def kernel(
        self, like: ir.Node, op: str, inputs: list[ir.Value | None], out: QuantSpec, attributes: dict[str, Any], value: ir.Value
    ) -> ir.Value:
        """Append an integer kernel that computes ``value`` as ``out``."""
        every = {**out.attributes, **attributes}
        made = self.add(like, op, inputs, every, name=value.name or op, type=out.type, shape=value.shape)
        self.note(made, out)
        return made

    def note(self, value: ir.Value, out: QuantSpec) -> None:
        """Remember what the codes of ``value`` mean, for those who look at a running program."""
        if out.type != ir.DataType.FLOAT and value.name:
            self.scales[value.name] = (out.scale, out.zero_point)

    def transpose(self, like: ir.Node, x: ir.Value, perm: list[int], name: str, shape: ir.Shape | None) -> ir.Value:
        """Append a Transpose, or undo the one that made ``x``."""
        producer = x.producer()
        if producer is not None and producer.op_type == "Transpose" and not producer.domain:
            inner = attr(producer, "perm")
            if inner is not None and [inner[p] for p in perm] == list(range(len(perm))):
                return producer.inputs[0]  # type: ignore[return-value]
        assert x.dtype is not None
        return self.add(like, "Transpose", [x], {"perm": perm}, name=name, type=x.dtype, shape=shape, domain="")

    def live(self, outputs: list[ir.Value]) -> list[ir.Node]:
        """The nodes that the outputs need, in order."""
        needed = set(outputs)
        kept = []
        for node in reversed(self.nodes):
            if any(v in needed for v in node.outputs):
                kept.append(node)
                needed.update(v for v in node.inputs if v is not None)
        used = {v for n in kept for v in n.inputs}
        self.initializers = {k: v for k, v in self.initializers.items() if v in used or v in needed}
        return kept[::-1]
