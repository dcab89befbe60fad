"""Root mean square normalization over the last axis (Zhang and Sennrich 2019, equation 4), spread over nodes.

    x * (1 / sqrt(mean(x^2) + eps)) [* gamma]

The spellings of the parts: ``norm_parts``. ``RMSNormalization`` of opset 23 is the same as one node.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from qgraph.ir.matchers.norm_parts import inputs_of, mean_of, orders, square_of, under_reciprocal_root, under_root
from qgraph.ir.patterns import attr, constant, rank, scalar


@dataclasses.dataclass(frozen=True)
class RmsNorm:
    """x / sqrt(mean(x^2) + epsilon) * gamma.

    Attributes:
        gamma: [n], n elements of the last axis.
        inner: what is computed on the way from ``x`` to ``out``, in the order of the graph.
    """

    x: ir.Value
    gamma: np.ndarray
    epsilon: float
    inner: tuple[ir.Value, ...]
    out: ir.Value

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        return tuple(v.producer() for v in (*self.inner, self.out))  # type: ignore[misc]


def rms_norm(out: ir.Value) -> RmsNorm | None:
    """See ``out`` as an RMSNorm with all that is behind it; None where it is something else, or others read inner values."""
    node = out.producer()
    n = out.shape[-1] if out.shape else None
    if node is None or node.domain or not isinstance(n, int):
        return None
    if node.op_type == "RMSNormalization":
        return _single(node, n)
    core, gamma = _normalized(out), None
    if core is None:
        for value, factor in orders(out, "Mul"):
            array = constant(factor)
            if array is not None and array.size == n and array.shape[-1:] == (n,) and (core := _normalized(value)) is not None:
                gamma = array.reshape(n)
                break
    if core is None:
        return None
    x, epsilon = core
    inner = _between(x, out)
    if inner is None:
        return None
    return RmsNorm(x, np.ones(n, np.float32) if gamma is None else gamma, epsilon, inner, out)


def _single(node: ir.Node, n: int) -> RmsNorm | None:
    x, gamma = node.inputs[0], constant(node.inputs[1])
    if x is None or gamma is None or gamma.shape != (n,) or attr(node, "axis", -1) not in (-1, (rank(x) or 0) - 1):
        return None
    return RmsNorm(x, gamma, attr(node, "epsilon", 1e-5), (), node.outputs[0])


def _normalized(value: ir.Value | None) -> tuple[ir.Value, float] | None:
    """x and eps of x / sqrt(mean(x^2) + eps)."""
    x, root = inputs_of(value, "Div")
    pairs = [(x, under_root(root)), *((a, under_reciprocal_root(b)) for a, b in orders(value, "Mul"))]
    for x, base in pairs:
        for mean, epsilon in orders(base, "Add"):
            number = scalar(epsilon)
            if x is not None and number is not None and square_of(mean_of(mean)) is x:
                return x, number
    return None


def _between(x: ir.Value, out: ir.Value) -> tuple[ir.Value, ...] | None:
    """What is computed on the way from ``x`` to ``out``; None where something else reads it."""
    found: dict[ir.Value, None] = {}

    def walk(value: ir.Value | None) -> None:
        node = value.producer() if value is not None else None
        if value is None or value is x or node is None or value in found or constant(value) is not None:
            return
        for source in node.inputs:
            walk(source)
        found[value] = None

    walk(out)
    nodes = {v.producer() for v in found}
    inner = tuple(v for v in found if v is not out)
    if any(v.is_graph_output() or any(u.node not in nodes for u in v.uses()) for v in inner):
        return None
    return inner
