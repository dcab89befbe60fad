"""Masked weights in training: what a ``Mask`` op is in a torch module."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

GradientScope = Literal["kept", "pruned", "all"]


class _Mask(torch.autograd.Function):
    """y = w * mask (or w); the gradient reaches the kept elements, the pruned ones, or all."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, mask: Tensor, unmasked: bool, scope: GradientScope, scores: Tensor | None) -> Tensor:
        ctx.save_for_backward(w, mask, scores)
        ctx.gradient_scope = scope
        return w.clone() if unmasked else w * mask

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        w, mask, scores = ctx.saved_tensors
        if scores is not None:  # movement pruning: dL/dS = dL/dW' * W (Sanh et al. 2020, section 4), summed
            scores.sub_(grad * w)
        flowing = grad if ctx.gradient_scope == "all" else grad * (mask if ctx.gradient_scope == "kept" else ~mask)
        return flowing, None, None, None, None


class MaskWeight(nn.Module):
    """A weight without its pruned elements.

    Attributes:
        mask: bool buffer, the shape of the weight.
        scores: float buffer, what movement pruning ranks by; empty unless ``watch`` was called.
        unmasked: let all elements through, pruned ones too: the teacher's view of the same weights.
        gradient_scope: which elements the gradient reaches.
    """

    mask: Tensor
    scores: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask.bool())
        self.register_buffer("scores", torch.zeros(0))
        self.unmasked, self.gradient_scope = False, "kept"

    def watch(self) -> None:
        """Sum scores for movement pruning."""
        self.scores = torch.zeros(self.mask.shape, device=self.mask.device)

    def forward(self, w: Tensor) -> Tensor:
        scores = self.scores if self.scores.numel() and self.training else None
        return _Mask.apply(w, self.mask, self.unmasked, self.gradient_scope, scores)  # type: ignore[no-any-return]
