"""Functions of float32 values."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qgraph.execute.integer.pointwise_float32 import VALUES
from qgraph.ir.integer_ops import INTEGER_OPS
from tests.runtime.examples.example import SEEDS, Case, Example, example
from tests.runtime.examples.movement import ANY, SHAPES


def numbers(case: Case, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of an order of magnitude; at times of all."""
    if case.rng.random() < 0.3:
        return np.asarray(case.rng.integers(0, 2**32, shape, np.uint32)).view(np.float32)
    return case.special(np.asarray(case.rng.standard_normal(shape) * 10.0 ** case.rng.integers(-5, 4)).astype(np.float32))


@example(*VALUES)
def function(draw: st.DrawFn, op: str) -> Example:
    case = Case(draw(SEEDS))
    x = numbers(case, draw(st.one_of(SHAPES, st.just((3, 41)))))
    rows = INTEGER_OPS["", op].attributes
    given = {r.name: float(np.float32(case.rng.standard_normal())) for r in rows if r.enum is None and draw(st.booleans())}
    if op == "Gelu":
        given["approximate"] = draw(st.integers(0, 1))
    return Example([x], given, ("float32",))


@example("PRelu")
def prelu(draw: st.DrawFn, op: str) -> Example:
    case = Case(draw(SEEDS))
    shape, slope = draw(st.sampled_from([((2, 3), (2, 3)), ((2, 3, 5), (3, 1)), ((2, 3), ()), ((2, 3), (1,))]))
    return Example([numbers(case, shape), numbers(case, slope)], {}, ("float32",))


@example("Dropout")
def dropout(draw: st.DrawFn, op: str) -> Example:
    kind = draw(ANY)
    x = np.asarray(Case(draw(SEEDS)).any(draw(SHAPES), kind))
    return Example([x], {}, (kind, "bool") if draw(st.booleans()) else (kind,))
