"""Padding, which convolutions and pools share."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor


def padding(
    auto_pad: str, pads: list[int] | None, size: Any, kernel: list[int], strides: list[int], dilations: list[int]
) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis."""
    n = len(kernel)
    if auto_pad in ("NOTSET", ""):
        given = pads or [0] * (2 * n)
        return given[:n], given[n:]
    if auto_pad == "VALID":
        return [0] * n, [0] * n
    before, after = [], []
    for s, k, step, d in zip(size, kernel, strides, dilations, strict=True):
        total = max(0, (-(-s // step) - 1) * step + (k - 1) * d + 1 - s)
        first = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
        before.append(first)
        after.append(total - first)
    return before, after


def pad_axes(x: Tensor, before: list[int], after: list[int], value: float) -> Tensor:
    """``x`` with ``value`` around it: so much before and after each of its last axes."""
    flat = [n for b, a in zip(reversed(before), reversed(after), strict=True) for n in (b, a)]
    return F.pad(x, flat, value=value) if any(flat) else x
