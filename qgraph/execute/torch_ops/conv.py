"""Convolutions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from qgraph.execute.torch_ops.padding import pad_axes
from qgraph.execute.torch_ops.registry import op
from qgraph.ir.padding import cut, padding, same_output

CONVS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


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
    before, after = padding(auto_pad, pads, x.shape[2:], list(w.shape[2:]), steps, spread)
    if before != after:
        x, before = pad_axes(x, before, after, 0), [0] * n
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
        wanted = output_shape[-n:] if output_shape is not None else same_output(x.shape[2:], steps, full)
        before, after, more = cut(full, wanted, upper=auto_pad == "SAME_UPPER")
        extra = [e + m for e, m in zip(extra, more, strict=True)]
    # every output that the kernel reaches, then what the padding cuts away
    y = TRANSPOSED[n](x, w, b, steps, 0, 0, group, spread)  # type: ignore[operator]
    y = pad_axes(y, [0] * n, extra, 0) if b is None else _biased_edge(y, extra, b)
    for axis, (first, last) in enumerate(zip(before, after, strict=True), 2):
        y = y.narrow(axis, first, y.shape[axis] - first - last)
    return y


def _biased_edge(y: Tensor, extra: list[int], b: Tensor) -> Tensor:
    if not any(extra):
        return y
    form = [1, -1] + [1] * (y.ndim - 2)
    return pad_axes(y - b.reshape(form), [0] * len(extra), extra, 0) + b.reshape(form)
