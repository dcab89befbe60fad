"""Pools, reductions over axes and running sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.execute.torch_ops.conv import CONVS
from qgraph.execute.torch_ops.padding import pad_axes
from qgraph.execute.torch_ops.registry import Numbers, ints, number, op
from qgraph.ir.padding import padding

MAX_POOLS: dict[int, Any] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def _window_counts(
    size: Any, before: list[int], after: list[int], kernel: list[int], strides: list[int], dilations: list[int], ceil: int
) -> list[int]:
    """Outputs along each axis; a window that would start in the padding behind the end is dropped."""
    counts = []
    for s, b, a, k, step, d in zip(size, before, after, kernel, strides, dilations, strict=True):
        room = s + b + a - d * (k - 1) - 1
        count = (-(-room // step) if ceil else room // step) + 1
        if ceil and (count - 1) * step >= s + b:
            count -= 1
        counts.append(count)
    return counts


def _pool_input(
    x: Tensor,
    kernel: list[int],
    auto_pad: str,
    pads: list[int] | None,
    strides: list[int] | None,
    dilations: list[int] | None,
    ceil: int,
    value: float,
) -> tuple[Tensor, list[int], list[int], list[int]]:
    """The padded input that windows without padding cover exactly; padding before, strides, dilations."""
    n = len(kernel)
    steps, spread = strides or [1] * n, dilations or [1] * n
    size = list(x.shape[2:])
    before, after = padding(auto_pad, pads, size, kernel, steps, spread)
    counts = _window_counts(size, before, after, kernel, steps, spread, ceil)
    ends = [(c - 1) * t + d * (k - 1) + 1 for c, t, d, k in zip(counts, steps, spread, kernel, strict=True)]
    padded = pad_axes(x, before, [max(0, e - s - b) for e, s, b in zip(ends, size, before, strict=True)], value)
    return padded, before, steps, spread


@op("MaxPool", returns_tuple=True)
def max_pool(
    x: Tensor,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    storage_order: int = 0,
    strides: list[int] | None = None,
    *,
    outputs: int = 1,
) -> tuple[Tensor, ...]:
    n = len(kernel_shape)
    even = pads is None or (pads[:n] == pads[n:] and all(2 * p <= k for p, k in zip(pads, kernel_shape, strict=False)))
    if outputs == 1 and even and not ceil_mode and auto_pad in ("NOTSET", "VALID") and x.is_floating_point():
        return (MAX_POOLS[n](x, kernel_shape, strides or 1, pads[:n] if pads else 0, dilations or 1),)
    low = float("-inf") if x.is_floating_point() else torch.iinfo(x.dtype).min
    values = x if x.is_floating_point() else x.float()
    low = low if x.is_floating_point() else float(low)
    padded, before, steps, spread = _pool_input(values, kernel_shape, auto_pad, pads, strides, dilations, ceil_mode, low)
    y, index = MAX_POOLS[n](padded, kernel_shape, steps, 0, spread, False, True)
    place, factor, flat = index, 1, torch.zeros_like(index)
    sizes, order = list(padded.shape[2:]), reversed(range(n))
    coordinates = [place] * n
    for axis in order:
        coordinates[axis] = place % sizes[axis] - before[axis]
        place = place // sizes[axis]
    for axis in range(n) if storage_order else reversed(range(n)):
        flat = flat + coordinates[axis] * factor
        factor *= x.shape[2 + axis]
    outer = torch.arange(x.shape[0] * x.shape[1], device=x.device).reshape(x.shape[0], x.shape[1], *[1] * n)
    return y.to(x.dtype), flat + outer * factor


@op("AveragePool")
def average_pool(
    x: Tensor,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    args = (kernel_shape, auto_pad, pads, strides, dilations, ceil_mode, 0.0)
    padded, before, steps, spread = _pool_input(x, *args)
    total = _window_sum(padded, kernel_shape, steps, spread)
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    if count_include_pad:  # the padding that was asked for counts, what rounding up adds does not
        n = len(kernel_shape)
        _, after = padding(auto_pad, pads, x.shape[2:], kernel_shape, steps, spread)
        ones = pad_axes(ones, before, after, 1)
        grown = [p - o for p, o in zip(padded.shape[2:], ones.shape[2:], strict=True)]
        ones = pad_axes(ones, [0] * n, [max(0, g) for g in grown], 0)
        for axis in range(n):
            ones = ones.narrow(axis + 2, 0, padded.shape[axis + 2])
    else:
        ones = _pool_input(ones, *args)[0]
    return total / _window_sum(ones, kernel_shape, steps, spread)


def _window_sum(x: Tensor, kernel: list[int], strides: list[int], dilations: list[int]) -> Tensor:
    c, n = x.shape[1], len(kernel)
    if all(d == 1 for d in dilations):
        pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[n]
        return pool(x, kernel, strides) * math.prod(kernel)  # type: ignore[operator, no-any-return]
    weight = torch.ones((c, 1, *kernel), dtype=x.dtype, device=x.device)
    return CONVS[n](x, weight, None, strides, 0, dilations, c)  # type: ignore[operator, no-any-return]


@op("LpPool")
def lp_pool(
    x: Tensor,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    p: int = 2,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    padded, _, steps, spread = _pool_input(x.abs() ** p, kernel_shape, auto_pad, pads, strides, dilations, ceil_mode, 0.0)
    return _window_sum(padded, kernel_shape, steps, spread) ** (1 / p)


@op("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


@op("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def _reduced(name: str, reduce: Callable[[Tensor, list[int], bool], Tensor]) -> None:
    def run(
        x: Tensor, given: Numbers | None = None, axes: Numbers | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0
    ):  # type: ignore[no-untyped-def]
        over = [a % max(1, x.ndim) for a in ints(axes if given is None else given)]
        if not over:
            if noop_with_empty_axes:
                return elementwise(x)
            over = list(range(x.ndim))
        return reduce(x, over, bool(keepdims))

    def elementwise(x: Tensor) -> Tensor:  # the reduction of single elements
        return reduce(x.unsqueeze(-1), [x.ndim], False)

    run.__name__ = name
    op(name, static=(1,))(run)


def _sum(x: Tensor, over: list[int], keep: bool) -> Tensor:
    return torch.sum(x, over, keep, dtype=x.dtype) if over else x


def _prod(x: Tensor, over: list[int], keep: bool) -> Tensor:
    for axis in sorted(over, reverse=True):
        x = torch.prod(x, axis, keep, dtype=x.dtype)
    return x


def _extreme(which: str) -> Callable[[Tensor, list[int], bool], Tensor]:
    def run(x: Tensor, over: list[int], keep: bool) -> Tensor:
        if any(x.shape[a] == 0 for a in over):
            info = None if x.dtype == torch.bool else torch.finfo(x.dtype) if x.is_floating_point() else torch.iinfo(x.dtype)
            low = False if info is None else float("-inf") if x.is_floating_point() else info.min
            high = True if info is None else float("inf") if x.is_floating_point() else info.max
            shape = [1 if a in over else d for a, d in enumerate(x.shape) if keep or a not in over]
            return torch.full(shape, low if which == "amax" else high, dtype=x.dtype, device=x.device)
        if x.dtype == torch.bool:
            return run(x.to(torch.uint8), over, keep).bool()
        return getattr(torch, which)(x, over, keep) if x.ndim else x  # type: ignore[no-any-return]

    return run


_reduced("ReduceSum", _sum)


_reduced("ReduceMean", lambda x, over, keep: torch.mean(x, over, keep) if over else x)


_reduced("ReduceProd", _prod)


_reduced("ReduceMax", _extreme("amax"))


_reduced("ReduceMin", _extreme("amin"))


_reduced("ReduceL1", lambda x, over, keep: _sum(torch.abs(x), over, keep))


_reduced("ReduceL2", lambda x, over, keep: torch.sqrt(_sum(x * x, over, keep).float()).to(x.dtype))


_reduced("ReduceSumSquare", lambda x, over, keep: _sum(x * x, over, keep))


_reduced("ReduceLogSum", lambda x, over, keep: torch.log(_sum(x, over, keep)))


_reduced("ReduceLogSumExp", lambda x, over, keep: torch.logsumexp(x, over, keep) if over else x)


@op("CumSum", static=(1,))
def cum_sum(x: Tensor, axis: Numbers, exclusive: int = 0, reverse: int = 0) -> Tensor:
    along = number(axis)
    if reverse:
        return cum_sum(x.flip(along), along, exclusive).flip(along)
    summed = torch.cumsum(x, along, dtype=x.dtype)
    return summed - x if exclusive else summed


@op("CumProd", static=(1,))
def cum_prod(x: Tensor, axis: Numbers, exclusive: int = 0, reverse: int = 0) -> Tensor:
    along = number(axis)
    if reverse:
        return cum_prod(x.flip(along), along, exclusive).flip(along)
    if exclusive:
        ones = torch.ones_like(x.narrow(along, 0, min(1, x.shape[along])))
        x = torch.cat([ones, x.narrow(along, 0, max(0, x.shape[along] - 1))], along)
    return torch.cumprod(x, along, dtype=x.dtype)


@op("GlobalLpPool")
def global_lp_pool(x: Tensor, p: int = 2) -> Tensor:
    return (x.abs() ** p).sum(tuple(range(2, x.ndim)), keepdim=True) ** (1 / p)


@op("MaxUnpool", static=(2,))
def max_unpool(
    x: Tensor,
    indices: Tensor,
    output_shape: Numbers | None = None,
    *,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    n = len(kernel_shape)
    before, after, steps = (pads or [0] * 2 * n)[:n], (pads or [0] * 2 * n)[n:], strides or [1] * n
    places = zip(x.shape[2:], steps, kernel_shape, before, after, strict=True)
    size = [*x.shape[:2], *((s - 1) * t + k - b - e for s, t, k, b, e in places)]
    y = torch.zeros(math.prod(size), dtype=x.dtype, device=x.device).scatter(0, indices.reshape(-1), x.reshape(-1)).reshape(size)
    if output_shape is None:
        return y
    return pad_axes(y, [0] * n, [wanted - had for wanted, had in zip(ints(output_shape)[2:], size[2:], strict=True)], 0)
