"""Quantizers, Lookup, Curve, Binary."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops import BinaryOp
from tests.runtime.examples.example import KINDS, OUTPUTS, SEEDS, Case, Example, example

LENGTHS = st.integers(0, 70)


@example("Quantize")
def quantize(draw: st.DrawFn, op: str) -> Example:
    case, n, kind = Case(draw(SEEDS)), draw(LENGTHS), draw(KINDS)
    x = (case.rng.standard_normal((3, n)) * 10.0 ** case.rng.integers(-3, 6)).astype(np.float32)
    return Example([x], {"scale": abs(case.factor(0.1)), **case.output(kind)}, (kind,))


@example("Quantize")
def quantize_ties(draw: st.DrawFn, op: str) -> Example:
    case, n, kind = Case(draw(SEEDS)), draw(LENGTHS), draw(KINDS)
    half = np.float32(0.25) * (case.rng.integers(-5, 6, (3, n)) + np.float32(0.5))
    return Example([half.astype(np.float32)], {"scale": 0.25, **case.output(kind)}, (kind,))


@example("Dequantize")
def dequantize(draw: st.DrawFn, op: str) -> Example:
    case, n, kind = Case(draw(SEEDS)), draw(LENGTHS), draw(KINDS)
    return Example([case.codes((3, n), kind)], {"scale": case.factor(0.1), "x_zero": case.zero(kind)}, ("float32",))


@example("Requantize")
def requantize(draw: st.DrawFn, op: str) -> Example:
    case, n, kind = Case(draw(SEEDS)), draw(st.integers(1, 70)), draw(st.sampled_from(["uint8", "int16", "int8"]))
    dtype, columns = draw(OUTPUTS), draw(st.booleans())
    attributes = {"x_zero": case.zero(kind) if kind != "int8" else 0, **case.output(dtype)}
    return Example([case.codes((4, n), kind), case.factors(n if columns else 1, 1.0)], attributes, (dtype,), constants=(1,))


@example("QuantizeTokens")
def quantize_tokens(draw: st.DrawFn, op: str) -> Example:
    case, rows, n = Case(draw(SEEDS)), draw(st.integers(0, 5)), draw(st.integers(1, 100))
    kind, channels = draw(st.sampled_from(["uint8", "int16", "float32"])), draw(st.booleans())
    if kind == "float32":
        x = (case.rng.standard_normal((2, rows, n)) * case.rng.choice([0, 1e-20, 1, 1e20], (2, rows, 1))).astype(np.float32)
    else:
        x = case.codes((2, rows, n), kind)
    attributes = {} if kind == "float32" else {"scale": case.factor(0.1), "x_zero": case.zero(kind)}
    inputs = [x, case.factors(n, 1.0)] if channels else [x]
    return Example([*inputs], attributes, ("uint8", "float32"), constants=(1,))


@example("Lookup")
def lookup(draw: st.DrawFn, op: str) -> Example:
    case, channels, n = Case(draw(SEEDS)), draw(st.integers(1, 5)), draw(st.integers(1, 70))
    kind, dtype = draw(KINDS), draw(OUTPUTS)
    each = draw(st.booleans()) and kind == "uint8"
    shape = ((channels,) if each else ()) + (256 if kind == "uint8" else 65536,)
    table = case.rng.standard_normal(shape).astype(np.float32) if dtype == "float32" else case.codes(shape, dtype)
    x = case.codes((2, channels, n), kind)
    return Example([x, table], {"axis": 1} if each else {}, (dtype,), constants=(1,))


@example("Curve")
def curve(draw: st.DrawFn, op: str) -> Example:
    case, rows, n = Case(draw(SEEDS)), draw(st.integers(1, 5)), draw(st.integers(1, 70))
    dtype, shift = draw(KINDS), draw(st.integers(0, 11))
    sizes = np.array([1e4 if dtype == "int16" else 1e2, 3, 1e-3, 1e-6, 1e-9], np.float32)[:, None]
    coefficients = case.rng.standard_normal((5, 32)).astype(np.float32) * sizes
    if case.rng.random() < 0.3:
        coefficients[case.rng.integers(0, 5), case.rng.integers(0, 32)] = case.rng.choice([np.nan, np.inf, -1e38])
    attributes = {"start": int(case.rng.integers(-32768, 32768)), "shift": shift, **case.output(dtype)}
    return Example([case.codes((rows, n), "int16"), coefficients], attributes, (dtype,), constants=(1,))


@example("Binary")
def binary(draw: st.DrawFn, op: str) -> Example:
    case, code, n = Case(draw(SEEDS)), draw(st.sampled_from(BinaryOp)), draw(st.integers(1, 40))
    a, b, dtype = draw(KINDS), draw(KINDS), draw(OUTPUTS)
    shapes = [
        ((2, 3, n), (2, 3, n)),
        ((2, 3, n), (n,)),
        ((2, 3, n), (3, 1)),
        ((1,), (2, n)),
        ((2, 1, n), (3, 1)),
        ((2, 0, n), (1,)),
    ]
    left, right = draw(st.sampled_from(shapes))
    divisor = case.codes(right, b)
    zero_b = case.zero(b)
    if code == BinaryOp.DIV and dtype == "float32":
        zero_b, divisor = 0, np.where(divisor == 0, 1, divisor).astype(b)
    typical = 1.0 if code != BinaryOp.MUL else 1e-2
    attributes = {
        "op": int(code),
        "a_zero": case.zero(a),
        "b_zero": zero_b,
        "a_multiplier": case.factor(typical),
        "b_multiplier": case.factor(typical),
        **case.output(dtype),
    }
    return Example([case.codes(left, a), divisor], attributes, (dtype,))
