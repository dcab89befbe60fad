"""Fake quantization with its gradients: what a Q/DQ pair is while a graph is trained.

Forward (ONNX ``QuantizeLinear`` then ``DequantizeLinear``, float steps in the same order, so that a trained graph computes
what ONNX Runtime computes from its export)::

    c = clamp(round(x / s) + z, qmin, qmax) ;  y = (c - z) * s

Gradients: straight-through inside the range, zero outside (Bengio et al. 2013); with ``learn`` also of the step size (LSQ,
Esser et al. 2020) and of the offset (LSQ+, Bhalgat et al. 2020), of PACT's clipping value (Choi et al. 2018) where the range
is one-sided.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from qgraph.numerics.affine import IntType

Ranges = Literal["fixed", "learned", "learned-offset", "minmax", "observe", "pact"]
LEAST = 1e-3
"""Least learned step, as a part of the first one: a step near zero would need a bias of more than 32 bits."""
MOMENTUM = 0.05
"""Part of a new batch's extremes in the running ones of ``observe``."""


def spread(parameter: Tensor, shape: torch.Size, axis: int | None, block: int) -> Tensor:
    """``parameter`` (a scalar, a vector along ``axis``, or one entry a ``block``) made to broadcast against ``shape``."""
    if axis is None or parameter.ndim == 0:
        return parameter
    if block:
        return parameter.repeat_interleave(block, axis).narrow(axis, 0, shape[axis])
    return parameter.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])


def round_stochastic(x: Tensor) -> Tensor:
    """Round up with the probability of the fraction; the mean of many roundings is ``x``."""
    low = torch.floor(x)
    return low + (torch.rand_like(x) < x - low)


class _Quantize(torch.autograd.Function):
    """y = (clamp(round(x / s) + z) - z) * s; gradients of x, s and z."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: Tensor, qmin: int, qmax: int, stochastic: bool) -> Tensor:
        ratio = x / scale
        low, high = qmin - zero, qmax - zero
        rounded = round_stochastic(ratio) if stochastic else torch.round(ratio)
        codes = torch.minimum(torch.maximum(rounded, low), high)
        ctx.save_for_backward(ratio, codes, scale, low, high)
        return codes * scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        ratio, codes, scale, low, high = ctx.saved_tensors
        inside = (ratio >= low) & (ratio <= high)
        for_x = grad * inside if ctx.needs_input_grad[0] else None
        for_scale = for_zero = None
        if ctx.needs_input_grad[1]:  # LSQ, equation 3: round(x / s) - x / s inside, the clamped code outside
            for_scale = (grad * torch.where(inside, codes - ratio, codes)).sum_to_size(scale.shape)
        if ctx.needs_input_grad[2]:  # outside the range y = (q - z) s moves with z
            for_zero = torch.where(inside, torch.zeros_like(grad), -grad * scale).sum_to_size(low.shape)
        return for_x, for_scale, for_zero, None, None, None


def fake_quantize(
    x: Tensor,
    scale: Tensor,
    zero: Tensor,
    kind: IntType,
    axis: int | None = None,
    block: int = 0,
    *,
    stochastic: bool = False,
    extremes: Tensor | None = None,
) -> Tensor:
    """Quantize ``x`` and back.

    Args:
        x: float tensor of any shape.
        scale: float, > 0: a scalar, a vector along ``axis``, or with ``block`` one entry a block of ``axis``.
        zero: zero points as floats, shaped like ``scale``.
        kind: the integer type.
        extremes: takes the least and the greatest element of ``x`` [2], for quantizers of one scale.
    """
    if not stochastic and _fusible(x, scale, zero):
        return _Fused.apply(x.contiguous(), scale, zero, kind.qmin, kind.qmax, axis, block, extremes)  # type: ignore[no-any-return]
    if extremes is not None:
        extremes.copy_(torch.stack(torch.aminmax(x.detach())))
    s, z = spread(scale, x.shape, axis, block), spread(zero, x.shape, axis, block)
    return _Quantize.apply(x, s, z, kind.qmin, kind.qmax, stochastic)  # type: ignore[no-any-return]


_NOTHING = torch.empty(0)


class _Fused(torch.autograd.Function):
    """The same on the CPU with one pass over memory forward and one backward; zero points are not learned."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        zero: Tensor,
        qmin: int,
        qmax: int,
        axis: int | None,
        block: int,
        extremes: Tensor | None,
    ) -> Tensor:
        from qgraph import _runtime

        layout = _layout(x.shape, scale, axis, block)
        y = torch.empty_like(x)
        watched = _NOTHING if extremes is None else extremes
        _runtime.fake_quantize(x.detach(), scale.detach(), zero, layout, qmin, qmax, y, watched, torch.get_num_threads())
        ctx.save_for_backward(x, scale, zero)
        ctx.facts = layout, qmin, qmax
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        from qgraph import _runtime

        x, scale, zero = ctx.saved_tensors
        layout, qmin, qmax = ctx.facts
        for_x, for_scale = torch.empty_like(x), torch.empty_like(scale)
        arrays = (grad.contiguous(), x.detach(), scale.detach(), zero)
        _runtime.fake_quantize_backward(*arrays, layout, qmin, qmax, for_x, for_scale, torch.get_num_threads())
        return for_x, for_scale, None, None, None, None, None, None


