"""Resize, as a weight matrix an axis (ONNX's definition covers more than ``torch.nn.functional.interpolate``), and sampling."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.errors import QGraphError
from qgraph.execute.torch_ops.registry import Numbers, ints, op


def _floats(x: Any) -> list[float] | None:
    values = x.tolist() if isinstance(x, Tensor) else x
    return [float(v) for v in values] if values is not None and len(values) else None


@op("Resize", static=(1, 2, 3))
def resize(
    x: Tensor,
    roi: Any = None,
    scales: Any = None,
    sizes: Numbers | None = None,
    antialias: int = 0,
    axes: list[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    along = [a % x.ndim for a in axes] if axes else list(range(x.ndim))
    factors, wanted, window = _floats(scales), ints(sizes), _floats(roi)
    if factors is None:
        factors = [w / x.shape[a] for w, a in zip(wanted, along, strict=True)]
        if keep_aspect_ratio_policy != "stretch":
            one = (min if keep_aspect_ratio_policy == "not_larger" else max)(factors)
            factors = [one] * len(factors)
            wanted = [math.floor(one * x.shape[a] + 0.5) for a in along]
    else:
        sizes_of = torch.tensor([x.shape[a] for a in along], dtype=torch.float32) * torch.tensor(factors, dtype=torch.float32)
        wanted = sizes_of.floor().to(torch.int64).tolist()  # in float32, as in ONNX Runtime: 10 * 0.7 is 7, in double it is less
    outside = []
    for i, (axis, new, factor) in enumerate(zip(along, wanted, factors, strict=True)):
        size = x.shape[axis]
        crop = (window[i], window[i + len(along)]) if window else (0.0, 1.0)
        if new == size and factor == 1 and crop == (0.0, 1.0):
            continue
        place = _places(coordinate_transformation_mode, size, new, factor, crop)
        if coordinate_transformation_mode == "tf_crop_and_resize":
            outside.append((axis, (place < 0) | (place > size - 1)))
        if mode == "nearest":
            x = x.index_select(axis, _nearest(place, nearest_mode).clamp(0, size - 1).to(x.device))
        else:
            weight = _weights(place, size, mode, cubic_coeff_a, bool(exclude_outside), min(1.0, factor) if antialias else 1.0)
            x = torch.tensordot(x, weight.to(x), ([axis], [1])).movedim(-1, axis)
    for axis, mask in outside:
        form = [-1 if d == axis else 1 for d in range(x.ndim)]
        x = torch.where(mask.reshape(form).to(x.device), torch.full_like(x, extrapolation_value), x)
    return x


def _places(how: str, size: int, new: int, factor: float, crop: tuple[float, float]) -> Tensor:
    """Where in the input each output lies, in float32 as in ONNX Runtime and torch: 3 / 0.6 is 5, in double it is less."""
    place = torch.arange(new, dtype=torch.float32)
    length = size * factor  # before rounding down
    if how == "half_pixel":
        return (place + 0.5) / factor - 0.5
    if how == "half_pixel_symmetric":
        middle = size / 2 * (1 - new / length)
        return middle + (place + 0.5) / factor - 0.5
    if how == "pytorch_half_pixel":
        return (place + 0.5) / factor - 0.5 if length > 1 else torch.zeros_like(place)
    if how == "align_corners":
        return place * (size - 1) / (length - 1) if length != 1 else torch.zeros_like(place)
    if how == "asymmetric":
        return place / factor
    if how == "tf_crop_and_resize":
        first, last = crop
        if new > 1:
            return first * (size - 1) + place * (last - first) * (size - 1) / (new - 1)
        return torch.full_like(place, 0.5 * (first + last) * (size - 1))
    raise QGraphError(f"Resize has coordinates {how!r}, which have no torch form; use half_pixel")


def _nearest(place: Tensor, how: str) -> Tensor:
    rounded = {
        "round_prefer_floor": torch.ceil(place - 0.5),
        "round_prefer_ceil": torch.floor(place + 0.5),
        "floor": torch.floor(place),
        "ceil": torch.ceil(place),
    }[how]
    return rounded.to(torch.int64)


def _kernel(mode: str, a: float, distance: Tensor) -> Tensor:
    d = distance.abs()
    if mode == "linear":
        return (1 - d).clamp(min=0)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def _weights(place: Tensor, size: int, mode: str, a: float, exclude: bool, stretch: float) -> Tensor:
    """[out, in]: how much of each input an output takes; what falls outside goes to the border, or is left out."""
    reach = math.ceil((1 if mode == "linear" else 2) / stretch) + 1
    offsets = torch.arange(-reach, reach + 1)
    base = place.floor().to(torch.int64)[:, None] + offsets
    weight = _kernel(mode, a, (base - place[:, None]) * stretch)
    if exclude:
        weight = torch.where((base < 0) | (base >= size), torch.zeros_like(weight), weight)
    if exclude or stretch != 1:
        weight = weight / weight.sum(1, keepdim=True)
    full = torch.zeros(len(place), size, dtype=weight.dtype)
    return full.scatter_add(1, base.clamp(0, size - 1), weight)


@op("GridSample")
def grid_sample(x: Tensor, grid: Tensor, mode: str = "linear", padding_mode: str = "zeros", align_corners: int = 0) -> Tensor:
    how = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return F.grid_sample(x, grid, how, padding_mode, bool(align_corners))


@op("AffineGrid", static=(1,))
def affine_grid(theta: Tensor, size: Numbers, align_corners: int = 0) -> Tensor:
    return F.affine_grid(theta, ints(size), bool(align_corners))
