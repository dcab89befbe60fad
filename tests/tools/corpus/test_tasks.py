"""Measures of tasks on answers whose worth is known."""

from __future__ import annotations

import numpy as np
import pytest
from qgraph.tools.corpus import tasks
from qgraph.tools.corpus.tasks import TASKS

ROWS = np.array([[0, 0, 10, 10, 0.9, 1], [20, 20, 40, 40, 0.8, 0], [1, 1, 11, 11, 0.7, 1], [1, 1, 11, 11, 0.6, 0]], np.float32)


def test_collapse_leaves_repeats_and_blanks_out() -> None:
    scores = np.eye(4)[[1, 1, 0, 1, 2, 2, 0, 3]]
    assert tasks.collapse(scores, 0) == [1, 1, 2, 3]
    assert tasks.collapse(scores, 3) == [1, 0, 1, 2, 0]


def test_overlap_of_boxes() -> None:
    # the second box shares half of its area of 100: 50 / (100 + 100 - 50)
    got = tasks.overlap(np.array([0.0, 0, 10, 10]), np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10]]))
    np.testing.assert_allclose(got, [1, 1 / 3, 0], atol=1e-6)


def test_a_box_drops_lower_ones_of_its_class_only() -> None:
    kept = tasks.suppressed(ROWS)
    np.testing.assert_array_equal(kept[:, 4], ROWS[[0, 1, 3], 4])


def test_boxes_below_the_least_score_do_not_count() -> None:
    assert len(tasks.suppressed(ROWS * [1, 1, 1, 1, 0.2, 1])) == 0


def test_a_box_is_found_again_by_class_and_place() -> None:
    assert tasks.found(ROWS, ROWS) == (4, 4)
    assert tasks.found(ROWS[:1], np.array([[0, 0, 10, 10, 0.9, 2]])) == (0, 1)
    assert tasks.found(ROWS[:1], np.array([[8, 8, 18, 18, 0.9, 1]])) == (0, 1)


def test_corners_of_a_yolo() -> None:
    prediction = np.array([[5.0], [6], [4], [2], [0.1], [0.7]])
    np.testing.assert_allclose(tasks.corners(prediction), [[3, 5, 7, 7, 0.7, 1]])


@pytest.mark.parametrize(
    ("name", "a", "b", "share"),
    [
        ("class", np.eye(4), np.eye(4)[[0, 1, 2, 2]], 0.75),
        ("decision", np.array([0.4, 0.6]), np.array([0.6, 0.7]), 0.5),
        ("score", np.array([3.0, 4.0]), np.array([3.05, 4.2]), 0.5),
        ("ids", np.array([1, 2, 3]), np.array([1, 0, 3]), 2 / 3),
        ("mask", np.array([0.9, 0.9, 0.0]), np.array([0.9, 0.0, 0.9]), 1 / 3),
        ("text", np.eye(3)[None, [1, 0, 2]], np.eye(3)[None, [1, 2, 2]], 1.0),
        ("phonemes", np.eye(3)[None, [1, 2, 0]], np.eye(3)[None, [1, 1, 1]], 0.0),
        ("letters", np.eye(3)[[1, 2, 0]][:, None], np.eye(3)[[1, 1, 0]][:, None], 1.0),
        ("pixels", np.eye(2)[None, :, :, None], 1 - np.eye(2)[None, :, :, None], 0.0),
        ("chosen", ROWS[None], ROWS[None, :1], 0.5),
        ("rows", ROWS, ROWS[1:2], 0.25),
        ("values", np.ones(3), np.zeros(3), None),
    ],
)
def test_share(name: str, a: np.ndarray, b: np.ndarray, share: float | None) -> None:
    got = TASKS[name].share([([a], [b])])
    assert got == share if share is None else got == pytest.approx(share)


def test_share_counts_over_all_batches() -> None:
    right, wrong = np.eye(2), 1 - np.eye(2)
    assert TASKS["class"].share([([right], [right]), ([right[:1]], [wrong[:1]])]) == pytest.approx(2 / 3)


def test_notes_and_boxes_look_at_their_outputs() -> None:
    sounding = np.array([0.9, 0.9, 0.1])
    assert TASKS["notes"].share([([sounding, sounding], [1 - sounding, sounding])]) == 1
    prediction = np.array([[5.0], [6], [4], [2], [0.1], [0.7]])[None]
    assert TASKS["boxes"].share([([prediction], [prediction])]) == 1
    assert TASKS["boxes"].share([([prediction], [prediction * 0.1])]) == 0
