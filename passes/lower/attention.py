"""Attention as one kernel.

    MatMul(Q(Softmax(MatMul(q, kT) * c + mask)), v)   ->   Attention(q, k, v, mask)

Several things that are added, such as a bias of relative positions and a mask of padding, are summed in float32 before.
Head transposes around it are taken into the kernel's layout, so that q, k, v are read where the linears wrote them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.values import QuantizedValue, QuantSpec

from qgraph.ir.matchers.attention import probabilities
from qgraph.ir.patterns import attr

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering

HEADS_FIRST, KEYS_LAST = [0, 2, 1, 3], [0, 2, 3, 1]


@dataclasses.dataclass(frozen=True)
class QuantizedScores:
    """softmax(q kT * factor + added[0] + ...) that has not been computed yet."""

    q: QuantizedValue
    kt: QuantizedValue
    factor: float
    added: tuple[ir.Value, ...]


def match(low: Lowering, value: ir.Value) -> QuantizedScores | None:
    """See ``value`` (the input of a quantizer) as attention probabilities."""
    scores = probabilities(value)
    if scores is None or any(v in low.codes for v in scores.values):
        return None
    q, kt = low.codes.get(scores.q), low.codes.get(scores.kt)
    if q is None or kt is None or q.is_int16 or kt.is_int16 or len(value.shape or ()) not in (3, 4):
        return None
    return QuantizedScores(q, kt, scores.factor, scores.added)


def source(value: ir.Value, perm: list[int]) -> ir.Value | None:
    """x when ``value`` is Transpose(x, perm) of the integer graph."""
    node = value.producer()
    if node is None or node.op_type != "Transpose" or node.domain or attr(node, "perm") != perm:
        return None
    return node.inputs[0]


def _sum(low: Lowering, added: tuple[ir.Value, ...], node: ir.Node, name: str) -> ir.Value | None:
    """What is added to the scores, as one float32 value."""
    total: ir.Value | None = None
    for value in added:
        one = low.as_float(value)
        if total is not None:
            shapes = [v.shape for v in (total, one)]
            dims = max(map(len, shapes)) if None not in shapes else None  # type: ignore[arg-type]
            shape = ir.Shape([None] * dims) if dims is not None else None
            one = low.build.add(node, "Add", [total, one], name=f"{name}_mask", type=ir.DataType.FLOAT, shape=shape, domain="")
        total = one
    return total


def emit(low: Lowering, scores: QuantizedScores, v: QuantizedValue, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value:
    """Emit the kernel that computes ``value`` = probabilities times v."""
    build = low.build
    attributes = {
        "q_zero": scores.q.zero_point,
        "k_zero": scores.kt.zero_point,
        "v_zero": v.zero_point,
        "scale": float(np.float32(np.float64(scores.q.scale) * scores.kt.scale * scores.factor)),
        "multiplier": float(np.float32(np.float64(v.scale) / 255 / out.scale)),
    }
    name = value.name or "attention"
    mask = _sum(low, scores.added, node, name)
    parts = [source(scores.q.value, HEADS_FIRST), source(scores.kt.value, KEYS_LAST), source(v.value, HEADS_FIRST)]
    if all(p is not None for p in parts):
        shape = value.shape
        turned = None if shape is None else ir.Shape([shape[0], shape[2], shape[1], shape[3]])
        made = build.add(
            node,
            "Attention",
            [*parts, mask],
            {**out.attributes, **attributes, "token_major": 1},
            name=f"{name}_tokens",
            type=out.type,
            shape=turned,
        )
        build.note(made, out)
        return build.transpose(node, made, HEADS_FIRST, name, shape)
    rank = len(value.shape or ())
    q, kt, values = scores.q.value, scores.kt.value, v.value
    swap = [0, 1, 3, 2] if rank == 4 else [0, 2, 1]
    k = source(kt, swap) or build.transpose(node, kt, swap, f"{name}_keys", None)
    if rank == 4:
        return build.kernel(node, "Attention", [q, k, values, mask], out, attributes, value)
    axes = build.constant(f"{name}_axis", np.array([1], np.int64))
    q, k, values = (
        build.add(node, "Unsqueeze", [t, axes], name=f"{name}_{i}", type=ir.DataType.UINT8, shape=None, domain="")
        for i, t in enumerate((q, k, values))
    )
    if mask is not None and len(mask.shape or ()) == 3:
        mask = build.add(node, "Unsqueeze", [mask, axes], name=f"{name}_mask", type=ir.DataType.FLOAT, shape=None, domain="")
    made = build.add(
        node, "Attention", [q, k, values, mask], {**out.attributes, **attributes}, name=f"{name}_heads", type=out.type, shape=None
    )
    return build.add(node, "Squeeze", [made, axes], name=name, type=out.type, shape=value.shape, domain="")
