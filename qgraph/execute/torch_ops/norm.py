"""Normalizations and softmax."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.errors import QGraphError
from qgraph.execute.torch_ops.registry import op


@op("BatchNormalization", training=True)
def batch_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    *,
    training: bool = False,
    outputs: int = 1,
) -> Tensor | tuple[Tensor, ...]:
    """In training the batch's statistics are used and the running ones updated in place."""
    if outputs == 1:
        return F.batch_norm(x, mean, var, scale, bias, training, 1 - momentum, epsilon)
    over = [i for i in range(x.ndim) if i != 1]
    now = [momentum * old + (1 - momentum) * new for old, new in ((mean, x.mean(over)), (var, x.var(over, unbiased=False)))]
    return F.batch_norm(x, None, None, scale, bias, True, 0.0, epsilon), *now


def _whole(v: Tensor, shape: torch.Size) -> Tensor:
    return v if v.shape == shape else v.expand(shape)


@op("LayerNormalization")
def layer_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    *,
    outputs: int = 1,
) -> Tensor | tuple[Tensor, ...]:
    shape = x.shape[axis % x.ndim :]
    y = F.layer_norm(x, shape, _whole(scale, shape), None if bias is None else _whole(bias, shape), epsilon)
    if outputs == 1:
        return y
    over = tuple(range(axis % x.ndim, x.ndim))
    return y, x.mean(over, True), torch.rsqrt(x.var(over, unbiased=False, keepdim=True) + epsilon)


@op("RMSNormalization")
def rms_norm(x: Tensor, scale: Tensor, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Tensor:
    over = tuple(range(axis % x.ndim, x.ndim))
    return x / torch.sqrt((x * x).mean(over, keepdim=True) + epsilon) * scale


@op("InstanceNormalization")
def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


@op("GroupNormalization")
def group_norm(x: Tensor, scale: Tensor, bias: Tensor, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1) -> Tensor:
    if scale.shape[0] != x.shape[1]:
        raise QGraphError("GroupNormalization with a scale a group (opset 18) is not taken; convert the model to opset 21")
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@op("MeanVarianceNormalization")
def mean_variance(x: Tensor, axes: list[int] | None = None) -> Tensor:
    over = tuple(axes or [0, 2, 3])
    return (x - x.mean(over, keepdim=True)) / (x.std(over, unbiased=False, keepdim=True) + 1e-9)


@op("LpNormalization")
def lp_normalization(x: Tensor, axis: int = -1, p: int = 2) -> Tensor:
    norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


@op("LRN")
def lrn(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Tensor:
    squares = F.pad((x * x).movedim(1, -1), ((size - 1) // 2, size // 2))
    total = squares.unfold(-1, size, 1).sum(-1).movedim(-1, 1)
    return x / (bias + alpha / size * total) ** beta


@op("Softmax")
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


@op("LogSoftmax")
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.log_softmax(x, axis)


@op("Hardmax")
def hardmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, True), 1)
