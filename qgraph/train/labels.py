"""Labels are class numbers, one for each row of scores; what is something else is refused before any step."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir
from torch import Tensor

from qgraph.data import LABEL
from qgraph.errors import QGraphError
from qgraph.train.data import Arrays, Listed, Samples, chunks

IGNORED = -100
"""The label of what has none: torch's ``ignore_index``. Losses and metrics leave it out."""
SAMPLE_WEIGHTS = ("weight", "weights", "sample_weight", "sample_weights", "class_weight")
"""Keys under which people keep the weights of samples, which no loss takes."""
CHUNK = 256


def classes_second(scores: Tensor, labels: Tensor) -> Tensor:
    """Scores with their classes on axis 1: [B, C, ...] as they come, [B, ..., C] with the last axis moved.

    Raises:
        QGraphError: there is not one label for each row of scores.
    """
    if labels.shape == scores.shape[:1] + scores.shape[2:]:
        return scores
    if labels.shape == scores.shape[:-1]:
        return scores.movedim(-1, 1)
    raise QGraphError(_misfit(tuple(labels.shape), tuple(scores.shape), "the data"))


def check_labels(samples: Samples, model: ir.Model, where: str) -> None:
    """Refuse labels of ``samples`` that do not fit the scores which ``model`` gives; none at all are the reader's to refuse.

    Of samples that are not in arrays only a first piece is checked, for they may be slow to read.

    Raises:
        QGraphError: labels are not whole numbers, no classes of the model, or not one a row; ``where`` names them.
    """
    labels = _labels(samples) if len(samples) else None
    if labels is None:
        return
    shape = model.graph.outputs[0].shape
    scores = None if shape is None else tuple(d if isinstance(d, int) else str(d) for d in shape)
    _check_values(labels, None if scores is None else _classes(labels.shape, scores, where), where)


def check_sample_weights(batch: Iterable[str], read: set[str]) -> None:
    """Refuse weights of samples: they would have no effect."""
    for name in batch:
        if name in SAMPLE_WEIGHTS and name not in read:
            raise QGraphError(
                f"the data has {name!r}, which no model of the recipe reads, and no loss weighs samples; take it out of the data"
            )


def _labels(samples: Samples) -> np.ndarray | None:
    source = samples.samples if isinstance(samples, Listed) else samples
    if isinstance(source, Arrays):
        found = source.arrays.get(LABEL)
    else:
        found = samples.batch(chunks(samples, CHUNK)[0]).get(LABEL)
    return None if found is None else np.asarray(found)


def _classes(labels: tuple[int, ...], scores: tuple[int | str, ...], where: str) -> int | None:
    """The number of classes; None where the graph does not say it."""
    fits = lambda dims: all(not isinstance(d, int) or d == n for d, n in zip(dims, labels[1:], strict=True))  # noqa: E731
    if len(scores) < 2 or len(labels) != len(scores) - 1:
        raise QGraphError(_misfit(labels, scores, where))
    for axis in (1, len(scores) - 1):
        if fits(scores[1:axis] + scores[axis + 1 :]):
            count = scores[axis]
            return count if isinstance(count, int) else None
    raise QGraphError(_misfit(labels, scores, where))


def _check_values(labels: np.ndarray, classes: int | None, where: str) -> None:
    if labels.dtype.kind not in "iufb":
        raise QGraphError(f"{where} is of type {labels.dtype}; give class numbers as integers")
    if labels.dtype.kind == "f" and (wrong := np.argwhere(~(labels == np.rint(labels)))).size:
        place = tuple(wrong[0])
        raise QGraphError(f"{where} has {labels[place]} at sample {place[0]}; give class numbers as integers")
    outside = (labels < 0) & (labels != IGNORED)
    if classes is not None:
        outside |= labels >= classes
    if (wrong := np.argwhere(outside)).size:
        place = tuple(wrong[0])
        known = f"classes 0 to {classes - 1}" if classes is not None else "classes from 0"
        raise QGraphError(f"{where} has {int(labels[place])} at sample {place[0]}, and the model has {known}; correct it")


def _misfit(labels: tuple[int, ...], scores: tuple[int | str, ...], where: str) -> str:
    shown = "[" + ", ".join(map(str, scores)) + "]"
    remedy = "give one class number for each row of scores"
    if len(labels) == len(scores) and labels[-1] == 1:
        remedy += ": labels[:, 0]"
    elif len(labels) == len(scores) and labels[-1] == scores[-1]:
        remedy += ": they seem one-hot, give labels.argmax(-1)"
    return f"{where} has labels of shape {list(labels)} for scores of shape {shown}; {remedy}"
