"""Normalisations and softmax of float32."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.runtime.examples.example import SEEDS, Case, Example, example

SHAPES = st.sampled_from([(3, 5), (2, 3, 4), (2, 40, 3), (1, 2, 2, 70), (300,), (4, 1), (2, 17, 65), (0, 3), (33, 3, 2)])


def numbers(case: Case, *shape: int) -> np.ndarray:
    x = case.rng.standard_normal(shape) * 10.0 ** case.rng.integers(-2, 3) + case.rng.choice([0, 0, 100])
    return case.special(x.astype(np.float32)) if case.rng.random() < 0.3 else x.astype(np.float32)


@example("ai.onnx.Softmax", "LogSoftmax", "Hardmax", "LpNormalization")
def shares(draw: st.DrawFn, op: str) -> Example:
    case, shape = Case(draw(SEEDS)), draw(SHAPES)
    x = numbers(case, *shape)
    if op == "Hardmax":
        x = np.rint(x)
    attributes = {"axis": draw(st.integers(-len(shape), len(shape) - 1))}
    return Example([x], attributes | ({"p": draw(st.integers(1, 2))} if op == "LpNormalization" else {}), ("float32",))


@example("LayerNormalization", "RMSNormalization")
def rows(draw: st.DrawFn, op: str) -> Example:
    case, shape, axis = Case(draw(SEEDS)), (2, 3, draw(st.sampled_from([1, 5, 16, 100]))), draw(st.integers(-3, 2))
    one = draw(st.booleans())
    scale, bias = (numbers(case, *(() if one else shape[axis:])) for _ in range(2))
    attributes = {"axis": axis, "epsilon": float(np.float32(case.rng.choice([1e-12, 1e-5, 10.0])))}
    if op == "RMSNormalization":
        return Example([numbers(case, *shape), scale], attributes, ("float32",))
    inputs = [numbers(case, *shape), scale, *([bias] if draw(st.booleans()) else [])]
    return Example([*inputs], attributes, ("float32",) * draw(st.integers(1, 3)), constants=(1,) if draw(st.booleans()) else ())


@example("GroupNormalization", "InstanceNormalization", "BatchNormalization")
def channels(draw: st.DrawFn, op: str) -> Example:
    case, groups, each = Case(draw(SEEDS)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    x = numbers(case, 2, groups * each, *draw(st.sampled_from([(), (4,), (5, 7), (1, 1)])))
    count = 4 if op == "BatchNormalization" else 2
    parameters = [numbers(case, groups * each) for _ in range(count)]
    if op == "BatchNormalization":
        parameters[3] = np.abs(parameters[3])
    attributes = {"num_groups": groups} if op == "GroupNormalization" else {}
    return Example([x, *parameters], attributes, ("float32",))


@example("LRN")
def response(draw: st.DrawFn, op: str) -> Example:
    case, shape = Case(draw(SEEDS)), draw(st.sampled_from([(2, 5, 3, 3), (1, 9, 300), (2, 3)]))
    attributes = {name: float(np.float32(case.rng.uniform(0.01, 2))) for name in ("alpha", "beta", "bias")}
    return Example([numbers(case, *shape)], attributes | {"size": draw(st.integers(1, 6))}, ("float32",))


@example("MeanVarianceNormalization")
def mean_variance(draw: st.DrawFn, op: str) -> Example:
    case, axes = Case(draw(SEEDS)), draw(st.sampled_from([None, [0, 2, 3], [1], [-1, 0], [0, 1, 2, 3]]))
    return Example([numbers(case, 2, 3, 4, 5)], {} if axes is None else {"axes": axes}, ("float32",))