def _layout(shape: torch.Size, scale: Tensor, axis: int | None, block: int) -> list[int]:
    """[outer, axis, inner, scales along the axis, block], as the compiled kernel wants it."""
    if axis is None or scale.ndim == 0:
        return [1, 1, math.prod(shape), 1, 0]
    at = axis % len(shape)
    outer, inner = math.prod(shape[:at]), math.prod(shape[at + 1 :])
    return [outer, shape[at], inner, scale.shape[at] if block else scale.shape[0], block]


def _fusible(x: Tensor, scale: Tensor, zero: Tensor) -> bool:
    """Whether the compiled kernel takes these tensors."""
    plain = type(x) in (Tensor, nn.Parameter) and type(scale) in (Tensor, nn.Parameter)
    return (
        plain
        and not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and all(t.dtype == torch.float32 and t.is_contiguous() for t in (scale, zero))
        and not zero.requires_grad
        and x.numel() > 0
    )


class _ScaleGradient(torch.autograd.Function):
    """Identity whose gradient is multiplied by a constant (LSQ, section 2.2)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad * ctx.factor, None


class FakeQuantize(nn.Module):
    """The quantizer of one value; its buffers or parameters are what the Q/DQ pair of the graph holds.

    Args:
        scale, zero: as in ``fake_quantize``.
        ranges: ``fixed``; ``learned`` (LSQ: the step is a parameter); ``learned-offset`` (LSQ+: the zero point too);
            ``minmax`` (symmetric, from the tensor itself in every forward: for weights); ``observe`` (running extremes of the
            batches before, for activations of one range; Jacob et al. 2018, section 3.1; 16-bit values, whose steps are
            1/65536 of the range, pass as they are in training); ``pact`` (the upper clipping value learns
            through the values beyond it only, one-sided ranges).
        stochastic: round stochastically in training.

    ``frozen = True`` stops ranges that learn or move.
    """

    def __init__(
        self,
        scale: Tensor,
        zero: Tensor,
        kind: IntType,
        axis: int | None = None,
        block: int = 0,
        ranges: Ranges = "fixed",
        stochastic: bool = False,
    ) -> None:
        super().__init__()
        self.kind, self.axis, self.block, self.ranges, self.stochastic = kind, axis, block, ranges, stochastic
        self.frozen = False
        self.register_buffer("least", scale.clone() * LEAST, persistent=False)
        if ranges in ("learned", "learned-offset", "pact"):
            self.scale: Tensor = nn.Parameter(scale.clone())
        else:
            self.register_buffer("scale", scale.clone())
        if ranges == "learned-offset":
            self.zero: Tensor = nn.Parameter(zero.float())
        else:
            self.register_buffer("zero", zero.float())

    @torch.no_grad()
    def _observe(self, extremes: Tensor) -> None:
        """Move the range towards a batch's least and greatest element; it always holds 0, and stays symmetric where it was."""
        low, high = (self.kind.qmin - self.zero) * self.scale, (self.kind.qmax - self.zero) * self.scale
        low = torch.lerp(low, extremes[0], MOMENTUM).clamp(max=0)
        high = torch.lerp(high, extremes[1], MOMENTUM).clamp(min=0)
        if self.kind.signed and self.kind.bits == 16:
            self.scale.copy_((torch.maximum(-low, high) / self.kind.qmax).clamp(min=torch.finfo(torch.float32).tiny))
            return
        self.scale.copy_(((high - low) / (self.kind.qmax - self.kind.qmin)).clamp(min=torch.finfo(torch.float32).tiny))
        self.zero.copy_(torch.round(self.kind.qmin - low / self.scale).clamp(self.kind.qmin, self.kind.qmax))

    def effective_scale(self) -> Tensor:
        """The step size in use: learned ones stay positive."""
        return torch.maximum(self.scale.abs(), self.least) if isinstance(self.scale, nn.Parameter) else self.scale  # type: ignore[arg-type]

    def _step(self, x: Tensor) -> Tensor:
        if self.ranges == "minmax":
            if not self.frozen:
                self.scale.copy_(symmetric_scale(x.detach(), self.kind, self.scale, self.axis, self.block))
            return self.scale.clone()
        if self.ranges in ("fixed", "observe") or self.frozen:
            # a copy: the next call of a shared quantizer moves the range, and backward reads this one
            return self.effective_scale().detach().clone()
        count = x.numel() / max(1, self.scale.numel())
        factor = 1.0 if self.ranges == "pact" else 1 / math.sqrt(count * max(1, self.kind.qmax))
        return _ScaleGradient.apply(self.effective_scale(), factor)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        watching = self.ranges == "observe" and self.training and not self.frozen and x.numel() > 0
        if watching and self.kind.bits == 16:  # a step is 1/65536 of the range: training only has to know the range
            self._observe(torch.stack(torch.aminmax(x.detach().float())))
            return x
        extremes = torch.empty(2, device=x.device) if watching else None
        stochastic = self.stochastic and self.training
        zero = self.zero.detach().clone() if self.frozen or self.ranges != "learned-offset" else _round_through(self.zero)
        step = self._step(x)
        if self.ranges == "pact":  # alpha = s (qmax - z): y depends on it only beyond the clip (PACT, equation 3)
            s, z = spread(step, x.shape, self.axis, self.block), spread(zero, x.shape, self.axis, self.block)
            high = s * (self.kind.qmax - z)
            x, step = torch.where(x > high, high, x), step.detach()
        y = fake_quantize(x.float(), step, zero, self.kind, self.axis, self.block, stochastic=stochastic, extremes=extremes)
        if extremes is not None:
            self._observe(extremes)
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.kind.name}, axis={self.axis}, block={self.block}, ranges={self.ranges}"


