"""Joins at the outputs of a graph: what stands from there on only moves elements.

    boxes (0 to 320) ----+
                         Concat -> Transpose -> output
    scores (0 to 1) -----+

It computes nothing, so it needs no codes: in 8 bits one scale for all would leave nothing of the scores. The channels of a
product with a weight may be such parts as well: a head of one convolution, whose output is only put in order.
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from qgraph.ir.matchers.linear import added_bias
from qgraph.ir.op_traits import Trait, family, has
from qgraph.ir.patterns import constant


@dataclasses.dataclass
class Joins:
    """The joins at outputs.

    Attributes:
        nodes: every Concat whose elements leave the graph unchanged, and the ops behind it, or behind a product with a weight,
            that hand them on.
        values: what ``nodes`` make.
        parts: the values that ``nodes`` read and none of them makes, in the order in which the outputs hold them.
    """

    nodes: set[ir.Node] = dataclasses.field(default_factory=set)
    values: set[ir.Value] = dataclasses.field(default_factory=set)
    parts: dict[ir.Value, None] = dataclasses.field(default_factory=dict)


def hands_on(node: ir.Node | None) -> bool:
    """Whether the outputs of ``node`` hold elements of its inputs (of the first, but for a Concat) and nothing else."""
    if node is None or node.domain or not node.inputs:
        return False
    if node.op_type in ("Concat", "Identity", "Dropout"):
        return True
    return family(node) == "movement" and has(node, Trait.MOVES) and node.op_type != "Pad"


def handed(node: ir.Node) -> list[ir.Value]:
    """The inputs whose elements ``node``, for which ``hands_on`` holds, has in its outputs."""
    return [v for v in (node.inputs if node.op_type == "Concat" else node.inputs[:1]) if v is not None]


def joins_at_outputs(graph: ir.Graph) -> Joins:
    """The joins whose elements the float outputs of ``graph`` hold."""
    leaving: set[ir.Value] = set()
    work = [v for v in graph.outputs if v.dtype == ir.DataType.FLOAT]
    while work:
        value = work.pop()
        node = value.producer()
        if node is not None and value not in leaving and hands_on(node) and constant(value) is None:
            leaving.add(value)
            work += handed(node)
    joins = Joins()
    for node in graph:
        if leaving.isdisjoint(node.outputs):
            continue
        sources = handed(node)
        if node.op_type == "Concat" or not joins.values.isdisjoint(sources) or any(_is_product(v) for v in sources):
            joins.nodes.add(node)
            joins.values.update(leaving.intersection(node.outputs))
            joins.parts.update((v, None) for v in sources if v not in joins.values)
    return joins


def _is_product(value: ir.Value) -> bool:
    """Whether ``value`` is a product with a constant weight, with its bias or without."""
    parts = added_bias(value)
    node = (value if parts is None else parts[0]).producer()
    return has(node, Trait.LINEAR) and constant(node.inputs[1]) is not None  # type: ignore[union-attr]
