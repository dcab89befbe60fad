"""Attention, whose products and softmax ``convert`` joins in one call."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attention(q: Tensor, k_transposed: Tensor, v: Tensor, mask: Tensor | None = None, scale: float = 1.0) -> Tensor:
    """``softmax(q @ k_transposed * scale + mask) @ v``, fused; q [b, h, n, d], mask broadcast over [b, h, n, m]."""
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(q.dtype)
    return F.scaled_dot_product_attention(q, k_transposed.transpose(-1, -2), v, mask, scale=scale)
