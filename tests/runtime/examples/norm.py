"""LayerNorm, GroupNorm, Softmax, LocalResponseNorm."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.runtime.examples.example import KINDS, OUTPUTS, SEEDS, Case, Example, example


@example("LayerNorm")
def layer_norm(draw: st.DrawFn, op: str) -> Example:
    case, rows, n, kind, dtype = Case(draw(SEEDS)), draw(st.integers(0, 4)), draw(st.integers(1, 300)), draw(KINDS), draw(OUTPUTS)
    inputs = [case.codes((2, rows, n), kind), case.factors(n, 20.0), case.factors(n, 3.0)]
    attributes = {"epsilon": float(np.float32(case.rng.choice([1e-12, 1e-5, 10.0]))), **case.output(dtype)}
    return Example([*inputs], attributes, (dtype,), constants=(1, 2))


@example("GroupNorm")
def group_norm(draw: st.DrawFn, op: str) -> Example:
    case, groups, each, n = Case(draw(SEEDS)), draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 20))
    kind, dtype, channels = draw(KINDS), draw(OUTPUTS), groups * each
    inputs = [case.codes((2, channels, n, 3), kind), case.factors(channels, 20.0), case.factors(channels, 3.0)]
    attributes = {"epsilon": float(np.float32(1e-5)), "groups": groups, **case.output(dtype)}
    return Example([*inputs], attributes, (dtype,), constants=(1, 2))


@example("Softmax")
def softmax(draw: st.DrawFn, op: str) -> Example:
    case, n, kind, dtype, axis = Case(draw(SEEDS)), draw(st.integers(1, 300)), draw(KINDS), draw(OUTPUTS), draw(st.integers(0, 1))
    attributes = {"axis": axis, "x_zero": case.zero(kind), "scale": abs(case.factor(0.05))}
    if dtype != "float32":
        attributes |= {"top": 255.0 if dtype == "uint8" else 32767.0, "y_zero": 0}
    return Example([case.codes((n, 3) if axis == 0 else (3, n), kind)], attributes, (dtype,))


@example("LocalResponseNorm")
def local_response_norm(draw: st.DrawFn, op: str) -> Example:
    case, channels, size = Case(draw(SEEDS)), draw(st.integers(1, 9)), draw(st.integers(1, 6))
    kind, dtype = draw(KINDS), draw(OUTPUTS)
    attributes = {
        "size": size,
        "x_zero": case.zero(kind),
        "factor": float(np.float32(1e-4)),
        "bias": float(np.float32(case.rng.choice([1.0, 2.0]))),
        "beta": float(np.float32(case.rng.choice([0.75, 0.5]))),
        "multiplier": case.factor(1.0),
        **case.output(dtype),
    }
    return Example([case.codes((2, channels, 3, 5), kind)], attributes, (dtype,))
