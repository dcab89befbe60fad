"""Reductions over axes, and what searches along one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qgraph.execute.ops.registry import Numbers, ints, number, op


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


@op("CumSum", static=(1,))
def cum_sum(x: Tensor, axis: Numbers, exclusive: int = 0, reverse: int = 0) -> Tensor:
    along = number(axis)
    if reverse:
        return cum_sum(x.flip(along), along, exclusive).flip(along)
    summed = torch.cumsum(x, along, dtype=x.dtype)
    return summed - x if exclusive else summed


@op("TopK", static=(1,))
def top_k(x: Tensor, k: Numbers, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Tensor, Tensor]:
    order = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    count = number(k)
    return order.values.narrow(axis, 0, count), order.indices.narrow(axis, 0, count)
