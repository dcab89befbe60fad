"""Choosing boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from qgraph.execute.torch_ops.registry import Numbers, number, op


def _corners(boxes: Tensor, centred: int) -> tuple[Tensor, Tensor]:
    """Lower and upper corners [n, 2] of boxes [n, 4]: two corners in any order, or centre and size."""
    a, b = boxes[:, :2], boxes[:, 2:]
    return (a - b / 2, a + b / 2) if centred else (torch.minimum(a, b), torch.maximum(a, b))


def _kept(low: Tensor, high: Tensor, order: Tensor, most: int, overlap: float) -> list[int]:
    """Indices of the boxes that stay, best first: one that overlaps a better one by more than ``overlap`` goes."""
    area = (high - low).prod(1)
    kept: list[int] = []
    for i in order.tolist():
        if len(kept) == most:
            break
        both = (torch.minimum(high[i], high[kept]) - torch.maximum(low[i], low[kept])).clamp(min=0).prod(1)
        if not bool((both > overlap * (area[i] + area[kept] - both)).any()):
            kept.append(i)
    return kept


@op("NonMaxSuppression", static=(2, 3, 4))
def non_max_suppression(
    boxes: Tensor,
    scores: Tensor,
    most: Numbers | None = None,
    overlap: float | None = None,
    least: float | None = None,
    center_point_box: int = 0,
) -> Tensor:
    """boxes [batch, n, 4], scores [batch, classes, n] -> int64 [kept, 3]: batch, class and box, best first in each class."""
    limit, threshold = int(number(most) or 0), number(least)
    rows: list[list[int]] = []
    for image, corners in enumerate(boxes):
        low, high = _corners(corners, center_point_box)
        for label, values in enumerate(scores[image]):
            order = torch.argsort(values, descending=True, stable=True)
            order = order if threshold is None else order[values[order] > threshold]
            rows += [[image, label, i] for i in _kept(low, high, order, limit, float(number(overlap) or 0.0))]
    return torch.tensor(rows, dtype=torch.int64, device=boxes.device).reshape(-1, 3)
