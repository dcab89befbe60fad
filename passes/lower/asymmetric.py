"""Weights with zero points, which no kernel has: exactly, as one symmetric weight or as the sum of several.

    sum of x * (w - z)     ->   sum of x * v                    where v = w - z fits int8
    sum of x * (w - z)     ->   sum of [x, x] * [v1, v2]        v1 + v2 = w - z: the input channels twice, each with a part

The integers are the same, so is the accumulator.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.op_traits import family
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where
from qgraph.ir.weights import Weight
from qgraph.numerics.affine import INT_TYPES, QParams

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


def is_symmetric(weight: Weight) -> bool:
    """Whether the codes of ``weight`` are signed numbers without a zero point."""
    return weight.kind.signed and not np.any(weight.params.zero_point)


def parts_of(weight: Weight) -> list[np.ndarray]:
    """Arrays of int8 whose sum is the codes less their zero points; one where that fits."""
    rest = weight.codes.astype(np.int64) - weight.params.expand(weight.codes.shape)[1]
    parts: list[np.ndarray] = []
    while not parts or rest.any():
        parts.append(np.clip(rest, -128, 127).astype(np.int8))
        rest = rest - parts[-1]
    return parts


def symmetric(low: Lowering, node: ir.Node, x: ir.Value, weight: Weight) -> tuple[ir.Value, Weight]:
    """The input codes ``x`` and the ``weight`` ([n, k], or a convolution's as it is) of the same sums, without zero points.

    Raises:
        QGraphError: the weight cannot be split: its last block is shorter, or its zero points belong to input channels.
    """
    parts = parts_of(weight)
    params = QParams(
        INT_TYPES["int8"],
        weight.params.scale,
        np.zeros_like(weight.params.scale, np.int64),
        weight.params.axis,
        weight.params.block,
    )
    if len(parts) == 1:
        return x, dataclasses.replace(weight, codes=parts[0], params=params)
    if weight.params.block:
        if weight.codes.shape[1] % weight.params.block:
            raise QGraphError(
                f"{where(node)} has 8-bit weights with zero points and a block that is cut off; quantize it per channel"
            )
        scale, zero = (np.tile(a, (1, len(parts))) for a in (params.scale, params.zero_point))
        params = dataclasses.replace(params, scale=scale, zero_point=zero)
    convolution, turned = family(node) == "conv", node.op_type == "ConvTranspose"
    axis, groups = (0 if turned else 1), attr(node, "group", 1) if convolution else 1
    channels = weight.codes.shape[axis] * (1 if turned else groups)
    order = np.tile(np.arange(channels).reshape(groups, 1, -1), (1, len(parts), 1)).reshape(-1)
    codes = np.concatenate(parts, axis)
    if turned:
        split = [p.reshape(groups, -1, *p.shape[1:]) for p in parts]
        codes = np.concatenate(split, 1).reshape(-1, *parts[0].shape[1:])
        if params.axis == 0:
            raise QGraphError(f"{where(node)} has a zero point an input channel; quantize its weight per tensor")
    index = low.build.constant(f"{x.name}.channels", order)
    position = 1 if convolution else len(x.shape or ()) - 1
    shape = None if x.shape is None else ir.Shape([*x.shape[:position], len(order), *x.shape[position + 1 :]])
    assert x.dtype is not None
    twice = low.build.add(
        node, "Gather", [x, index], {"axis": position}, name=f"{x.name}_repeated", type=x.dtype, shape=shape, domain=""
    )
    return twice, dataclasses.replace(weight, name=f"{weight.name}.parts", codes=codes, params=params)
