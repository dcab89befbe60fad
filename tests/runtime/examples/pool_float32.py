"""Pools and reductions of every type that they take."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops.pool_float32 import GLOBAL_POOLS, REDUCTIONS
from tests.runtime.examples.example import SEEDS, Case, Example, example
from tests.runtime.examples.index import types
from tests.runtime.examples.movement import int64
from tests.runtime.examples.pool import sizes_for, windows


def numbers(draw: st.DrawFn, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Elements of a type; some of float32 are NaN, infinite or a zero of either sign."""
    case = Case(draw(SEEDS))
    x = np.asarray(case.any(shape, kind))
    if kind == "float32" and draw(st.booleans()):
        odd = case.rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32), shape)
        x = np.where(case.rng.random(shape) < 0.02, odd, x)
    return x


SHAPES = st.sampled_from([(2, 3, 5, 4), (3, 37), (130, 70), (2, 3, 1, 17, 2), (4, 0, 3), (1, 5), (7,), (), (3, 70, 2)])


@example(*(spec.op_type if spec.op_type not in ("ReduceMax", "ReduceMean") else f"ai.onnx.{spec.op_type}" for spec in REDUCTIONS))
def reduction(draw: st.DrawFn, op: str) -> Example:
    kind, shape = draw(st.sampled_from(types(op.removeprefix("ai.onnx.")))), draw(SHAPES)
    axes = sorted(draw(st.sets(st.integers(-len(shape), -1)))) if shape else []
    attributes = {"keepdims": draw(st.integers(0, 1)), "noop_with_empty_axes": draw(st.integers(0, 1))}
    given = None if not axes and draw(st.booleans()) else int64(*axes)
    return Example([numbers(draw, shape, kind), given], attributes, (kind,), constants=(1,))


@example(*(spec.op_type for spec in GLOBAL_POOLS))
def global_pool(draw: st.DrawFn, op: str) -> Example:
    shape = draw(st.sampled_from([(2, 3, 5, 4), (2, 3), (1, 70, 9), (2, 2, 2, 3, 4), (2, 3, 0)]))
    attributes = {"p": draw(st.integers(1, 5))} if op == "GlobalLpPool" else {}
    return Example([numbers(draw, shape, "float32")], attributes, ("float32",))


@example("ai.onnx.MaxPool", "ai.onnx.AveragePool", "LpPool")
def pool(draw: st.DrawFn, op: str) -> Example:
    spatial, kind = draw(st.integers(1, 3)), draw(st.sampled_from(types(op.removeprefix("ai.onnx."))))
    window = draw(windows(spatial))
    size = sizes_for(window, draw(st.lists(st.integers(0, 8), min_size=spatial, max_size=spatial)))
    attributes: dict[str, Any] = {
        "kernel_shape": window["kernel"],
        "auto_pad": draw(st.sampled_from([0, 0, 1, 2, 3])),
        "ceil_mode": draw(st.integers(0, 1)),
        "pads": window["begin"] + window["end"],
    }
    if attributes["auto_pad"]:  # which must fit without them
        size = tuple(s + b + e for s, b, e in zip(size, window["begin"], window["end"], strict=True))
    attributes |= draw(st.sampled_from([{}, {"strides": window["strides"]}]))
    if draw(st.booleans()):
        attributes["dilations"] = window["dilations"]
    option, high = {"ai.onnx.AveragePool": ("count_include_pad", 1), "LpPool": ("p", 4)}.get(op, ("storage_order", 1))
    attributes[option] = draw(st.integers(op == "LpPool", high))
    indices = ("int64",) if op == "ai.onnx.MaxPool" and draw(st.booleans()) else ()
    x = numbers(draw, (2, 2, *size), kind)
    return Example([np.round(x) if kind == "float32" and draw(st.booleans()) else x], attributes, (kind, *indices))


@example("MaxUnpool")
def max_unpool(draw: st.DrawFn, op: str) -> Example:
    case, given = Case(draw(SEEDS)), draw(st.booleans())
    attributes = {"kernel_shape": [2, 3], "strides": [2, 1], "pads": draw(st.sampled_from([[0, 0, 0, 0], [0, 1, 1, 0]]))}
    size = (2, 3, 4, 6) if not any(attributes["pads"]) else (2, 3, 3, 5)
    indices = case.rng.integers(0, np.prod(size), (2, 3, 2, 4))
    shape = int64(2, 3, 4, 7) if given else None
    return Example([case.any(indices.shape, "float32"), indices, shape], attributes, ("float32",), constants=(2,))


@example("MaxRoiPool")
def max_roi_pool(draw: st.DrawFn, op: str) -> Example:
    case, n = Case(draw(SEEDS)), draw(st.integers(0, 4))
    rois = np.concatenate([case.rng.integers(0, 2, (n, 1)), case.rng.uniform(-3, 25, (n, 4)).round(1)], 1).astype(np.float32)
    attributes = {"pooled_shape": draw(st.lists(st.integers(1, 4), min_size=2, max_size=2))}
    attributes |= draw(st.sampled_from([{}, {"spatial_scale": 0.5}]))
    return Example([numbers(draw, (2, 3, 9, 11), "float32"), rois], attributes, ("float32",))
