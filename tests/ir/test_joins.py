"""Which ops only hand on to an output what they join, and what they join."""

from __future__ import annotations

import pytest

from qgraph.ir.joins import joins_at_outputs
from tests.passes.graphs import model_of

CASES = {
    "a join": ("y = Concat<axis=0>(a, b)", ["y"], ["a", "b"]),
    "what moves its elements": ("t = Concat<axis=0>(a, b) y = Transpose(t)", ["t", "y"], ["a", "b"]),
    "joins of joins": ("t = Concat<axis=0>(a, b) y = Concat<axis=0>(t, a)", ["t", "y"], ["a", "b"]),
    "a part of it": ("t = Concat<axis=0>(a, b) y = Slice(t, one, two)", ["t", "y"], ["a", "b"]),
    "a part that is moved first": ("t = Transpose(a) y = Concat<axis=0>(t, b)", ["y"], ["t", "b"]),
    "no join": ("y = Transpose(a)", [], []),
    "a product": ("y = MatMul(a, w)", [], []),
    "what moves its channels": ("t = MatMul(a, w) y = Transpose(t)", ["y"], ["t"]),
    "a product with a bias": ("t = MatMul(a, w) u = Add(t, c) v = Slice(u, one, two) y = Transpose(v)", ["v", "y"], ["u"]),
    "a product of two values": ("t = MatMul(a, b) y = Transpose(t)", [], []),
    "a function of the join": ("t = Concat<axis=0>(a, b) y = Relu(t)", [], []),
    "a larger element of the join": ("t = Concat<axis=0>(a, b) y = ReduceMax(t)", [], []),
    "a border around it": ("t = Concat<axis=0>(a, b) y = Pad(t, pads)", [], []),
}


@pytest.mark.parametrize("case", CASES)
def test_joins(case: str) -> None:
    body, nodes, parts = CASES[case]
    model = model_of(
        "g (float[2,2] a, float[2,2] b) => (float[p,q] y) "
        f"<int64[1] one = {{1}}, int64[1] two = {{2}}, int64[4] pads = {{1, 1, 1, 1}}, "
        f"float[2,2] w = {{1, 2, 3, 4}}, float[2] c = {{1, 2}}> {{ {body} }}"
    )
    joins = joins_at_outputs(model.graph)
    assert [n.name for n in model.graph if n in joins.nodes] == nodes
    assert {v.name for v in joins.values} == set(nodes) and [v.name for v in joins.parts] == parts
