"""Choosing boxes, and reading regions of pictures."""

from __future__ import annotations

import math

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


def _points(first: Tensor, last: Tensor, bins: int, count: int, half: bool, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the points [bins * count] of a region along one axis: their neighbours, the weight of the upper one, whether they lie
    on the picture."""
    extent = last - first if half else (last - first).clamp(min=1)
    count = count or max(0, math.ceil(float(extent) / bins))
    places = torch.arange(bins, device=first.device)[:, None] + (torch.arange(count, device=first.device) + 0.5) / max(1, count)
    at = (first + places * (extent / bins)).reshape(-1)
    inside = (at >= -1) & (at <= size)
    at = at.clamp(0, size - 1)
    low = at.floor().to(torch.int64).clamp(max=max(0, size - 1))
    return low, (low + 1).clamp(max=size - 1), at - low, inside


@op("RoiAlign")
def roi_align(
    x: Tensor,
    rois: Tensor,
    batches: Tensor,
    mode: str = "avg",
    coordinate_transformation_mode: str = "half_pixel",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    """x [N, C, H, W], rois [R, 4] -> [R, C, output_height, output_width]. The largest of "max" is that of weighted corners, as in
    ONNX Runtime."""
    half = coordinate_transformation_mode == "half_pixel"
    made = []
    for roi, batch in zip(rois * spatial_scale - (0.5 if half else 0.0), batches.tolist(), strict=True):
        rows = _points(roi[1], roi[3], output_height, sampling_ratio, half, x.shape[2])
        columns = _points(roi[0], roi[2], output_width, sampling_ratio, half, x.shape[3])
        inside = rows[3][:, None] & columns[3]
        corners = []
        for i, u in ((rows[0], 1 - rows[2]), (rows[1], rows[2])):
            for j, v in ((columns[0], 1 - columns[2]), (columns[1], columns[2])):
                corners.append(x[batch][:, i][:, :, j] * (u[:, None] * v * inside))
        every = torch.stack(corners)  # [4, C, rows, columns]
        form = (*every.shape[:2], output_height, -1, output_width, len(columns[0]) // output_width)
        cells = every.reshape(form) if every.numel() else every.new_zeros((*every.shape[:2], output_height, 1, output_width, 1))
        made.append(cells.amax((0, 3, 5)) if mode == "max" else cells.sum(0).mean((2, 4)))
    return torch.stack(made) if made else x.new_zeros((0, x.shape[1], output_height, output_width))
