"""Regions of pictures."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops import RoiCoordinates, RoiMode
from tests.runtime.examples.example import SEEDS, Case, Example, example


@example("RoiAlign")
def roi_align(draw: st.DrawFn, op: str) -> Example:
    case, n = Case(draw(SEEDS)), draw(st.integers(0, 4))
    x = case.any((2, draw(st.integers(1, 18)), *(int(v) for v in case.rng.integers(1, 9, 2))), "float32")
    rois = case.rng.uniform(-3, 12, (n, 4)).astype(np.float32)
    if draw(st.booleans()):
        rois = np.concatenate([np.minimum(rois[:, :2], rois[:, 2:]), np.maximum(rois[:, :2], rois[:, 2:])], 1)
    attributes = {
        "mode": int(draw(st.sampled_from(RoiMode))),
        "coordinate_transformation_mode": int(draw(st.sampled_from(RoiCoordinates))),
        "output_height": draw(st.integers(1, 3)),
        "output_width": draw(st.integers(1, 3)),
        "sampling_ratio": draw(st.integers(0, 3)),
        "spatial_scale": draw(st.sampled_from([1.0, 0.5, 0.3])),
    }
    return Example([x, rois, case.rng.integers(0, 2, n)], attributes, ("float32",))


@example("NonMaxSuppression")
def non_max_suppression(draw: st.DrawFn, op: str) -> Example:
    case, n, classes = Case(draw(SEEDS)), draw(st.integers(0, 12)), draw(st.integers(1, 3))
    boxes = case.rng.uniform(0, 10, (2, n, 4)).astype(np.float32)
    scores = np.round(case.rng.uniform(0, 1, (2, classes, n)), 1).astype(np.float32)  # some are equal
    limits: list[np.ndarray | None] = [
        np.array([draw(st.integers(0, 6))]),
        np.array([draw(st.sampled_from([0, 0.1, 0.5, 1]))], np.float32),
        np.array(draw(st.sampled_from([0, 0.3])), np.float32),
    ]
    for i in range(3):
        if draw(st.booleans()):
            limits[i] = None
    while limits and limits[-1] is None:
        limits.pop()
    return Example([boxes, scores, *limits], {"center_point_box": draw(st.integers(0, 1))}, ("int64",))
