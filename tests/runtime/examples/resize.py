"""Resize."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops import ResizeCoordinates, ResizeNearest
from tests.runtime.examples.example import KINDS, OUTPUTS, SEEDS, Case, Example, example


@example("Resize")
def resize(draw: st.DrawFn, op: str) -> Example:
    case, axes, linear, kind, dtype = Case(draw(SEEDS)), draw(st.integers(1, 2)), draw(st.booleans()), draw(KINDS), draw(OUTPUTS)
    old = case.rng.integers(1, 8, axes)
    scales = case.rng.choice([0.5, 1, 1.5, 2, 3.25], axes).astype(np.float32)
    target = case.rng.integers(1, 12, axes) if draw(st.booleans()) else scales
    attributes = {
        "linear": int(linear),
        "coordinates": int(draw(st.sampled_from(ResizeCoordinates))),
        "nearest": int(draw(st.sampled_from(ResizeNearest))),
        "x_zero": case.zero(kind),
    }
    if linear:
        attributes |= {"multiplier": case.factor(1.0), **case.output(dtype)}
    x = case.codes((2, 3, *(int(n) for n in old)), kind)
    return Example([x, target], attributes, (dtype if linear else kind,), constants=(1,))
