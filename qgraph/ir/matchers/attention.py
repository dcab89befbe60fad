"""Scaled-dot-product attention, spread over nodes (Vaswani et al. 2017, equation 1).

    MatMul(q, kT) -> [Mul or Div by a constant] -> [Add mask] -> Softmax -> [Where(IsNaN(p), 0, p)] -> MatMul(v)

The guard gives rows whose keys are all masked zeros in place of NaN. In quantized graphs QuantizeLinear and DequantizeLinear may
stand between any two of them; who only looks for names sees through them, who rewrites does not.
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from qgraph.ir.dialects import QDQ
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.parameters import is_parameter
from qgraph.ir.patterns import attr, constant, is_op, scalar

MASKING = ("Add", "Sub", "Mul", "Div", "Where", "Max")
"""Ops that scale and mask scores."""
DEEP = 8
"""As many of them are followed."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """softmax(q kT * factor + added[0] + ...).

    Attributes:
        softmax: the Softmax node; it works along the last axis.
        product: the MatMul of ``q`` and ``kt``.
        factor: the scale of the product.
        added: what is added to the scaled product: masks, position biases.
        values: every value from the product's output up to the input of the softmax.
    """

    softmax: ir.Node
    product: ir.Node
    factor: float
    added: tuple[ir.Value, ...]
    values: tuple[ir.Value, ...]

    @property
    def q(self) -> ir.Value:
        return self.product.inputs[0]  # type: ignore[return-value]

    @property
    def kt(self) -> ir.Value:
        return self.product.inputs[1]  # type: ignore[return-value]


def scaled(value: ir.Value | None) -> tuple[ir.Value, float] | None:
    """(x, c) where ``value`` is ``x * c`` or ``x / c`` for a number c that is not trained and an x that is none; else None."""
    if not is_op(value, "Mul", "Div"):
        return None
    node = value.producer()  # type: ignore[union-attr]
    assert node is not None
    a, b = node.inputs
    if node.op_type == "Mul" and scalar(a) is not None:
        a, b = b, a
    c = scalar(b)
    if c is None or a is None or scalar(a) is not None or is_parameter(b):
        return None
    return a, (c if node.op_type == "Mul" else 1 / c)


def scores(softmax: ir.Node, *, through_quantizers: bool = False) -> Scores | None:
    """See the input of a Softmax node over the last axis as attention scores; None where it is something else.

    Args:
        through_quantizers: QuantizeLinear and DequantizeLinear may stand between the nodes.
    """
    value = softmax.inputs[0]
    if softmax.op_type != "Softmax" or softmax.domain or not last_axis(softmax) or value is None:
        return None
    found = _summed(value, through_quantizers)
    return None if found is None else Scores(softmax, *found)


def is_score(value: ir.Value | None, depth: int = DEEP) -> bool:
    """Whether ``value`` is the product of two activations, scaled and masked by at most ``depth`` ops."""
    node = value.producer() if value is not None else None
    if node is None or is_op(value, "MatMul"):
        return node is not None and all(constant(v) is None for v in node.inputs)
    if not depth or not is_op(value, *MASKING):
        return False
    if (found := scaled(value)) is not None:
        return is_score(found[0], depth - 1)
    return sum(is_score(v, depth - 1) for v in (node.inputs[1:] if node.op_type == "Where" else node.inputs)) == 1


def only_softmax(value: ir.Value, depth: int = DEEP) -> bool:
    """Whether every reader of ``value`` is a Softmax over the last axis, behind at most ``depth`` scales and masks."""
    users = [u.node for u in value.uses()]
    if not users or value.is_graph_output() or any(n.graph is not value.graph or n.domain for n in users):
        return False
    return all(
        last_axis(n) if n.op_type == "Softmax" else depth > 0 and n.op_type in MASKING and only_softmax(n.outputs[0], depth - 1)
        for n in users
    )


def mask_inputs(model: ir.Model) -> set[ir.Value]:
    """Float inputs of the graph that attention scores are masked with and nothing else reads, and what moves or scales them: the
    caller makes these masks, with elements near -infinity.
    """
    found: set[ir.Value] = set()
    for value in model.graph.inputs:
        if value.dtype == ir.DataType.FLOAT and (chain := _to_scores(value)) is not None:
            found.update(chain)
    return found


def _to_scores(value: ir.Value) -> list[ir.Value] | None:
    """``value`` and what moves or scales it, where all of that ends in sums with scores; else None."""
    chain = [value]
    if not value.uses() or value.is_graph_output():
        return None
    for use in value.uses():
        node, out = use.node, use.node.outputs[0]
        if node.domain or node.graph is not value.graph:
            return None
        if node.op_type in ("Add", "Sub") and is_score(node.inputs[1 - use.idx]) and only_softmax(out):
            continue
        moved = has(node, Trait.MOVES) or node.op_type == "Identity" or scaled(out) is not None
        further = _to_scores(out) if moved and use.idx == 0 else None
        if further is None:
            return None
        chain += further
    return chain


def last_axis(softmax: ir.Node) -> bool:
    """Whether a Softmax node works along the last axis."""
    return attr(softmax, "axis", -1) in (-1, len(softmax.outputs[0].shape or ()) - 1)


def guarded(value: ir.Value | None) -> ir.Value | None:
    """p where ``value`` is Where(IsNaN(p), 0, p), ``value`` itself where it is no such guard; None for any other Where."""
    if not is_op(value, "Where"):
        return value
    condition, zero, p = value.producer().inputs  # type: ignore[union-attr]
    if not is_op(condition, "IsNaN") or condition.producer().inputs[0] is not p or scalar(zero) != 0:  # type: ignore[union-attr]
        return None
    return p


def probabilities(value: ir.Value | None) -> Scores | None:
    """See ``value`` as attention probabilities, with or without the guard; None where it is something else."""
    p = guarded(value)
    return scores(p.producer()) if is_op(p, "Softmax") else None  # type: ignore[arg-type, union-attr]


def context(softmax: ir.Node) -> ir.Node | None:
    """The MatMul that reads the probabilities, perhaps behind a guard, a Dropout or quantizers; None where there is none."""
    return _reader(softmax.outputs[0])


def _reader(value: ir.Value) -> ir.Node | None:
    for use in value.uses():
        if use.node.op_type == "MatMul":
            return use.node
        if use.node.op_type in ("Where", "Dropout", *QDQ):
            found = _reader(use.node.outputs[0])
            if found is not None:
                return found
    return None


def _behind_quantizers(value: ir.Value | None, through: bool) -> ir.Value | None:
    while through and is_op(value, *QDQ):
        value = value.producer().inputs[0]  # type: ignore[union-attr]
    return value


Found = tuple[ir.Node, float, tuple[ir.Value, ...], tuple[ir.Value, ...]]


def _summed(value: ir.Value, through: bool) -> Found | None:
    """(product, factor, added, values) of a product to which something was added, or nothing."""
    inner = _behind_quantizers(value, through)
    if not is_op(inner, "Add"):
        return _product(value, through)
    between = () if inner is value else (inner,)
    a, b = inner.producer().inputs  # type: ignore[union-attr]
    for one, other in ((a, b), (b, a)):
        if one is not None and other is not None and (found := _summed(one, through)) is not None:
            product, factor, added, values = found
            return product, factor, (*added, other), (*values, *between, value)  # type: ignore[return-value]
    return None


def _product(value: ir.Value, through: bool) -> Found | None:
    """The same of a MatMul that is scaled or not."""
    path, factor = [value], 1.0
    inner = _behind_quantizers(value, through)
    if (found := scaled(inner)) is not None:
        inner, factor = found
        path.append(inner)
        inner = _behind_quantizers(inner, through)
    if not is_op(inner, "MatMul"):
        return None
    if inner is not path[-1]:
        path.append(inner)  # type: ignore[arg-type]
    return inner.producer(), factor, (), tuple(path[::-1])  # type: ignore[union-attr, return-value]
