"""Resize."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops import AspectRatio, GridPadding, Interpolation, ResizeCoordinates, ResizeNearest
from tests.runtime.examples.example import KINDS, OUTPUTS, SEEDS, Case, Example, example


@example("Resize")
def resize(draw: st.DrawFn, op: str) -> Example:
    case, axes, linear, kind, dtype = Case(draw(SEEDS)), draw(st.integers(1, 2)), draw(st.booleans()), draw(KINDS), draw(OUTPUTS)
    old = case.rng.integers(1, 8, axes)
    scales = case.rng.choice([0.5, 1, 1.5, 2, 3.25], axes).astype(np.float32)
    target = case.rng.integers(1, 12, axes) if draw(st.booleans()) else scales
    attributes = {
        "linear": int(linear),
        "coordinates": int(draw(st.sampled_from(list(ResizeCoordinates)[:4]))),
        "nearest": int(draw(st.sampled_from(ResizeNearest))),
        "x_zero": case.zero(kind),
    }
    if linear:
        attributes |= {"multiplier": case.factor(1.0), **case.output(dtype)}
    x = case.codes((2, 3, *(int(n) for n in old)), kind)
    return Example([x, target], attributes, (dtype if linear else kind,), constants=(1,))


@example("ai.onnx.Resize")
def onnx_resize(draw: st.DrawFn, op: str) -> Example:
    case, rank, mode = Case(draw(SEEDS)), draw(st.integers(1, 5)), draw(st.sampled_from(Interpolation))
    shape = tuple(int(n) for n in case.rng.integers(1, 7, rank))
    kind = draw(st.sampled_from(["float32", "uint8", "int64", "bool"])) if mode == Interpolation.NEAREST else "float32"
    coordinates, by_scale = draw(st.sampled_from(ResizeCoordinates)), draw(st.booleans())
    axes = draw(st.none() | st.lists(st.integers(-rank, -1), min_size=1, unique=True))
    n = rank if axes is None else len(axes)
    scales = case.rng.choice([0.3, 0.5, 0.7, 1, 1, 1.1, 1.5, 2, 3.25], n).astype(np.float32)
    sizes = case.rng.integers(0 if draw(st.booleans()) else 1, 12, n)
    roi = case.rng.uniform([-0.2] * n + [0.5] * n, [0.4] * n + [1.2] * n).astype(np.float32)
    crops = coordinates == ResizeCoordinates.TF_CROP_AND_RESIZE and draw(st.booleans())
    inputs = [case.any(shape, kind), roi if crops else None, *([scales] if by_scale else [None, sizes])]
    attributes = {
        "mode": int(mode),
        "coordinate_transformation_mode": int(coordinates),
        "nearest_mode": int(draw(st.sampled_from(ResizeNearest))),
        "keep_aspect_ratio_policy": 0 if by_scale or 0 in sizes else int(draw(st.sampled_from(AspectRatio))),
        "antialias": draw(st.integers(0, 1)),
        "exclude_outside": draw(st.integers(0, 1)),
        "cubic_coeff_a": draw(st.sampled_from([-0.75, -0.5])),
        "extrapolation_value": draw(st.sampled_from([0.0, -7.5, 1000.0])),
        **({} if axes is None else {"axes": axes}),
    }
    return Example(inputs, attributes, (kind,), constants=(1, 2, 3))


@example("GridSample")
def grid_sample(draw: st.DrawFn, op: str) -> Example:
    case, mode = Case(draw(SEEDS)), draw(st.sampled_from(Interpolation))
    axes = 2 if mode == Interpolation.CUBIC else draw(st.integers(2, 3))
    x = case.any((2, draw(st.integers(1, 3)), *(int(n) for n in case.rng.integers(1, 6, axes))), "float32")
    grid = case.rng.uniform(-2, 2, (2, *case.rng.integers(0, 5, axes), axes))
    if draw(st.booleans()):
        grid = np.round(grid * 2) / 2
    attributes = {
        "mode": int(mode),
        "padding_mode": int(draw(st.sampled_from(GridPadding))),
        "align_corners": draw(st.integers(0, 1)),
    }
    return Example([x, grid.astype(np.float32)], attributes, ("float32",))


@example("AffineGrid")
def affine_grid(draw: st.DrawFn, op: str) -> Example:
    case, axes = Case(draw(SEEDS)), draw(st.integers(2, 3))
    theta = case.rng.standard_normal((2, axes, axes + 1)).astype(np.float32)
    size = np.array([2, 3, *case.rng.integers(0, 6, axes)])
    return Example([theta, size], {"align_corners": draw(st.integers(0, 1))}, ("float32",), constants=(1,))
