"""Quantizers as plain functions; pairs of them become modules in ``convert``."""

from __future__ import annotations

import torch
from torch import Tensor

from qgraph.errors import QGraphError
from qgraph.execute.quantizers import fake_quantize_codebook, fake_quantize_tokens, spread
from qgraph.execute.tensors import dtype_of
from qgraph.execute.torch_ops.registry import op

RANGES = {torch.int8: (-128, 127), torch.uint8: (0, 255), torch.int16: (-32768, 32767), torch.uint16: (0, 65535)}


@op("QuantizeLinear")
def quantize_linear(
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Tensor:
    kind = zero.dtype if zero is not None else dtype_of(output_dtype) if output_dtype else torch.uint8
    if kind not in RANGES:
        raise QGraphError(f"QuantizeLinear to {kind} has no torch form here")
    s = spread(scale if scale.numel() > 1 else scale.reshape(()), x.shape, axis, block_size)
    z = 0 if zero is None else spread(zero.float() if zero.numel() > 1 else zero.float().reshape(()), x.shape, axis, block_size)
    return torch.clamp(torch.round(x.float() / s.float()) + z, *RANGES[kind]).to(kind)


@op("DequantizeLinear")
def dequantize_linear(
    x: Tensor, scale: Tensor, zero: Tensor | None = None, axis: int = 1, block_size: int = 0, output_dtype: int = 0
) -> Tensor:
    s = spread(scale if scale.numel() > 1 else scale.reshape(()), x.shape, axis, block_size)
    codes = x.to(torch.int32)
    if zero is not None:
        whole = zero.to(torch.int32)
        codes = codes - spread(whole if zero.numel() > 1 else whole.reshape(()), x.shape, axis, block_size)
    return codes.to(s.dtype) * s if not output_dtype else (codes.to(s.dtype) * s).to(dtype_of(output_dtype))


@op("DynamicQuantizeLinear", returns_tuple=True)
def dynamic_quantize_linear(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
    scale = (high - low) / 255
    zero = torch.round(torch.clamp(-low / scale, 0, 255))
    return torch.clamp(torch.round(x / scale) + zero, 0, 255).to(torch.uint8), scale, zero.to(torch.uint8)


@op("MatMulInteger")
def matmul_integer(a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None) -> Tensor:
    left, right = a.to(torch.int32), b.to(torch.int32)
    if a_zero is not None:
        left = left - (a_zero.to(torch.int32)[..., None] if a_zero.ndim else a_zero.to(torch.int32))
    if b_zero is not None:
        right = right - b_zero.to(torch.int32)
    return torch.matmul(left, right)


op("FakeQuantizeTokens", domain="qgraph")(fake_quantize_tokens)
op("FakeQuantizeCodebook", domain="qgraph")(fake_quantize_codebook)
op("Mask", domain="qgraph")(torch.mul)
