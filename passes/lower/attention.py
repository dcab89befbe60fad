"""Attention as one kernel.

    MatMul(Q(Softmax(MatMul(q, kT) * c + mask)), v)   ->   Attention(q, k, v, mask)

Head transposes around it are taken into the kernel's layout, so that q, k, v are read where the linears wrote them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.values import Codes, Out

from qgraph.ir.patterns import attr, is_op, scalar

if TYPE_CHECKING:
    from qgraph.passes.lower.to_integer import Lowering

HEADS_FIRST, KEYS_LAST = [0, 2, 1, 3], [0, 2, 3, 1]


@dataclasses.dataclass(frozen=True)
class Scores:
    """softmax(q kT * factor + mask) that has not been computed yet."""

    q: Codes
    kt: Codes
    factor: float
    mask: ir.Value | None


def match(low: Lowering, value: ir.Value) -> Scores | None:
    """See ``value`` (the input of a quantizer) as attention probabilities."""
    if is_op(value, "Where"):
        condition, _, value = value.producer().inputs  # type: ignore[union-attr, assignment]
        if not is_op(condition, "IsNaN") or condition.producer().inputs[0] is not value:  # type: ignore[union-attr]
            return None
    if not is_op(value, "Softmax"):
        return None
    softmax = value.producer()
    assert softmax is not None
    score = softmax.inputs[0]
    if attr(softmax, "axis", -1) not in (-1, len(value.shape or ()) - 1) or score in low.codes:
        return None
    mask, factor = None, 1.0
    if is_op(score, "Add"):
        a, b = score.producer().inputs  # type: ignore[union-attr]
        score, mask = (a, b) if is_op(a, "Mul", "MatMul") else (b, a)
    if is_op(score, "Mul"):
        a, b = score.producer().inputs  # type: ignore[union-attr]
        if scalar(b) is None:
            a, b = b, a
        if scalar(b) is None:
            return None
        score, factor = a, float(scalar(b) or 0.0)
    if not is_op(score, "MatMul"):
        return None
    q, kt = (low.codes.get(v) for v in score.producer().inputs)  # type: ignore[union-attr, arg-type]
    if q is None or kt is None or q.wide or kt.wide or len(value.shape or ()) not in (3, 4):
        return None
    return Scores(q, kt, factor, mask)


def source(value: ir.Value, perm: list[int]) -> ir.Value | None:
    """x when ``value`` is Transpose(x, perm) of the integer graph."""
    node = value.producer()
    if node is None or node.op_type != "Transpose" or node.domain or attr(node, "perm") != perm:
        return None
    return node.inputs[0]


def emit(low: Lowering, scores: Scores, v: Codes, node: ir.Node, value: ir.Value, out: Out) -> ir.Value:
    """Emit the kernel that computes ``value`` = probabilities times v."""
    build = low.build
    attributes = {
        "q_zero": scores.q.zero,
        "k_zero": scores.kt.zero,
        "v_zero": v.zero,
        "scale": float(np.float32(np.float64(scores.q.scale) * scores.kt.scale * scores.factor)),
        "multiplier": float(np.float32(np.float64(v.scale) / 255 / out.scale)),
    }
    mask = low.as_float(scores.mask) if scores.mask is not None else None
    name = value.name or "attention"
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
