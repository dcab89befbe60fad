"""What normalizations over the last axis are written with: means, squares, roots and their reciprocals.

mean        ReduceMean(x)   |   ReduceSum(x) * (1/n)   |   ReduceSum(x) / n
square      Pow(x, 2)   |   Mul(x, x)
1 / root    Reciprocal(Sqrt(.))   |   1 / Sqrt(.)   |   Pow(., -0.5)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import onnx_ir as ir

from qgraph.ir.patterns import attr, constant, is_op, rank, scalar


def inputs_of(value: ir.Value | None, op: str) -> tuple[ir.Value | None, ir.Value | None]:
    """Both inputs of ``op`` where it makes ``value``, else None twice."""
    node = value.producer() if is_op(value, op) else None  # type: ignore[union-attr]
    return (node.inputs[0], node.inputs[1]) if node is not None and len(node.inputs) == 2 else (None, None)


def orders(value: ir.Value | None, op: str) -> Iterator[tuple[ir.Value | None, ir.Value | None]]:
    """Both inputs of ``op`` where it makes ``value``, in both orders."""
    a, b = inputs_of(value, op)
    if a is not None:
        yield a, b
        yield b, a


def under_root(value: ir.Value | None) -> ir.Value | None:
    """What ``value`` is the square root of."""
    if is_op(value, "Sqrt"):
        return value.producer().inputs[0]  # type: ignore[union-attr]
    base, power = inputs_of(value, "Pow")
    return base if scalar(power) == 0.5 else None


def under_reciprocal_root(value: ir.Value | None) -> ir.Value | None:
    """What ``value`` is the reciprocal of the square root of."""
    if is_op(value, "Reciprocal"):
        return under_root(value.producer().inputs[0])  # type: ignore[union-attr]
    one, root = inputs_of(value, "Div")
    if scalar(one) == 1:
        return under_root(root)
    base, power = inputs_of(value, "Pow")
    return base if scalar(power) == -0.5 else None


def square_of(value: ir.Value | None) -> ir.Value | None:
    """What ``value`` is the square of."""
    base, power = inputs_of(value, "Pow")
    if base is not None:
        return base if scalar(power) == 2 else None
    a, b = inputs_of(value, "Mul")
    return a if a is b else None


def mean_of(value: ir.Value | None) -> ir.Value | None:
    """What ``value`` is the mean of, over the last axis with the axis kept."""
    if is_op(value, "ReduceMean"):
        return _reduced(value)
    for total, factor in itertools.chain(orders(value, "Mul"), [inputs_of(value, "Div")]):
        if not is_op(total, "ReduceSum"):
            continue
        x, number = _reduced(total), scalar(factor)
        n = x.shape[-1] if x is not None and x.shape else None
        if number and isinstance(n, int):
            part = number if is_op(value, "Mul") else 1 / number
            return x if math.isclose(part, 1 / n, rel_tol=1e-6) else None
    return None


def _reduced(value: ir.Value | None) -> ir.Value | None:
    """The input of a reduction over the last axis with the axis kept."""
    node = value.producer() if value is not None else None
    if node is None or not attr(node, "keepdims", 1):
        return None
    x = node.inputs[0]
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes is None or axes.size != 1 or x is None:
        return None
    last = int(axes.reshape(()))
    return x if last == -1 or (rank(x) is not None and last == rank(x) - 1) else None  # type: ignore[operator]
