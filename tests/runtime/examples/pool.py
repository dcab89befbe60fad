"""MaxPool, AveragePool, ReduceMean, ReduceMax, CumSum."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.runtime.examples.example import KINDS, OUTPUTS, SEEDS, Case, Example, example


@st.composite
def windows(draw: st.DrawFn, spatial: int) -> dict[str, list[int]]:
    each = {"kernel": (1, 4), "strides": (1, 3), "dilations": (1, 2), "begin": (0, 2), "end": (0, 2)}
    return {k: draw(st.lists(st.integers(*limits), min_size=spatial, max_size=spatial)) for k, limits in each.items()}


def sizes_for(window: dict[str, list[int]], room: list[int]) -> tuple[int, ...]:
    """Input sizes that hold at least one window."""
    parts = zip(window["kernel"], window["dilations"], window["begin"], window["end"], room, strict=True)
    return tuple(max(1, d * (k - 1) + 1 - b - e) + r for k, d, b, e, r in parts)


@example("MaxPool", "AveragePool")
def pool(draw: st.DrawFn, op: str) -> Example:
    case, spatial, kind, dtype = Case(draw(SEEDS)), draw(st.integers(1, 2)), draw(KINDS), draw(OUTPUTS)
    window = draw(windows(spatial))
    window["begin"] = [min(b, k - 1) for b, k in zip(window["begin"], window["kernel"], strict=True)]
    window["end"] = [min(e, k - 1) for e, k in zip(window["end"], window["kernel"], strict=True)]
    size = sizes_for(window, draw(st.lists(st.integers(0, 6), min_size=spatial, max_size=spatial)))
    attributes: dict[str, Any] = {
        **{k: window[k] for k in ("kernel", "strides", "dilations")},
        "pads": window["begin"] + window["end"],
        "ceil": draw(st.integers(0, 1)),
        "count_include_pad": draw(st.integers(0, 1)),
    }
    if op == "AveragePool":
        attributes |= {"x_zero": case.zero(kind), "multiplier": case.factor(1.0), **case.output(dtype)}
    return Example([case.codes((2, *size, 3), kind)], attributes, (dtype if op == "AveragePool" else kind,))


@example("ReduceMean")
def reduce_mean(draw: st.DrawFn, op: str) -> Example:
    case, axes, kind, dtype = Case(draw(SEEDS)), draw(st.sets(st.integers(0, 3), min_size=1)), draw(KINDS), draw(OUTPUTS)
    attributes = {
        "axes": sorted(axes),
        "keepdims": draw(st.integers(0, 1)),
        "x_zero": case.zero(kind),
        "multiplier": case.factor(1.0),
        **case.output(dtype),
    }
    return Example([case.codes((2, 3, 5, 4), kind)], attributes, (dtype,))


@example("ReduceMax")
def reduce_max(draw: st.DrawFn, op: str) -> Example:
    case, axes, kind = Case(draw(SEEDS)), draw(st.sets(st.integers(0, 3), min_size=1)), draw(KINDS)
    attributes = {"axes": sorted(axes), "keepdims": draw(st.integers(0, 1))}
    return Example([case.codes((2, 3, 5, 4), kind)], attributes, (kind,))


@example("CumSum", "CumProd")
def running(draw: st.DrawFn, op: str) -> Example:
    case, kind, axis = Case(draw(SEEDS)), draw(st.sampled_from(["float32", "int64", "int32"])), draw(st.integers(-3, 2))
    attributes = {"exclusive": draw(st.integers(0, 1)), "reverse": draw(st.integers(0, 1))}
    shape = draw(st.sampled_from([(2, 4, 3), (1, 1, 5), (2, 0, 3)]))
    return Example(
        [case.any(shape, kind), np.array(axis, draw(st.sampled_from(["int64", "int32"])))], attributes, (kind,), constants=(1,)
    )
