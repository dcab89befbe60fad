"""Products, convolutions, pools, norms."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.errors import QGraphError
from qgraph.execute.ops.registry import number, op

CONVS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
MAX_POOLS: dict[int, Any] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


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


def _pads(
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


def _padded(x: Tensor, before: list[int], after: list[int], value: float) -> Tensor:
    flat = [n for b, a in zip(reversed(before), reversed(after), strict=True) for n in (b, a)]
    return F.pad(x, flat, value=value) if any(flat) else x


@op("Conv")
def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    n = x.ndim - 2
    steps, spread = strides or [1] * n, dilations or [1] * n
    before, after = _pads(auto_pad, pads, x.shape[2:], list(w.shape[2:]), steps, spread)
    if before != after:
        x, before = _padded(x, before, after, 0), [0] * n
    return CONVS[n](x, w, b, steps, before, spread, group)  # type: ignore[operator, no-any-return]


@op("ConvTranspose")
def conv_transpose(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    n = x.ndim - 2
    steps, spread, extra = strides or [1] * n, dilations or [1] * n, output_padding or [0] * n
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], spread, strict=True)]
    full = [(s - 1) * t + r + e for s, t, r, e in zip(x.shape[2:], steps, reach, extra, strict=True)]
    given = pads or [0] * (2 * n)
    before, after = given[:n], given[n:]
    if output_shape is not None or auto_pad.startswith("SAME"):
        wanted = output_shape[-n:] if output_shape is not None else [s * t for s, t in zip(x.shape[2:], steps, strict=True)]
        extra = [e + max(0, o - f) for e, f, o in zip(extra, full, wanted, strict=True)]
        total = [max(0, f - o) for f, o in zip(full, wanted, strict=True)]
        half = [t // 2 for t in total]
        rest = [t - h for t, h in zip(total, half, strict=True)]
        before, after = (half, rest) if auto_pad == "SAME_UPPER" else (rest, half)
    # every output that the kernel reaches, then what the padding cuts away
    y = TRANSPOSED[n](x, w, b, steps, 0, 0, group, spread)  # type: ignore[operator]
    y = _padded(y, [0] * n, extra, 0) if b is None else _biased_edge(y, extra, b)
    for axis, (first, last) in enumerate(zip(before, after, strict=True), 2):
        y = y.narrow(axis, first, y.shape[axis] - first - last)
    return y


def _biased_edge(y: Tensor, extra: list[int], b: Tensor) -> Tensor:
    if not any(extra):
        return y
    form = [1, -1] + [1] * (y.ndim - 2)
    return _padded(y - b.reshape(form), [0] * len(extra), extra, 0) + b.reshape(form)


def _windows(
    size: Any, before: list[int], after: list[int], kernel: list[int], strides: list[int], dilations: list[int], ceil: int
):  # type: ignore[no-untyped-def]
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
    before, after = _pads(auto_pad, pads, size, kernel, steps, spread)
    counts = _windows(size, before, after, kernel, steps, spread, ceil)
    ends = [(c - 1) * t + d * (k - 1) + 1 for c, t, d, k in zip(counts, steps, spread, kernel, strict=True)]
    padded = _padded(x, before, [max(0, e - s - b) for e, s, b in zip(ends, size, before, strict=True)], value)
    return padded, before, steps, spread


@op("MaxPool")
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
        _, after = _pads(auto_pad, pads, x.shape[2:], kernel_shape, steps, spread)
        ones = _padded(ones, before, after, 1)
        grown = [p - o for p, o in zip(padded.shape[2:], ones.shape[2:], strict=True)]
        ones = _padded(ones, [0] * n, [max(0, g) for g in grown], 0)
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


@op("Dropout", static=(1, 2), training=True)
def dropout(
    x: Tensor,
    ratio: Any = None,
    training_mode: Any = None,
    seed: int | None = None,
    *,
    training: bool = False,
) -> tuple[Tensor, Tensor]:
    if not (training or (training_mode is not None and bool(number(training_mode)))):
        return x, torch.ones_like(x, dtype=torch.bool)
    part = 0.5 if ratio is None else float(number(ratio))
    keep = torch.rand_like(x) >= part
    return x * keep / (1 - part), keep


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


@op("Einsum")
def einsum(*xs: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation.replace(" ", ""), *xs)


def attention(q: Tensor, k_transposed: Tensor, v: Tensor, mask: Tensor | None = None, scale: float = 1.0) -> Tensor:
    """``softmax(q @ k_transposed * scale + mask) @ v``, fused; q [b, h, n, d], mask broadcast over [b, h, n, m]."""
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(q.dtype)
    return F.scaled_dot_product_attention(q, k_transposed.transpose(-1, -2), v, mask, scale=scale)
