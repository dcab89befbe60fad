"""Layer normalization (Ba et al. 2016) over the last axis, written out in any of the ways that exporters write it.

mean     ReduceMean(x)   |   ReduceSum(x) * (1/n)   |   ReduceSum(x) / n
variance mean((x - m)^2) |   mean(x^2) - m^2, also clamped at zero
r        1 / Sqrt(variance + eps)   |   Reciprocal(Sqrt(.))   |   Pow(., -0.5)
y        (x - m) / Sqrt(.)   |   (x - m) * r   |   (x - m) * (r * gamma)   |   x * (r * gamma) + (beta - m * (r * gamma))
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import onnx_ir as ir

from qgraph.ir.patterns import attr, constant, is_op, rank, scalar


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
        return _centered(a, _under_root(b), None)
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
    x, mean = _inputs(d, "Sub")
    if base is None or x is None or _mean_of(mean) is not x:
        return None
    epsilon = _epsilon(base, x, mean)
    return None if epsilon is None else Normalized(x, epsilon, gamma)


def _spread(product: ir.Value | None, rest: ir.Value | None) -> Normalized | None:
    """From ``x * (r * gamma)`` and ``beta - mean * (r * gamma)``."""
    beta, shift = _inputs(rest, "Sub")
    if constant(beta) is None:
        return None
    for x, factor in _orders(product, "Mul"):
        for mean, other in _orders(shift, "Mul"):
            base, gamma = _factor(factor)
            if other is not factor or base is None or x is None or _mean_of(mean) is not x:
                continue
            epsilon = _epsilon(base, x, mean)
            if epsilon is not None:
                return Normalized(x, epsilon, gamma, beta)
    return None


def _factor(value: ir.Value | None) -> tuple[ir.Value | None, ir.Value | None]:
    """``variance + eps`` and gamma of ``r`` or ``r * gamma``."""
    base = _under_reciprocal_root(value)
    if base is not None:
        return base, None
    for r, gamma in _orders(value, "Mul"):
        base = _under_reciprocal_root(r)
        if base is not None and constant(gamma) is not None:
            return base, gamma
    return None, None


def _under_root(value: ir.Value | None) -> ir.Value | None:
    if is_op(value, "Sqrt"):
        return value.producer().inputs[0]  # type: ignore[union-attr]
    base, power = _inputs(value, "Pow")
    return base if scalar(power) == 0.5 else None


def _under_reciprocal_root(value: ir.Value | None) -> ir.Value | None:
    if is_op(value, "Reciprocal"):
        return _under_root(value.producer().inputs[0])  # type: ignore[union-attr]
    one, root = _inputs(value, "Div")
    if scalar(one) == 1:
        return _under_root(root)
    base, power = _inputs(value, "Pow")
    return base if scalar(power) == -0.5 else None


def _epsilon(base: ir.Value, x: ir.Value, mean: ir.Value | None) -> float | None:
    """eps of ``base = variance + eps``, if it is the variance of ``x``."""
    for variance, eps in _orders(base, "Add"):
        number = scalar(eps)
        if number is not None and _is_variance(variance, x, mean):
            return number
    return None


def _is_variance(value: ir.Value | None, x: ir.Value, mean: ir.Value | None) -> bool:
    value = _unclamped(value)
    squared = _square_of(_mean_of(value))
    if squared is not None:
        a, m = _inputs(squared, "Sub")
        return a is x and m is mean
    of_squares, of_mean = _inputs(value, "Sub")
    return _square_of(_mean_of(of_squares)) is x and _square_of(of_mean) is mean


def _unclamped(value: ir.Value | None) -> ir.Value | None:
    """``value`` without a clamp at zero, which changes no variance but its rounding."""
    if is_op(value, "Relu"):
        return value.producer().inputs[0]  # type: ignore[union-attr]
    for inner, low in _orders(value, "Max"):
        if scalar(low) == 0:
            return inner
    return value


def _square_of(value: ir.Value | None) -> ir.Value | None:
    base, power = _inputs(value, "Pow")
    if base is not None:
        return base if scalar(power) == 2 else None
    a, b = _inputs(value, "Mul")
    return a if a is b else None


def _mean_of(value: ir.Value | None) -> ir.Value | None:
    """What ``value`` is the mean of, over the last axis with the axis kept."""
    if is_op(value, "ReduceMean"):
        return _reduced(value)
    for total, factor in itertools.chain(_orders(value, "Mul"), [_inputs(value, "Div")]):
        if not is_op(total, "ReduceSum"):
            continue
        x, number = _reduced(total), scalar(factor)
        n = x.shape[-1] if x is not None and x.shape else None
        if number is not None and isinstance(n, int):
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


def _inputs(value: ir.Value | None, op: str) -> tuple[ir.Value | None, ir.Value | None]:
    """Both inputs of ``op`` where it makes ``value``."""
    if not is_op(value, op) or len(value.producer().inputs) != 2:  # type: ignore[union-attr]
        return None, None
    a, b = value.producer().inputs  # type: ignore[union-attr]
    return a, b


def _orders(value: ir.Value | None, op: str) -> Iterator[tuple[ir.Value | None, ir.Value | None]]:
    a, b = _inputs(value, op)
    if a is not None:
        yield a, b
        yield b, a
