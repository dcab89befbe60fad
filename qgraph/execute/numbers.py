"""Arithmetic on shapes, as Python integers: what a graph computes from ``Shape`` stays out of tensors.

A shape is a tuple, one of its dims an int. ``torch.compile`` sees symbolic integers and keeps dynamic shapes in one graph.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

Value = tuple[int, ...] | int
SHAPE_OPS: dict[str, Callable[..., Any]] = {}
"""By op type: inputs in ONNX's order, attributes by name."""


def shape_op(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as what the ops ``names`` compute of shapes."""

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        SHAPE_OPS.update(dict.fromkeys(names, function))
        return function

    return keep


def _many(x: Any) -> list[Any]:
    return list(x) if isinstance(x, tuple | list) else [x]


def _each(function: Callable[[Any, Any], Any]) -> Callable[..., Value]:
    def run(a: Value, b: Value) -> Value:
        if isinstance(a, int) and isinstance(b, int):
            return function(a, b)  # type: ignore[no-any-return]
        left, right = _many(a), _many(b)
        size = max(len(left), len(right))
        left, right = (v * size if len(v) == 1 else v for v in (left, right))
        return tuple(function(p, q) for p, q in zip(left, right, strict=True))

    return run


@shape_op("Gather")
def gather(x: Value, index: Any, axis: int = 0) -> Value:
    values = _many(x)
    return tuple(values[i] for i in index) if isinstance(index, tuple | list) else values[index]


@shape_op("Slice")
def slice_of(x: Value, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Value:
    step = _many(steps)[0] if steps is not None else 1
    return tuple(_many(x)[slice(_many(starts)[0], _many(ends)[0], step)])


@shape_op("Squeeze")
def squeeze(x: Value, axes: Any = None) -> Value:
    return _many(x)[0]  # type: ignore[no-any-return]


@shape_op("Unsqueeze")
def unsqueeze(x: Value, axes: Any) -> Value:
    return tuple(_many(x))


@shape_op("Concat")
def concat(*xs: Value, axis: int = 0) -> Value:
    return tuple(v for x in xs for v in _many(x))


@shape_op("Reshape")
def reshape(x: Value, shape: Any, allowzero: int = 0) -> Value:
    return tuple(_many(x)) if _many(shape) else _many(x)[0]


@shape_op("Cast", "Identity")
def cast(x: Value, to: int = 7, saturate: int = 1, round_mode: str = "up") -> Value:
    return x


@shape_op("ReduceProd")
def reduce_prod(x: Value, axes: Any = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Value:
    product = math.prod(_many(x))
    return (product,) if keepdims else product


def _quotient(a: int, b: int) -> int:
    return a // b if (a >= 0) == (b > 0) else -(-a // b)


shape_op("Add")(_each(operator.add))
shape_op("Sub")(_each(operator.sub))
shape_op("Mul")(_each(operator.mul))
shape_op("Div")(_each(_quotient))
shape_op("Max")(_each(max))
shape_op("Min")(_each(min))
