"""Attention."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.runtime.examples.example import OUTPUTS, SEEDS, Case, Example, example


@example("Attention")
def attention(draw: st.DrawFn, op: str) -> Example:
    seed, dtype, token_major = draw(SEEDS), draw(OUTPUTS), draw(st.booleans())
    case, batch, heads = Case(seed), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    rows, keys, width = draw(st.integers(1, 30)), draw(st.integers(1, 40)), draw(st.integers(1, 20))

    def part(length: int, size: int) -> np.ndarray:
        return case.codes((batch, length, heads, size) if token_major else (batch, heads, length, size))

    mask = None
    if seed % 3:
        mask = np.where(case.rng.random((batch, 1, 1 if seed % 2 else rows, keys)) < 0.3, -np.inf, 0).astype(np.float32)
    attributes = {
        **{f"{name}_zero": case.zero() for name in "qkv"},
        "scale": case.factor(1e-3),
        "multiplier": case.factor(1e-2),
        "token_major": int(token_major),
        **case.output(dtype),
    }
    return Example([part(rows, width), part(keys, width), part(keys, width + 3), mask], attributes, (dtype,))
