"""Layer normalization (Ba et al. 2016) over the last axis, written out in any of the ways that exporters write it.

    variance    mean((x - m)^2)   |   mean(x^2) - m^2, also clamped at zero
    r           1 / sqrt(variance + eps)
    y           (x - m) / sqrt(.)   |   (x - m) * r   |   (x - m) * (r * gamma)   |   x * (r * gamma) + (beta - m * (r * gamma))

The spellings of the parts: ``norm_parts``.
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from qgraph.ir.matchers.norm_parts import inputs_of, mean_of, orders, square_of, under_reciprocal_root, under_root
from qgraph.ir.patterns import constant, is_op, scalar


@dataclasses.dataclass(frozen=True)
class Normalized:
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``; gamma and beta are None where the graph applies none yet."""

    x: ir.Value
    epsilon: float
    gamma: ir.Value | None = None
    beta: ir.Value | None = None


def match(node: ir.Node) -> Normalized | None:
    """What ``node`` normalizes, if it is the Div, Mul or Add that ends a layer normalization."""
    if node.domain or len(node.inputs) < 2:
        return None
    a, b = node.inputs[:2]
    if node.op_type == "Div":
        return _centered(a, under_root(b), None)
    if node.op_type == "Mul":
        for d, factor in ((a, b), (b, a)):
            base, gamma = _factor(factor)
            if base is not None and (found := _centered(d, base, gamma)) is not None:
                return found
    if node.op_type == "Add":
        for product, rest in ((a, b), (b, a)):
            if (found := _spread(product, rest)) is not None:
                return found
    return None


def _centered(d: ir.Value | None, base: ir.Value | None, gamma: ir.Value | None) -> Normalized | None:
    """From ``x - mean`` and ``variance + eps``."""
    x, mean = inputs_of(d, "Sub")
    if base is None or x is None or mean_of(mean) is not x:
        return None
    epsilon = _epsilon(base, x, mean)
    return None if epsilon is None else Normalized(x, epsilon, gamma)


def _spread(product: ir.Value | None, rest: ir.Value | None) -> Normalized | None:
    """From ``x * (r * gamma)`` and ``beta - mean * (r * gamma)``."""
    beta, shift = inputs_of(rest, "Sub")
    if constant(beta) is None:
        return None
    for x, factor in orders(product, "Mul"):
        for mean, other in orders(shift, "Mul"):
            base, gamma = _factor(factor)
            if other is not factor or base is None or x is None or mean_of(mean) is not x:
                continue
            epsilon = _epsilon(base, x, mean)
            if epsilon is not None:
                return Normalized(x, epsilon, gamma, beta)
    return None


def _factor(value: ir.Value | None) -> tuple[ir.Value | None, ir.Value | None]:
    """``variance + eps`` and gamma of ``r`` or ``r * gamma``."""
    base = under_reciprocal_root(value)
    if base is not None:
        return base, None
    for r, gamma in orders(value, "Mul"):
        base = under_reciprocal_root(r)
        if base is not None and constant(gamma) is not None:
            return base, gamma
    return None, None


def _epsilon(base: ir.Value, x: ir.Value, mean: ir.Value | None) -> float | None:
    """eps of ``base = variance + eps``, if it is the variance of ``x``."""
    for variance, eps in orders(base, "Add"):
        number = scalar(eps)
        if number is not None and _is_variance(variance, x, mean):
            return number
    return None


def _is_variance(value: ir.Value | None, x: ir.Value, mean: ir.Value | None) -> bool:
    value = _unclamped(value)
    squared = square_of(mean_of(value))
    if squared is not None:
        a, m = inputs_of(squared, "Sub")
        return a is x and m is mean
    of_squares, of_mean = inputs_of(value, "Sub")
    return square_of(mean_of(of_squares)) is x and square_of(of_mean) is mean


def _unclamped(value: ir.Value | None) -> ir.Value | None:
    """``value`` without a clamp at zero, which changes no variance but its rounding."""
    if is_op(value, "Relu"):
        return value.producer().inputs[0]  # type: ignore[union-attr]
    for inner, low in orders(value, "Max"):
        if scalar(low) == 0:
            return inner
    return value