def _round_through(x: Tensor) -> Tensor:
    return x + (torch.round(x) - x).detach()


def grouped(x: Tensor, like: Tensor, axis: int | None, block: int) -> Tensor:
    """``x`` as [\*shape of ``like``, members]: what shares one entry of ``like`` lies along the last axis, zero padded."""
    if axis is None or like.ndim == 0:
        return x.reshape(*like.shape, -1)
    if not block:
        return x.movedim(axis, 0).reshape(*like.shape, -1)
    last = x.movedim(axis, -1)
    padded = torch.nn.functional.pad(last, (0, -last.shape[-1] % block))
    return padded.reshape(*padded.shape[:-1], -1, block).movedim(-2, axis)


@torch.no_grad()
def symmetric_scale(w: Tensor, kind: IntType, like: Tensor, axis: int | None, block: int) -> Tensor:
    """max |w| / qmax, one for each entry of ``like``; 1 for a channel of zeros."""
    scale = grouped(w.abs(), like, axis, block).amax(-1) / max(1, kind.qmax)
    return torch.where(scale < torch.finfo(torch.float32).tiny, torch.ones_like(scale), scale)


@torch.no_grad()
def least_squares_scale(w: Tensor, zero: Tensor, kind: IntType, like: Tensor, axis: int | None, block: int) -> Tensor:
    """The scale among 40 parts of ``symmetric_scale`` with the least squared error, each entry on its own."""
    widest = symmetric_scale(w, kind, like, axis, block)
    best, least = widest, torch.full_like(widest, float("inf"))
    for part in torch.linspace(0.05, 1.2, 40).tolist():
        scale = widest * part
        error = grouped((fake_quantize(w, scale, zero, kind, axis, block) - w).square(), like, axis, block).sum(-1)
        best = torch.where(error < least, scale, best)
        least = torch.minimum(error, least)
    return best


