"""Matrix products."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.execute.torch_ops.registry import op


@op("MatMul")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight + bias`` with the weight as ONNX holds it, [in, out]."""
    return F.linear(x, weight.t(), bias)


@op("Gemm")
def gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0
) -> Tensor:
    left, right = a.t() if transA else a, b if transB else b.t()
    if alpha == 1 and beta == 1 and (c is None or (c.ndim == 1 and c.shape[0] == right.shape[0])) and a.is_floating_point():
        return F.linear(left, right, c)
    product = (left @ right.t()) * alpha if alpha != 1 else left @ right.t()
    return product.to(a.dtype) if c is None else (product + (c * beta if beta != 1 else c)).to(a.dtype)


@op("Einsum")
def einsum(*xs: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation.replace(" ", ""), *xs)
