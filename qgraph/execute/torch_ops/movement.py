"""Ops that move, cut or join elements."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.execute.torch_ops.registry import Numbers, ints, number, op


@op("Reshape", static=(1,))
def reshape(x: Tensor, shape: Numbers, allowzero: int = 0) -> Tensor:
    wanted = ints(shape)
    if not allowzero:
        wanted = [x.shape[i] if d == 0 else d for i, d in enumerate(wanted)]
    return x.reshape(wanted)


@op("Flatten")
def flatten(x: Tensor, axis: int = 1) -> Tensor:
    at = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:at]), -1 if x.numel() else math.prod(x.shape[at:]))


@op("Squeeze", static=(1,))
def squeeze(x: Tensor, axes: Numbers | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(ints(axes)))


@op("Unsqueeze", static=(1,))
def unsqueeze(x: Tensor, axes: Numbers) -> Tensor:
    many = ints(axes)
    for axis in sorted(a % (x.ndim + len(many)) for a in many):
        x = x.unsqueeze(axis)
    return x


@op("Transpose")
def transpose(x: Tensor, perm: list[int] | None = None) -> Tensor:
    return x.permute(perm if perm is not None else list(range(x.ndim))[::-1])


@op("Concat")
def concat(*xs: Tensor, axis: int) -> Tensor:
    return torch.cat(xs, axis)


@op("Split", static=(1,), returns_tuple=True)
def split(
    x: Tensor, sizes: Numbers | None = None, axis: int = 0, num_outputs: int = 0, *, outputs: int = 1
) -> tuple[Tensor, ...]:
    if sizes is not None:
        return torch.split(x, ints(sizes), axis)
    count = num_outputs or outputs
    size = -(-x.shape[axis] // count)  # as ONNX Runtime has it: the last part takes what is left, which may be nothing
    ends = [min(x.shape[axis], size * (part + 1)) for part in range(count)]
    return torch.split(x, [end - start for start, end in zip([0, *ends], ends, strict=False)], axis)


@op("Slice", static=(1, 2, 3, 4))
def slice_of(x: Tensor, starts: Numbers, ends: Numbers, axes: Numbers | None = None, steps: Numbers | None = None) -> Tensor:
    first, last = ints(starts), ints(ends)
    along = ints(axes) if axes is not None else list(range(len(first)))
    by = ints(steps) if steps is not None else [1] * len(first)
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        size = x.shape[axis]
        if step > 0:
            low, high = (max(0, v + size) if v < 0 else v for v in (start, end))
            index: list[Any] = [slice(None)] * x.ndim
            index[axis] = slice(low, high, step)
            x = x[tuple(index)]
            continue
        low = min(size - 1, start) if start >= 0 else max(-1, start + size)
        high = -1 if end < -size else min(size, end) if end >= 0 else end + size
        x = x.index_select(axis, torch.arange(low, high, step, device=x.device))
    return x


@op("Gather")
def gather(x: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    size, axis = x.shape[axis], axis % x.ndim
    if axis == 0 and x.ndim == 2 and x.is_floating_point():
        return F.embedding(torch.where(index < 0, index + size, index), x)
    flat = torch.where(index < 0, index + size, index).reshape(-1)
    return x.index_select(axis, flat).reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


@op("GatherElements")
def gather_elements(x: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    index = torch.where(index < 0, index + x.shape[axis], index).to(torch.int64)
    keep = [slice(0, index.shape[d]) if d != axis % x.ndim else slice(None) for d in range(x.ndim)]
    return torch.gather(x[tuple(keep)], axis, index)


@op("GatherND")
def gather_nd(x: Tensor, index: Tensor, batch_dims: int = 0) -> Tensor:
    depth = index.shape[-1]
    outer = [
        torch.arange(n, device=x.device).reshape([-1 if i == d else 1 for i in range(index.ndim - 1)])
        for d, n in enumerate(index.shape[:batch_dims])
    ]
    parts = [torch.where(p < 0, p + x.shape[batch_dims + i], p) for i, p in enumerate(index.unbind(-1))]
    return x[tuple(outer + parts)] if depth or outer else x


def _reduction(name: str) -> str:
    return {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}[name]


@op("ScatterElements")
def scatter_elements(x: Tensor, index: Tensor, updates: Tensor, axis: int = 0, reduction: str = "none") -> Tensor:
    index = torch.where(index < 0, index + x.shape[axis], index)
    if reduction == "none":
        return x.scatter(axis, index, updates)
    return x.scatter_reduce(axis, index, updates, _reduction(reduction), include_self=True)


@op("ScatterND")
def scatter_nd(x: Tensor, index: Tensor, updates: Tensor, reduction: str = "none") -> Tensor:
    depth = index.shape[-1]
    strides = torch.tensor([math.prod(x.shape[i + 1 : depth]) for i in range(depth)], device=x.device)
    sizes = torch.tensor(x.shape[:depth], device=x.device)
    places = (torch.where(index < 0, index + sizes, index) * strides).sum(-1).reshape(-1)
    flat = x.reshape(math.prod(x.shape[:depth]), -1)
    rows = updates.reshape(len(places), -1)
    if reduction == "none":
        return flat.index_copy(0, places, rows).reshape(x.shape)
    wide = places[:, None].expand_as(rows)
    return flat.scatter_reduce(0, wide, rows, _reduction(reduction), include_self=True).reshape(x.shape)


@op("Expand", static=(1,))
def expand(x: Tensor, shape: Numbers) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(ints(shape))))


@op("Tile", static=(1,))
def tile(x: Tensor, repeats: Numbers) -> Tensor:
    return x.repeat(ints(repeats))


@op("Pad", static=(1, 2, 3))
def pad(x: Tensor, pads: Numbers, value: Any = None, axes: Numbers | None = None, mode: str = "constant") -> Tensor:
    amounts = ints(pads)
    along = [a % x.ndim for a in ints(axes)] if axes is not None else list(range(x.ndim))
    before = dict(zip(along, amounts[: len(along)], strict=True))
    after = dict(zip(along, amounts[len(along) :], strict=True))
    if mode == "constant":
        flat = [n for axis in reversed(range(x.ndim)) for n in (before.get(axis, 0), after.get(axis, 0))]
        return F.pad(x, flat, value=0 if value is None else number(value))
    for axis in along:  # reflect, edge, wrap: an index for every place
        size = x.shape[axis]
        place = torch.arange(-before[axis], size + after[axis], device=x.device)
        if mode == "edge":
            place = place.clamp(0, size - 1)
        elif mode == "wrap":
            place = place % size
        else:
            period = max(1, 2 * (size - 1))
            place = place % period
            place = torch.where(place >= size, period - place, place)
        x = x.index_select(axis, place)
    return x


@op("Trilu", static=(1,))
def trilu(x: Tensor, k: Numbers | None = None, upper: int = 1) -> Tensor:
    diagonal = 0 if k is None else int(number(k))
    return torch.triu(x, diagonal) if upper else torch.tril(x, diagonal)


@op("DepthToSpace")
def depth_to_space(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        return x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)
    return x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // b**2, h * b, w * b)


@op("SpaceToDepth")
def space_to_depth(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    n, c, h, w = x.shape
    b = blocksize
    if mode == "CRD":
        return x.reshape(n, c, h // b, b, w // b, b).permute(0, 1, 3, 5, 2, 4).reshape(n, c * b**2, h // b, w // b)
    return x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4).reshape(n, c * b**2, h // b, w // b)


@op("ReverseSequence")
def reverse_sequence(x: Tensor, lengths: Tensor, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    place = torch.arange(x.shape[time_axis], device=x.device)
    place = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)  # [batch, time]
    place = place if batch_axis == 0 else place.T
    return x.gather(time_axis, place.reshape(*place.shape, *[1] * (x.ndim - 2)).expand_as(x))


@op("CenterCropPad", static=(1,))
def center_crop_pad(x: Tensor, shape: Numbers, axes: list[int] | None = None) -> Tensor:
    pads = [(0, 0)] * x.ndim
    for axis, length in zip(axes if axes is not None else range(x.ndim), ints(shape), strict=True):
        more = length - x.shape[axis]
        first = more // 2 if more > 0 else -(-more // 2)
        pads[axis] = (first, more - first)
    return F.pad(x, [n for pair in reversed(pads) for n in pair])


@op("TensorScatter")
def tensor_scatter(x: Tensor, update: Tensor, starts: Tensor | None = None, axis: int = -2, mode: str = "linear") -> Tensor:
    along = axis % x.ndim
    place = torch.arange(update.shape[along], device=x.device).expand(x.shape[0], -1)
    if starts is not None:
        place = place + starts[:, None]
    if mode == "circular":
        place = place % x.shape[along]
    form = [d if i in (0, along) else 1 for i, d in enumerate(update.shape)]
    return x.scatter(along, place.reshape(form).expand_as(update), update)
