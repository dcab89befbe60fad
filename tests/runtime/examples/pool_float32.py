"""Reductions of every type that they take."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops.pool_float32 import GLOBAL_POOLS, REDUCTIONS
from tests.runtime.examples.example import SEEDS, Case, Example, example
from tests.runtime.examples.index import types
from tests.runtime.examples.movement import int64


def numbers(draw: st.DrawFn, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Elements of a type; some of float32 are NaN, infinite or a zero of either sign."""
    case = Case(draw(SEEDS))
    x = np.asarray(case.any(shape, kind))
    if kind == "float32" and draw(st.booleans()):
        odd = case.rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32), shape)
        x = np.where(case.rng.random(shape) < 0.02, odd, x)
    return x


SHAPES = st.sampled_from([(2, 3, 5, 4), (3, 37), (130, 70), (2, 3, 1, 17, 2), (4, 0, 3), (1, 5), (7,), (), (3, 70, 2)])


@example(*(spec.op_type if spec.op_type not in ("ReduceMax", "ReduceMean") else f"ai.onnx.{spec.op_type}" for spec in REDUCTIONS))
def reduction(draw: st.DrawFn, op: str) -> Example:
    kind, shape = draw(st.sampled_from(types(op.removeprefix("ai.onnx.")))), draw(SHAPES)
    axes = sorted(draw(st.sets(st.integers(-len(shape), -1)))) if shape else []
    attributes = {"keepdims": draw(st.integers(0, 1)), "noop_with_empty_axes": draw(st.integers(0, 1))}
    given = None if not axes and draw(st.booleans()) else int64(*axes)
    return Example([numbers(draw, shape, kind), given], attributes, (kind,), constants=(1,))


@example(*(spec.op_type for spec in GLOBAL_POOLS))
def global_pool(draw: st.DrawFn, op: str) -> Example:
    shape = draw(st.sampled_from([(2, 3, 5, 4), (2, 3), (1, 70, 9), (2, 2, 2, 3, 4), (2, 3, 0)]))
    return Example([numbers(draw, shape, "float32")], {}, ("float32",))
