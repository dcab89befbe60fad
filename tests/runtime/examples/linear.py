"""Linear and MatMul."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.runtime.examples.example import BITS, KINDS, OUTPUTS, SEEDS, Case, Example, example


@example("Linear")
def linear(draw: st.DrawFn, op: str) -> Example:
    case, bits, dtype = Case(draw(SEEDS)), draw(BITS), draw(OUTPUTS)
    rows, k, n = draw(st.integers(0, 11)), draw(st.integers(1, 150)), draw(st.integers(1, 80))
    weight, form = case.weights((n, k), bits), draw(st.integers(0, 2)) if bits == 8 else 0
    if form == 1:
        weight[:, 2::4] = weight[:, 3::4] = 0
    bias = case.rng.integers(-(2**20), 2**20, n).astype(np.int32) if draw(st.booleans()) else None
    inputs = [case.codes((rows, k)), weight, case.factors(n, 1e-2), bias]
    attributes: dict[str, Any] = {"x_zero": case.zero(), **case.output(dtype), **case.levels(bits, inputs)}
    if form:
        attributes["sparse"] = form
    if draw(st.booleans()):
        residual, more = case.residual((rows, n), draw(KINDS), "int16" if draw(st.booleans()) else "uint8")
        inputs, attributes = [*inputs, None, residual], attributes | more
    return Example(inputs, attributes, (dtype,), constants=(1, 2, 3), bits=bits)


@example("Linear")
def linear_of_tokens(draw: st.DrawFn, op: str) -> Example:
    case, bits, dtype = Case(draw(SEEDS)), draw(BITS), draw(OUTPUTS)
    rows, k, n = draw(st.integers(0, 9)), draw(st.integers(1, 100)), draw(st.integers(1, 70))
    kind, block = draw(KINDS), draw(st.sampled_from([0, 4, 32]))
    blocks = -(-k // block) if block else 1
    inputs: list[np.ndarray | None] = [
        case.codes((2, rows, k)),
        case.weights((n, k), bits),
        case.factors(n * blocks, 1e-2).reshape((blocks, n) if block else n),
        case.rng.standard_normal(n).astype(np.float32) * 50 if case.rng.random() < 0.5 else None,
        case.factors(2 * rows, 1e-1).reshape(2, rows, 1),
    ]
    attributes: dict[str, Any] = {"x_zero": 128, **case.output(dtype)}
    if block:
        attributes["block"] = block
    if case.rng.random() < 0.5:
        residual, more = case.residual((2, rows, n), kind, "")
        inputs, attributes = [*inputs, residual], attributes | more
    return Example(inputs, attributes, (dtype,), constants=(1, 2, 3), bits=bits)


@example("MatMul")
def matmul(draw: st.DrawFn, op: str) -> Example:
    seed, dtype = draw(SEEDS), draw(OUTPUTS)
    case, batch = Case(seed), draw(st.integers(1, 3))
    m, k, n = draw(st.integers(0, 50)), draw(st.integers(1, 70)), draw(st.integers(1, 70))
    inputs = [case.codes((batch, 2, m, k)), case.codes((2, k, n) if seed % 2 else (batch, 1, k, n))]
    attributes = {"a_zero": case.zero(), "b_zero": case.zero(), "multiplier": case.factor(1e-3), **case.output(dtype)}
    return Example([*inputs], attributes, (dtype,))
