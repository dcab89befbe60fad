"""Convolutions, defined channels first; they read and write channels last."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, added, channels_first, codes, defines, weights


@defines("Conv")
def conv(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, weight, (multiplier, bias, residual) = channels_first(x[0]), channels_first(x[1]), (*x, None, None)[2:5]
    assert multiplier is not None
    weight = weights(weight, a)
    n, group = weight.ndim - 2, a["group"]
    pads = a["pads"]
    centred = data.astype(np.int64) - a["x_zero"]
    centred = np.pad(centred, [(0, 0), (0, 0), *zip(pads[:n], pads[n:], strict=True)])
    reach = [d * (k - 1) + 1 for d, k in zip(a["dilations"], weight.shape[2:], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(centred, reach, tuple(range(2, 2 + n)))
    steps = [slice(None, None, s) for s in a["strides"]]
    taps = [slice(None, None, d) for d in a["dilations"]]
    windows = windows[(slice(None), slice(None), *steps, *taps)]
    per, outputs = weight.shape[1], weight.shape[0] // group
    acc = np.zeros((data.shape[0], weight.shape[0], *windows.shape[2 : 2 + n]), np.int64)
    for g in range(group):
        part = windows[:, g * per : (g + 1) * per]
        kernel = weight[g * outputs : (g + 1) * outputs]
        made = np.tensordot(part, kernel, ([1, *range(2 + n, 2 + 2 * n)], [1, *range(2, 2 + n)]))
        acc[:, g * outputs : (g + 1) * outputs] = np.moveaxis(made, -1, 1)
    return _finish_channels(acc, multiplier, bias, a, dtype, residual)


@defines("ConvTranspose")
def conv_transpose(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, weight, (multiplier, bias) = channels_first(x[0]), channels_first(x[1]), (*x, None)[2:4]
    assert multiplier is not None
    weight = weights(weight, a)
    n, group, pads, strides, dilations = weight.ndim - 2, a["group"], a["pads"], a["strides"], a["dilations"]
    extra = a.get("output_padding", [0] * n)
    full = [
        s * (i - 1) + d * (k - 1) + 1 for s, i, d, k in zip(strides, data.shape[2:], dilations, weight.shape[2:], strict=True)
    ]
    outputs, per = weight.shape[1], data.shape[1] // group
    acc = np.zeros((data.shape[0], outputs * group, *(f + e for f, e in zip(full, extra, strict=True))), np.int64)
    centred = data.astype(np.int64) - a["x_zero"]
    for tap in itertools.product(*(range(k) for k in weight.shape[2:])):
        place = [
            slice(t * d, t * d + s * (i - 1) + 1, s) for t, d, s, i in zip(tap, dilations, strides, data.shape[2:], strict=True)
        ]
        for g in range(group):
            kernel = weight[(slice(g * per, (g + 1) * per), slice(None), *tap)]  # type: ignore[arg-type]
            made = np.tensordot(centred[:, g * per : (g + 1) * per], kernel, ([1], [0]))
            acc[(slice(None), slice(g * outputs, (g + 1) * outputs), *place)] += np.moveaxis(made, -1, 1)
    inner = [slice(b, size - e) for b, e, size in zip(pads[:n], pads[n:], acc.shape[2:], strict=True)]
    return _finish_channels(acc[(slice(None), slice(None), *inner)], multiplier, bias, a, dtype)


def _finish_channels(
    acc: np.ndarray,
    multiplier: np.ndarray,
    bias: np.ndarray | None,
    a: Mapping[str, Any],
    dtype: np.dtype,
    residual: np.ndarray | None = None,
) -> np.ndarray:
    acc = np.moveaxis(acc, 1, -1)
    if bias is not None:
        acc = acc + bias
    t = acc.astype(np.float32) * multiplier
    return np.ascontiguousarray(codes(added(t, residual, a), a, dtype))