class _TokenCodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        if v.device.type == "cpu" and v.dtype == torch.float32 and v.numel() and not torch.compiler.is_compiling():
            from qgraph import _runtime

            x = v.detach().contiguous()
            y = torch.empty_like(x)
            _runtime.fake_quantize_tokens(x, x.shape[-1], y, torch.get_num_threads())
            return y
        low, high = torch.aminmax(v, dim=-1, keepdim=True)
        peak = torch.maximum(-low, high)
        inverse = 127.0 / torch.where(peak == 0, torch.ones_like(peak), peak)
        return (v * inverse).round_().mul_(peak / 127.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad


def fake_quantize_tokens(x: Tensor, channel: Tensor | None = None) -> Tensor:
    """``FakeQuantizeTokens``: dynamic symmetric int8 of each row of the last axis, straight-through; no channel is all ones."""
    return _TokenCodes.apply(x.float() if channel is None else x.float() * channel).to(x.dtype)  # type: ignore[no-any-return]


class _Codebook(torch.autograd.Function):
    """y = table[i] * scale with i the nearest entry; gradients of the weights (straight through) and of the table."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, table: Tensor, scale: Tensor) -> Tensor:
        # searchsorted on the middles takes the lower of two at equal distance
        index = torch.bucketize(w.detach() / scale, (table[:-1] + table[1:]) / 2)
        ctx.save_for_backward(index, scale, table)
        return table[index] * scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        index, scale, table = ctx.saved_tensors
        for_table = None
        if ctx.needs_input_grad[1]:  # Polino et al. 2018, section 3.2: the sum over the weights that chose the level
            for_table = torch.zeros_like(table).index_add_(0, index.reshape(-1), (grad * scale).reshape(-1))
        return grad if ctx.needs_input_grad[0] else None, for_table, None


def fake_quantize_codebook(w: Tensor, levels: Tensor, scale: Tensor) -> Tensor:
    """``FakeQuantizeCodebook``: ``w`` [any shape] takes the nearest of ``levels`` [points], int8 codes, times ``scale``."""
    whole = torch.sort(levels).values
    whole = whole + (torch.clamp(torch.round(whole), -128, 127) - whole).detach()
    return _Codebook.apply(w, whole, scale)  # type: ignore[no-any-return]


def bucket_quantize(w: Tensor, bits: int, bucket: int = 256, *, stochastic: bool = False) -> Tensor:
    """Linear scaling a bucket of consecutive weights (Polino et al. 2018, section 2.1), straight-through.

    v = (w - min) / (max - min) in [0, 1] a bucket; v^ = round(v L) / L with L = 2**bits - 1; w^ = (max - min) v^ + min.
    The last bucket may be shorter; ``bucket`` 0 takes the whole tensor; a bucket of equal values is kept.
    """
    flat = w.reshape(-1)
    size = bucket or flat.numel()
    pad = -flat.numel() % size
    rows = torch.cat([flat, flat[-1:].expand(pad)]).reshape(-1, size).detach()
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    width = torch.where(high > low, high - low, torch.ones_like(low))
    levels = 2**bits - 1
    ratio = (rows - low) / width * levels
    codes = round_stochastic(ratio) if stochastic else torch.round(ratio)
    found = (codes / levels * width + low).reshape(-1)[: flat.numel()].reshape(w.shape)
    return w + (found - w).detach()
