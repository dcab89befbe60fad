"""Fourier transforms and what goes with them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.runtime.examples.example import SEEDS, Case, Example, example

INTEGER = st.sampled_from(["int64", "int32"])


@example("DFT")
def dft(draw: st.DrawFn, op: str) -> Example:
    case, inverse, onesided = Case(draw(SEEDS)), draw(st.integers(0, 1)), draw(st.integers(0, 1))
    parts = 2 if inverse and onesided else 1 if onesided else draw(st.integers(1, 2))
    sizes = draw(st.sampled_from([(1, 9), (3, 16), (2, 3, 12), (2, 7, 9), (17, 5)]))
    length = draw(st.sampled_from([None, 1, 2, 15, 16, 22]))
    axis = draw(st.sampled_from([None, *range(-len(sizes) - 1, -1), *range(len(sizes))]))
    kind = draw(INTEGER)
    given = [None if v is None else np.array(v, kind) for v in (length, axis)]
    n = sizes[-1 if axis is None else axis if axis >= 0 else axis + 1]
    if length is None and inverse and onesided and n == 1:  # of which nothing follows
        given[0] = np.array(4, kind)
    attributes = {"inverse": inverse, "onesided": onesided}
    return Example([case.any((*sizes, parts), "float32"), *given], attributes, ("float32",), constants=(1, 2))


@example("STFT")
def stft(draw: st.DrawFn, op: str) -> Example:
    case, n, parts = Case(draw(SEEDS)), draw(st.sampled_from([1, 8, 15, 20])), draw(st.integers(1, 2))
    window = draw(st.sampled_from([None, case.any((n,), "float32")]))
    length = None if window is not None and draw(st.booleans()) else np.array(n, draw(INTEGER))
    inputs = [case.any((2, 30, parts), "float32"), np.array(draw(st.integers(1, 9)), draw(INTEGER)), window, length]
    return Example(inputs, {"onesided": draw(st.integers(0, 1))}, ("float32",), constants=(1, 3))


@example("MelWeightMatrix")
def mel_weight_matrix(draw: st.DrawFn, op: str) -> Example:
    kind = draw(INTEGER)
    integers = [draw(st.integers(1, 9)), draw(st.sampled_from([1, 16, 64, 400])), draw(st.sampled_from([1000, 8192, 16000]))]
    edges = [draw(st.sampled_from([0.0, 20.0, 300.5])), draw(st.sampled_from([500.0, 4096.0, 8000.0]))]
    values = [np.array(v, kind) for v in integers] + [np.array(v, np.float32) for v in edges]
    return Example(list(values), {}, ("float32",), constants=(0, 1))


@example("BitCast")
def bit_cast(draw: st.DrawFn, op: str) -> Example:
    source, target = draw(st.permutations(draw(st.sampled_from([("float32", "int32"), ("int8", "uint8")]))))
    source = "bool" if target == "uint8" and draw(st.booleans()) else source
    return Example([Case(draw(SEEDS)).any((3, 5), source)], {}, (target,))
