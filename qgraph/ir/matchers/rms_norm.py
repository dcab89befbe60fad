"""Root mean square normalization over the last axis (Zhang and Sennrich 2019, equation 4), spread over nodes.

    x * (1 / sqrt(mean(x^2) + eps)) [* gamma]

The square is Pow or Mul, the division Div, or Mul by a Reciprocal, a Pow(-1/2) or a Div of 1. ``RMSNormalization`` of opset 23 is
the same as one node.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from qgraph.ir.patterns import attr, constant, is_op, only_user, rank, scalar


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
    if node.op_type not in ("Mul", "Div"):
        return None
    found = _normalized(out, n)
    if found is None and node.op_type == "Mul":
        for value, factor in (node.inputs, node.inputs[::-1]):
            gamma = constant(factor)
            if gamma is None or gamma.size != n or gamma.shape[-1:] != (n,) or value is None or only_user(value) is not node:
                continue
            inner = _normalized(value, n)
            if inner is not None:
                return dataclasses.replace(inner, gamma=gamma.reshape(n), inner=(*inner.inner, value), out=out)
    return found


def _single(node: ir.Node, n: int) -> RmsNorm | None:
    x, gamma = node.inputs[0], constant(node.inputs[1])
    if x is None or gamma is None or gamma.shape != (n,) or attr(node, "axis", -1) not in (-1, (rank(x) or 0) - 1):
        return None
    return RmsNorm(x, gamma, attr(node, "epsilon", 1e-5), (), node.outputs[0])


def _normalized(out: ir.Value, n: int) -> RmsNorm | None:
    """x / sqrt(mean(x^2) + eps) without gamma."""
    node = out.producer()
    if node is None or node.op_type not in ("Mul", "Div") or node.domain:
        return None
    pairs = [tuple(node.inputs)] if node.op_type == "Div" else [tuple(node.inputs), tuple(node.inputs[::-1])]
    for x, factor in pairs:
        if x is None or factor is None or only_user(factor) is not node:
            continue
        path = [factor]
        root = factor if node.op_type == "Div" else _reciprocal_of_root(factor, path)
        if not is_op(root, "Sqrt", "Pow"):
            continue
        epsilon = _mean_square(root, x, n, path)
        if epsilon is not None:
            return RmsNorm(x, np.ones(n, np.float32), epsilon, tuple(path[::-1]), out)
    return None


def _reciprocal_of_root(value: ir.Value, path: list[ir.Value]) -> ir.Value | None:
    """The Sqrt whose reciprocal ``value`` is, or ``value`` itself where it is Pow(., -1/2)."""
    node = value.producer()
    if is_op(value, "Pow"):
        return value if scalar(node.inputs[1]) == -0.5 else None  # type: ignore[union-attr]
    if is_op(value, "Reciprocal"):
        root = node.inputs[0]  # type: ignore[union-attr]
    elif is_op(value, "Div") and scalar(node.inputs[0]) == 1:  # type: ignore[union-attr]
        root = node.inputs[1]  # type: ignore[union-attr]
    else:
        return None
    if root is None or only_user(root) is not node or not is_op(root, "Sqrt"):
        return None
    path.append(root)
    return root


def _mean_square(root: ir.Value | None, x: ir.Value, n: int, path: list[ir.Value]) -> float | None:
    """Epsilon where ``root`` is a root of mean(x^2) + epsilon; adds what is between to ``path``, the last first."""
    node = root.producer() if root is not None else None
    if node is None or (node.op_type == "Pow" and scalar(node.inputs[1]) not in (0.5, -0.5)):
        return None
    total = node.inputs[0]
    if not is_op(total, "Add") or only_user(total) is not node:  # type: ignore[arg-type]
        return None
    a, b = total.producer().inputs  # type: ignore[union-attr]
    mean, epsilon = (a, scalar(b)) if scalar(b) is not None else (b, scalar(a))
    if epsilon is None or not is_op(mean, "ReduceMean") or only_user(mean) is not total.producer():  # type: ignore[arg-type, union-attr]
        return None
    reduce = mean.producer()  # type: ignore[union-attr]
    square, axes = reduce.inputs[0], constant(reduce.inputs[1]) if len(reduce.inputs) > 1 else None  # type: ignore[union-attr]
    last = axes is not None and axes.size == 1 and int(axes.reshape(())) in (-1, (rank(x) or 0) - 1)
    if not last or not attr(reduce, "keepdims", 1) or square is None or only_user(square) is not reduce:  # type: ignore[arg-type]
        return None
    maker = square.producer()
    squared = is_op(square, "Pow") and maker.inputs[0] is x and scalar(maker.inputs[1]) == 2  # type: ignore[union-attr]
    squared |= is_op(square, "Mul") and maker.inputs[0] is x and maker.inputs[1] is x  # type: ignore[union-attr]
    if not squared:
        return None
    path += [total, mean, square]  # type: ignore[list-item]
    return epsilon
