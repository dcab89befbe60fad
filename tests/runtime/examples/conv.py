"""Conv and ConvTranspose."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.runtime.examples.example import OUTPUTS, SEEDS, Case, Example, example
from tests.runtime.examples.pool import sizes_for, windows

CHANNELS = [(1, 5, 1), (3, 4, 1), (7, 18, 1), (4, 6, 2), (6, 6, 6), (45, 45, 45), (3, 6, 3)]


@example("Conv")
def conv(draw: st.DrawFn, op: str) -> Example:
    seed, spatial, dtype = draw(SEEDS), draw(st.integers(1, 2)), draw(OUTPUTS)
    case, window = Case(seed), draw(windows(spatial))
    inputs, outputs, group = draw(st.sampled_from(CHANNELS))
    size = sizes_for(window, draw(st.lists(st.integers(0, 9), min_size=spatial, max_size=spatial)))
    arrays = [
        case.codes((2, *size, inputs)),
        case.codes((outputs, *window["kernel"], inputs // group), "int8"),
        case.factors(outputs, 1e-2),
        case.rng.integers(-(2**20), 2**20, outputs).astype(np.int32) if seed % 3 else None,
    ]
    attributes: dict[str, Any] = {
        **{k: window[k] for k in ("strides", "dilations")},
        "pads": window["begin"] + window["end"],
        "group": group,
        "x_zero": case.zero(),
        **case.output(dtype),
    }
    bits = (8, 4, 2)[seed // 12 % 3]
    if bits < 8:
        arrays[1] = case.weights(arrays[1].shape, bits)  # type: ignore[union-attr]
        attributes |= case.levels(bits, arrays)
    if seed % 2:
        steps = zip(size, window["begin"], window["end"], window["dilations"], window["kernel"], window["strides"], strict=True)
        places = [(n + b + e - d * (k - 1) - 1) // s + 1 for n, b, e, d, k, s in steps]
        kind, middle = ("uint8", "int16")[:: 1 if seed % 4 == 1 else -1]
        residual, more = case.residual((2, *places, outputs), kind, middle)
        arrays, attributes = [*arrays, residual], attributes | more
    return Example(arrays, attributes, (dtype,), constants=(1, 2, 3), bits=bits)


@example("ConvTranspose")
def conv_transpose(draw: st.DrawFn, op: str) -> Example:
    seed, spatial, dtype = draw(SEEDS), draw(st.integers(1, 2)), draw(OUTPUTS)
    case, window = Case(seed), draw(windows(spatial))
    inputs, outputs, group = draw(st.sampled_from([(3, 4, 1), (4, 6, 2)]))
    size = tuple(draw(st.integers(3, 7)) for _ in range(spatial))
    bits = (8, 4, 2)[seed // 12 % 3]
    arrays = [
        case.codes((2, *size, inputs)),
        case.weights((inputs, *window["kernel"], outputs // group), bits),
        case.factors(outputs, 1e-2),
        case.rng.integers(-(2**20), 2**20, outputs).astype(np.int32) if seed % 3 else None,
    ]
    begin = [min(1, b) for b in window["begin"]]
    attributes = {
        **{k: window[k] for k in ("strides", "dilations")},
        "pads": begin + [0] * spatial,
        "output_padding": [min(e, s - 1) for e, s in zip(window["end"], window["strides"], strict=True)],
        "group": group,
        "x_zero": case.zero(),
        **case.levels(bits, arrays),
        **case.output(dtype),
    }
    return Example(arrays, attributes, (dtype,), constants=(1, 2, 3), bits=bits)
