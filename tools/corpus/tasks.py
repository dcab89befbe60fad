"""What the answers of a model are worth: its float answers against those of another form of it, in the terms of its task.

A task is a function from the outputs of one batch (first the float model's) to (how many answers are right, how many there are).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

Outputs = Sequence[np.ndarray]
Count = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Task:
    """``name`` says what is counted; ``count`` compares the outputs of one batch.

    The outputs of a ``listed`` task are lists of finds in an order of their own: their elements cannot be compared one by one.
    """

    name: str
    count: Callable[[Outputs, Outputs], Count]
    listed: bool = False

    def share(self, pairs: Sequence[tuple[Outputs, Outputs]]) -> float | None:
        """Part of the right answers over all batches; None where there was none to compare."""
        right, total = np.sum([self.count(a, b) for a, b in pairs], axis=0)
        return float(right / total) if total else None


def _same(a: np.ndarray, b: np.ndarray) -> Count:
    return float(np.count_nonzero(a == b)), float(a.size)


def top_class(a: Outputs, b: Outputs) -> Count:
    """The largest entry along the last axis of the first output is the same one."""
    return _same(a[0].argmax(-1), b[0].argmax(-1))


def decision(a: Outputs, b: Outputs) -> Count:
    """A probability lies on the same side of one half."""
    return _same(a[0] > 0.5, b[0] > 0.5)


def score(a: Outputs, b: Outputs) -> Count:
    """A mean opinion score (1 to 5) is within 0.1."""
    return float(np.count_nonzero(np.abs(a[0] - b[0]) < 0.1)), float(a[0].size)


def ids(a: Outputs, b: Outputs) -> Count:
    """The first output, whole numbers, is equal."""
    return _same(a[0], b[0])


def collapse(scores: np.ndarray, blank: int) -> list[int]:
    """The labels of a CTC net from scores [time, labels]: the best of each step, repeats and blanks left out (Graves 2006)."""
    best = scores.argmax(-1)
    return [int(v) for i, v in enumerate(best) if v != blank and (i == 0 or v != best[i - 1])]


def _texts(a: np.ndarray, b: np.ndarray, blank: int) -> Count:
    return float(sum(collapse(x, blank) == collapse(y, blank) for x, y in zip(a, b, strict=True))), float(len(a))


def text(a: Outputs, b: Outputs) -> Count:
    """The text that scores [batch, time, labels] spell, the first label blank, is equal."""
    return _texts(a[0], b[0], 0)


def phonemes(a: Outputs, b: Outputs) -> Count:
    """As ``text``, the last label blank."""
    return _texts(a[0], b[0], a[0].shape[-1] - 1)


def letters(a: Outputs, b: Outputs) -> Count:
    """As ``phonemes``, of scores [time, batch, labels]."""
    return _texts(a[0].swapaxes(0, 1), b[0].swapaxes(0, 1), a[0].shape[-1] - 1)


def notes(a: Outputs, b: Outputs) -> Count:
    """Of the cells where either says that a note sounds (the second output over one half), those where both do."""
    x, y = a[1] > 0.5, b[1] > 0.5
    return float(np.count_nonzero(x & y)), float(np.count_nonzero(x | y))


def mask(a: Outputs, b: Outputs) -> Count:
    """Intersection and union of the places where a probability map passes 0.3, as text detectors cut it."""
    x, y = a[0] > 0.3, b[0] > 0.3
    return float(np.count_nonzero(x & y)), float(np.count_nonzero(x | y))


def overlap(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with boxes, corners x1, y1, x2, y2."""
    low, high = np.maximum(one[:2], many[:, :2]), np.minimum(one[2:4], many[:, 2:4])
    both = np.prod(np.maximum(0, high - low), axis=1)
    return both / (np.prod(one[2:4] - one[:2]) + np.prod(many[:, 2:4] - many[:, :2], axis=1) - both + 1e-9)


def suppressed(boxes: np.ndarray, least: float = 0.25, most: float = 0.45) -> np.ndarray:
    """Rows x1, y1, x2, y2, score, class that are left of [n, 6] when each row drops lower ones of its class that overlap it."""
    boxes = boxes[boxes[:, 4] > least]
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    kept: list[np.ndarray] = []
    for row in boxes:
        rivals = [k for k in kept if k[5] == row[5]]
        if not rivals or overlap(row, np.array(rivals)).max() < most:
            kept.append(row)
    return np.array(kept).reshape(-1, 6)


def found(a: np.ndarray, b: np.ndarray) -> Count:
    """Boxes of ``a`` that have one of their class in ``b`` with an overlap of one half."""
    right = sum(bool(len(same := b[b[:, 5] == row[5]]) and overlap(row, same).max() > 0.5) for row in a)
    return float(right), float(len(a))


def corners(prediction: np.ndarray) -> np.ndarray:
    """Predictions [4 + classes, places] of a YOLO: centre, size and a score a class -> rows x1, y1, x2, y2, score, class."""
    centre, half, scores = prediction[:2].T, prediction[2:4].T / 2, prediction[4:].T
    return np.column_stack([centre - half, centre + half, scores.max(1), scores.argmax(1)])


def boxes(a: Outputs, b: Outputs) -> Count:
    """Boxes of a YOLO [batch, 4 + classes, places] that are found again."""
    counts = [found(suppressed(corners(x)), suppressed(corners(y))) for x, y in zip(a[0], b[0], strict=True)]
    return tuple(np.sum(counts, axis=0))  # type: ignore[return-value]


def chosen(a: Outputs, b: Outputs) -> Count:
    """Boxes [batch, n, 6] that the model has chosen itself (x1, y1, x2, y2, score, class) and that are found again."""
    counts = [found(x[x[:, 4] > 0.25], y[y[:, 4] > 0.25]) for x, y in zip(a[0], b[0], strict=True)]
    return tuple(np.sum(counts, axis=0))  # type: ignore[return-value]


def rows(a: Outputs, b: Outputs) -> Count:
    """As ``chosen``, of rows [n, 6] whose number is the model's choice."""
    return found(a[0], b[0])


def pixels(a: Outputs, b: Outputs) -> Count:
    """The largest of scores [batch, classes, height, width] is the same one."""
    return _same(a[0].argmax(1), b[0].argmax(1))


def none(a: Outputs, b: Outputs) -> Count:
    """Only values are compared."""
    return 0.0, 0.0


TASKS = {
    "values": Task("", none),
    "class": Task("top class equal", top_class),
    "decision": Task("decision equal", decision),
    "score": Task("score within 0.1", score),
    "ids": Task("ids equal", ids),
    "text": Task("text equal", text),
    "phonemes": Task("phonemes equal", phonemes),
    "letters": Task("text equal", letters),
    "notes": Task("overlap of notes", notes),
    "mask": Task("overlap of masks", mask),
    "boxes": Task("boxes kept", boxes),
    "chosen": Task("boxes kept", chosen, listed=True),
    "rows": Task("boxes kept", rows, listed=True),
    "pixels": Task("pixels equal", pixels),
}
