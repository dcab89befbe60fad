"""Scales below zero, with which some tools turn the sign of a block, so that its largest weight is a code, are turned back.

(w - z) * -s   ->   (w' - z') * s        w' = qmin + qmax - w, z' = qmin + qmax - z: the same numbers
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from qgraph.capture.quantized.builder import Builder
from qgraph.ir.bit_types import code_type
from qgraph.ir.patterns import attr, constant
from qgraph.numerics.affine import INT_TYPES, QParams


def positive(params: QParams, codes: np.ndarray) -> tuple[np.ndarray, QParams]:
    """``codes`` and parameters of the same numbers, with scales above zero; symmetric ones are signed afterwards."""
    kind = params.type
    offset = 0 if not kind.signed else 1 << (kind.bits - 1)
    codes, zeros = (a.astype(np.int64) + offset for a in (codes, params.zero_point))
    last = (1 << kind.bits) - 1
    turned = params.scale < 0
    zeros = np.where(turned, last - zeros, zeros)
    codes = np.where(dataclasses.replace(params, zero_point=turned).expand(codes.shape)[1] != 0, last - codes, codes)
    middle = 1 << (kind.bits - 1)
    if (zeros == middle).all():
        codes, zeros, name = codes - middle, zeros - middle, f"int{kind.bits}"
    else:
        name = f"uint{kind.bits}"
    found = INT_TYPES[name]
    made = QParams(found, np.abs(params.scale), zeros.astype(found.container), params.axis, params.block)
    return codes.astype(found.container), made


def is_turned(node: ir.Node) -> bool:
    """Whether ``node`` unpacks a constant with scales below zero."""
    if node.op_type != "DequantizeLinear" or node.domain or constant(node.inputs[0]) is None:
        return False
    scale, kind = constant(node.inputs[1]), code_type(node.inputs[0].dtype)  # type: ignore[union-attr]
    return scale is not None and kind is not None and kind.bits <= 8 and bool((scale < 0).any())


def turn_back(b: Builder, node: ir.Node) -> None:
    """Let ``node`` have scales above zero."""
    codes, scale, zero = constant(b.needed(0)), constant(b.needed(1)), constant(b.input(2))
    kind = code_type(b.needed(0).dtype)
    assert codes is not None and scale is not None and kind is not None
    zeros = np.zeros(scale.shape, np.int64) if zero is None else zero
    axis = attr(node, "axis", 1) if scale.ndim else None
    params = QParams(kind, scale, zeros, None if axis is None else axis % codes.ndim, attr(node, "block_size", 0))
    b.finish(b.dequantized_constant(b.needed(0).name or "weight", *positive(params, codes)))
