"""The integer ops once more, in NumPy: slow, from their written definitions, sharing no code with the runtime.

Accumulators are int64, float steps single float32 operations. Ops of the standard domain run in ONNX's reference
evaluator. ``evaluate`` runs a whole model of the integer dialect.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from qgraph.numerics import piecewise

F = np.float32
Arrays = list[np.ndarray | None]


def codes(t: np.ndarray, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    """Round half to even, add the zero point, clamp; float32 passes through."""
    if dtype == np.float32:
        return np.asarray(t, np.float32)
    info, zero = np.iinfo(dtype), a.get("y_zero", 0)
    low, high = a.get("clamp_min", info.min), a.get("clamp_max", info.max)
    return np.clip(np.rint(np.asarray(t, np.float64)) + zero, low, high).astype(dtype)


def real(x: np.ndarray, zero: int) -> np.ndarray:
    return (x.astype(np.int64) - zero).astype(np.float32)


def weights(array: np.ndarray, a: Mapping[str, Any]) -> np.ndarray:
    """The codes of a weight: as they are stored, or chosen among the op's levels."""
    chosen = array.astype(np.int64)
    return np.asarray(a["levels"], np.int64)[chosen] if "levels" in a else chosen


def linear(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, weight, multiplier, bias, rows, residual = (*x, None, None, None)[:6]
    assert data is not None and weight is not None and multiplier is not None
    w = weights(weight, a)
    centred = data.astype(np.int64) - a.get("x_zero", 0)
    block = a.get("block", 0)
    if block:
        t = np.zeros((*data.shape[:-1], len(w)), np.float32)
        for number, start in enumerate(range(0, w.shape[1], block)):
            acc = centred[..., start : start + block] @ w[:, start : start + block].T
            t = t + acc.astype(np.float32) * multiplier.reshape(-1, len(w))[number]
        if rows is not None:
            t = t * rows
    else:
        acc = centred @ w.T
        if bias is not None and bias.dtype == np.int32:
            acc = acc + bias
        t = acc.astype(np.float32)
        t = (t if rows is None else t * rows) * multiplier
    if bias is not None and bias.dtype == np.float32:
        t = t + bias
    if residual is not None:
        t = t + real(residual, a["residual_zero"]) * F(a["residual_multiplier"])
    return codes(t, a, dtype)


def matmul(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = (v.astype(np.int64) for v in x[:2] if v is not None)
    return codes(((p - a["a_zero"]) @ (q - a["b_zero"])).astype(np.float32) * F(a["multiplier"]), a, dtype)


def channels_first(x: np.ndarray | None) -> np.ndarray:
    """Convolutions and pools are defined channels first and read and write channels last."""
    assert x is not None
    return np.moveaxis(x, -1, 1)


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
    if residual is not None:
        if a.get("staged"):  # the convolution's own rounding, then the sum of codes
            middle = np.clip(np.rint(t.astype(np.float64)) + a["mid_zero"], a["mid_min"], a["mid_max"]) - a["mid_zero"]
            t = middle.astype(np.float32) * F(a["mid_multiplier"])
        t = t + real(residual, a["residual_zero"]) * F(a["residual_multiplier"])
    return np.ascontiguousarray(codes(t, a, dtype))


def quantize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return codes(x[0] / F(a["scale"]), a, dtype)


def dequantize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return real(x[0], a.get("x_zero", 0)) * F(a["scale"])


def requantize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None and x[1] is not None
    return codes(real(x[0], a.get("x_zero", 0)) * x[1], a, dtype)


def quantize_tokens(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    data, channel = (*x, None)[:2]
    assert data is not None
    v = data if data.dtype == np.float32 else real(data, a.get("x_zero", 0)) * F(a.get("scale", 1.0))
    if channel is not None:
        v = v * channel.reshape(-1)
    peak = np.abs(v).max(-1, keepdims=True, initial=0).astype(np.float32)
    inverse = F(127) / np.where(peak == 0, F(1), peak)
    return (np.clip(np.rint(v * inverse), -127, 127) + 128).astype(np.uint8), peak / F(127)


def lookup(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, table = x[:2]
    assert data is not None and table is not None
    index = data.astype(np.int64) + (32768 if data.dtype == np.int16 else 0)
    if table.ndim == 1:
        return table[index]
    channel = np.arange(len(table)).reshape([-1 if i == a["axis"] else 1 for i in range(data.ndim)])
    return table[channel, index]


def curve(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, coefficients = x[:2]
    assert data is not None and coefficients is not None
    t = piecewise.evaluate(data, coefficients, a["start"], a["shift"])
    return codes(np.nan_to_num(t, nan=-np.inf), a, dtype)


def binary(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None and x[1] is not None
    p, q = real(x[0], a["a_zero"]), real(x[1], a["b_zero"])
    ma, mb = F(a["a_multiplier"]), F(a.get("b_multiplier", 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = [
            lambda: p * ma + q * mb,
            lambda: p * ma - q * mb,
            lambda: (p * q) * ma,
            lambda: (p / q) * ma,
            lambda: np.maximum(p * ma, q * mb),
            lambda: np.minimum(p * ma, q * mb),
        ][a["op"]]()
    low = np.iinfo(dtype).min if dtype != np.float32 else np.nan  # 0 / 0 is the lowest code
    return codes(np.nan_to_num(t, nan=-np.inf) if not np.isnan(low) else t, a, dtype)


def _normalise(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    """Mean and variance from exact integer sums, in double; then float32."""
    whole = x.astype(np.int64)
    count = math.prod(x.shape[i] for i in axes)
    total, squares = whole.sum(axes, keepdims=True), (whole * whole).sum(axes, keepdims=True)
    variance = (count * squares - total * total).astype(np.float64) / (float(count) * float(count))
    mean = (total.astype(np.float64) / count).astype(np.float32)
    inverse = (1.0 / np.sqrt(variance + np.float64(F(epsilon)))).astype(np.float32)
    return (x.astype(np.float32) - mean) * inverse


def layer_norm(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, gamma, beta = x[:3]
    assert data is not None and gamma is not None and beta is not None
    axes = tuple(range(data.ndim - gamma.ndim, data.ndim))
    return codes(_normalise(data, axes, a["epsilon"]) * gamma + beta, a, dtype)


def group_norm(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, gamma, beta = x[:3]
    assert data is not None and gamma is not None and beta is not None
    split = data.reshape(data.shape[0], a["groups"], -1)
    t = _normalise(split, (2,), a["epsilon"]).reshape(data.shape)
    form = (1, -1, *[1] * (data.ndim - 2))
    return codes(t * gamma.reshape(form) + beta.reshape(form), a, dtype)


def _exponentials(t: np.ndarray) -> np.ndarray:
    """rne(2^20 exp(t - max)) along the last axis, by a polynomial of degree 5 on the fraction of t / ln 2."""
    with np.errstate(over="ignore"):  # masked scores lie at the end of float32
        x = (t - t.max(-1, keepdims=True)) * F(1.44269504)
    x = np.maximum(x, F(-30))
    n = np.rint(x)
    f = x - n
    p = np.full_like(f, 0.0013333558)
    for c in (0.0096181291, 0.0555041087, 0.2402265070, 0.6931471806, 1.0):
        p = p * f + F(c)
    return np.rint(p * np.exp2(n + 20).astype(np.float32)).astype(np.int64)


def probabilities(t: np.ndarray, top: float, dtype: np.dtype) -> np.ndarray:
    """Softmax over the last axis of float32 ``t``; a row of -inf is zeros."""
    dead = np.isneginf(t).all(-1, keepdims=True)
    e = _exponentials(np.where(dead, F(0), t).astype(np.float32))
    total = e.sum(-1, keepdims=True).astype(np.float32)
    if dtype == np.float32:
        return np.where(dead, F(0), e.astype(np.float32) / total)
    high = 255 if dtype == np.uint8 else 32767
    return np.where(dead, 0, np.clip(np.rint(e.astype(np.float32) * (F(top) / total)), 0, high)).astype(dtype)


def softmax(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    t = np.moveaxis(real(x[0], a["x_zero"]) * F(a["scale"]), a["axis"], -1)
    return np.ascontiguousarray(np.moveaxis(probabilities(t, a.get("top", 255.0), dtype), -1, a["axis"]))


def attention(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    q, k, v, mask = (*x, None)[:4]
    assert q is not None and k is not None and v is not None
    turn = (0, 2, 1, 3) if a.get("token_major") else (0, 1, 2, 3)
    q, k, v = (u.astype(np.int64).transpose(turn) - z for u, z in ((q, a["q_zero"]), (k, a["k_zero"]), (v, a["v_zero"])))
    t = (q @ k.swapaxes(-1, -2)).astype(np.float32) * F(a["scale"])
    if mask is not None:
        t = t + mask
    acc = probabilities(t, 255, np.dtype(np.uint8)).astype(np.int64) @ v
    return codes((acc.astype(np.float32) * F(a["multiplier"])).transpose(turn), a, dtype)


def response_norm(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    whole, size = x[0].astype(np.int64) - a["x_zero"], a["size"]
    squares = np.zeros_like(whole)
    for c in range(whole.shape[1]):
        first, last = max(0, c - (size - 1) // 2), min(whole.shape[1], c + size // 2 + 1)
        squares[:, c] = (whole[:, first:last] ** 2).sum(1)
    base = np.float64(F(a["bias"])) + np.float64(F(a["factor"])) * squares
    power = np.vectorize(lambda b: math.pow(b, -float(F(a["beta"]))), otypes=[np.float64])
    gain = power(base).astype(np.float32) if base.size else base.astype(np.float32)
    return codes((whole.astype(np.float32) * F(a["multiplier"])) * gain, a, dtype)


def _windows(x: np.ndarray, a: Mapping[str, Any]) -> tuple[list[int], Callable[[tuple[int, ...]], tuple[np.ndarray, int]]]:
    """The output's size, and for each place of it the taps on the input and how many count with the padding."""
    n = len(a["kernel"])
    begin, end = a["pads"][:n], a["pads"][n:]
    sizes = []
    for i in range(n):
        room = x.shape[2 + i] + begin[i] + end[i] - (a["dilations"][i] * (a["kernel"][i] - 1) + 1)
        size = (math.ceil if a["ceil"] else math.floor)(room / a["strides"][i]) + 1
        if a["ceil"] and (size - 1) * a["strides"][i] >= x.shape[2 + i] + begin[i]:
            size -= 1
        sizes.append(size)

    def taps(place: tuple[int, ...]) -> tuple[np.ndarray, int]:
        inside, counted = [], 1
        for i, at in enumerate(place):
            positions = at * a["strides"][i] - begin[i] + np.arange(a["kernel"][i]) * a["dilations"][i]
            inside.append(positions[(positions >= 0) & (positions < x.shape[2 + i])])
            counted *= int((positions < x.shape[2 + i] + end[i]).sum()) if a["count_include_pad"] else len(inside[-1])
        return x[(slice(None), slice(None), *np.ix_(*inside))].reshape(*x.shape[:2], -1), counted

    return sizes, taps


def max_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data = channels_first(x[0])
    sizes, taps = _windows(data, a)
    y = np.zeros((*data.shape[:2], *sizes), dtype)
    for place in itertools.product(*map(range, sizes)):
        y[(slice(None), slice(None), *place)] = taps(place)[0].max(-1, initial=np.iinfo(dtype).min)  # type: ignore[index]
    return np.ascontiguousarray(np.moveaxis(y, 1, -1))


def average_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data = channels_first(x[0])
    sizes, taps = _windows(data.astype(np.int64) - a["x_zero"], a)
    t = np.zeros((*data.shape[:2], *sizes), np.float32)
    for place in itertools.product(*map(range, sizes)):
        values, counted = taps(place)
        t[(slice(None), slice(None), *place)] = values.sum(-1).astype(np.float32) * F(a["multiplier"]) / F(max(counted, 1))  # type: ignore[index]
    return codes(np.ascontiguousarray(np.moveaxis(t, 1, -1)), a, dtype)


def reduce_mean(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    axes = tuple(a["axes"])
    total = (x[0].astype(np.int64) - a["x_zero"]).sum(axes, keepdims=bool(a["keepdims"]))
    count = math.prod(x[0].shape[i] for i in axes)
    return codes(total.astype(np.float32) * F(a["multiplier"]) / F(max(count, 1)), a, dtype)


def resize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, target = x[:2]
    assert data is not None and target is not None
    n = len(target)
    old = data.shape[-n:]
    if target.dtype == np.float32:
        scales, new = list(target), [math.floor(o * float(s)) for o, s in zip(old, target, strict=True)]
    else:
        new = [int(t) for t in target]
        scales = [F(t) / F(o) for t, o in zip(new, old, strict=True)]

    def source(i: int) -> np.ndarray:
        o = np.arange(new[i]).astype(np.float32)
        if a["coordinates"] == 1:
            return o / scales[i]
        if a["coordinates"] == 2:
            return np.zeros_like(o) if new[i] == 1 else o * F(old[i] - 1) / F(new[i] - 1)
        if a["coordinates"] == 3 and new[i] == 1:
            return np.zeros_like(o)
        return (o + F(0.5)) / scales[i] - F(0.5)

    if not a["linear"]:
        for i in range(n):
            s = source(i)
            rounded = [
                np.where(s == np.floor(s) + F(0.5), np.floor(s), np.floor(s + F(0.5))),
                np.floor(s + F(0.5)),
                np.floor(s),
                np.ceil(s),
            ]
            index = np.clip(rounded[a["nearest"]].astype(np.int64), 0, old[i] - 1)
            data = np.take(data, index, data.ndim - n + i)
        return np.ascontiguousarray(data)
    t = real(data, a["x_zero"])
    for i in reversed(range(n)):
        s = np.clip(source(i), F(0), F(old[i] - 1))
        low = s.astype(np.int64)
        high, axis = np.minimum(low + 1, old[i] - 1), data.ndim - n + i
        f = (s - low.astype(np.float32)).reshape([-1 if d == axis else 1 for d in range(data.ndim)])
        t = np.take(t, low, axis) * (F(1) - f) + np.take(t, high, axis) * f
    return codes(t * F(a["multiplier"]), a, dtype)


def pad(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, pads = x[:2]
    assert data is not None and pads is not None
    axes = a.get("axes", range(data.ndim))
    width = [(0, 0)] * data.ndim
    for i, axis in enumerate(axes):
        width[axis] = (int(pads[i]), int(pads[i + len(axes)]))
    data = data[tuple(slice(max(0, -b), size - max(0, -e)) for (b, e), size in zip(width, data.shape, strict=True))]
    width = [(max(0, b), max(0, e)) for b, e in width]
    mode = ["constant", "reflect", "edge", "wrap"][a["mode"]]
    return np.pad(data, width, mode, **({"constant_values": a["value"]} if mode == "constant" else {}))  # type: ignore[call-overload]


OPS: dict[str, Callable[[Arrays, Mapping[str, Any], np.dtype], Any]] = {
    "Linear": linear,
    "MatMul": matmul,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Quantize": quantize,
    "Dequantize": dequantize,
    "Requantize": requantize,
    "QuantizeTokens": quantize_tokens,
    "Lookup": lookup,
    "Curve": curve,
    "Binary": binary,
    "LayerNorm": layer_norm,
    "GroupNorm": group_norm,
    "Softmax": softmax,
    "Attention": attention,
    "LocalResponseNorm": response_norm,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "ReduceMean": reduce_mean,
    "Resize": resize,
    "Pad": pad,
}


def _standard(node: ir.Node, inputs: Arrays, opset: int) -> list[np.ndarray]:
    """One node of the standard domain in ONNX's reference evaluator."""
    if node.op_type == "Cast":  # a program keeps its target as the type of the output only
        assert inputs[0] is not None
        return [inputs[0].astype(node.outputs[0].dtype.numpy())]  # type: ignore[union-attr]
    if node.op_type == "GatherElements":  # the evaluator refuses an index that is smaller than the data
        data, index = inputs[0], inputs[1]
        assert data is not None and index is not None
        axis = node.attributes["axis"].value if "axis" in node.attributes else 0
        part = data[tuple(slice(None) if d == axis % data.ndim else slice(n) for d, n in enumerate(index.shape))]
        return [np.take_along_axis(part, index, axis)]
    attributes = [v for k, v in node.attributes.items() if k != "dcr"]
    if node.op_type == "DepthToSpace":
        attributes.append(ir.AttrString("mode", "DCR" if node.attributes["dcr"].value else "CRD"))
    made = [
        None if x is None else ir.Value(name=f"x{i}", type=ir.TensorType(ir.DataType.from_numpy(x.dtype)))
        for i, x in enumerate(inputs)
    ]
    copy = ir.Node("", node.op_type, made, attributes, num_outputs=len(node.outputs))
    for i, value in enumerate(copy.outputs):
        value.name, value.type = f"y{i}", node.outputs[i].type
    given = [v for v in made if v is not None]
    graph = ir.Graph(given, copy.outputs, nodes=[copy], opset_imports={"": opset}, name="one")
    evaluator = ReferenceEvaluator(ir.to_proto(ir.Model(graph, ir_version=10)))
    return evaluator.run(None, {f"x{i}": x for i, x in enumerate(inputs) if x is not None})  # type: ignore[return-value]


def evaluate(model: ir.Model, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All values of a model of the integer dialect, by name."""
    found: dict[ir.Value, np.ndarray] = {v: feed[v.name or ""] for v in model.graph.inputs}
    found |= {v: v.const_value.numpy() for v in model.graph.initializers.values() if v.const_value is not None}
    for node in model.graph:
        inputs = [None if v is None else found[v] for v in node.inputs]
        if node.domain:
            attributes = {k: v.value for k, v in node.attributes.items()}
            dtype = node.outputs[0].dtype.numpy()  # type: ignore[union-attr]
            result = OPS[node.op_type](inputs, attributes, np.dtype(dtype))
            results = list(result) if isinstance(result, tuple) else [result]
        else:
            results = _standard(node, inputs, model.graph.opset_imports[""])
        found |= dict(zip(node.outputs, results, strict=True))
    return {v.name or "": array for v, array in found.items()}
