"""A tensor with a border, which convolutions and pools share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pad_axes(x: Tensor, before: list[int], after: list[int], value: float) -> Tensor:
    """``x`` with ``value`` around it: so much before and after each of its last axes."""
    flat = [n for b, a in zip(reversed(before), reversed(after), strict=True) for n in (b, a)]
    return F.pad(x, flat, value=value) if any(flat) else x
