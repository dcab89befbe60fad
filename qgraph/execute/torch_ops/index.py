"""Ops that make shapes, types, ranges and indices."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.execute.tensors import dtype_of
from qgraph.execute.torch_ops.registry import Numbers, ints, number, op


@op("Shape", returns_numbers=True)
def shape_of(x: Tensor, start: int = 0, end: int | None = None) -> tuple[int, ...]:
    return tuple(x.shape[start:end])


@op("Size", returns_numbers=True)
def size_of(x: Tensor) -> int:
    return math.prod(x.shape)


@op("ConstantOfShape", static=(0,), like=True)
def constant_of_shape(shape: Numbers, value: Any = 0.0, dtype: torch.dtype = torch.float32, *, like: Tensor) -> Tensor:
    return torch.full(ints(shape), value, dtype=dtype, device=like.device)


@op("Range", static=(0, 1, 2), like=True)
def range_of(start: Any, limit: Any, delta: Any, *, like: Tensor) -> Tensor:
    kinds = [v.dtype for v in (start, limit, delta) if isinstance(v, Tensor)]
    numbers = [number(v) for v in (start, limit, delta)]
    kind = kinds[0] if kinds else torch.int64 if all(isinstance(v, int) for v in numbers) else torch.float32
    return torch.arange(*numbers, dtype=kind, device=like.device)


@op("OneHot", static=(1,))
def one_hot(index: Tensor, depth: Numbers, values: Tensor, axis: int = -1) -> Tensor:
    count = int(number(depth))
    place = index.to(torch.int64) % count
    inside = (index >= -count) & (index < count)
    hit = (F.one_hot(place, count).bool() & inside[..., None]).movedim(-1, axis)
    return torch.where(hit, values[1], values[0])


@op("EyeLike")
def eye_like(x: Tensor, k: int = 0, dtype: int | None = None) -> Tensor:
    rows, columns = x.shape
    kind = x.dtype if dtype is None else dtype_of(dtype)
    hit = torch.arange(columns, device=x.device)[None] - torch.arange(rows, device=x.device)[:, None] == k
    return hit.to(kind)


@op("NonZero")
def non_zero(x: Tensor) -> Tensor:
    return torch.nonzero(x).T


def _arg(x: Tensor, axis: int, keepdims: int, select_last_index: int, largest: bool) -> Tensor:
    best = x.amax(axis, True) if largest else x.amin(axis, True)
    hit = (x == best).to(torch.uint8)
    if select_last_index:
        found = x.shape[axis] - 1 - hit.flip(axis).argmax(axis, bool(keepdims))
    else:
        found = hit.argmax(axis, bool(keepdims))  # the first of equals
    return found


@op("ArgMax")
def arg_max(x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    return _arg(x, axis, keepdims, select_last_index, True)


@op("ArgMin")
def arg_min(x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    return _arg(x, axis, keepdims, select_last_index, False)


@op("TopK", static=(1,), returns_tuple=True)
def top_k(x: Tensor, k: Numbers, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Tensor, Tensor]:
    order = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    count = number(k)
    return order.values.narrow(axis, 0, count), order.indices.narrow(axis, 0, count)
