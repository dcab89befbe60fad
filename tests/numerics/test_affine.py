"""The affine quantizer against the ONNX reference evaluator, and the observers against NumPy."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from qgraph.numerics.affine import INT_TYPES, QParams, dequantize, from_range, pack, quantize, weight_params
from qgraph.numerics.observers import METHODS

finite = st.floats(-1e4, 1e4, width=32)


def onnx_roundtrip(x: np.ndarray, params: QParams) -> tuple[np.ndarray, np.ndarray]:
    axis = params.axis if params.axis is not None else 1
    form = "[C]" if params.axis is not None else "[]"
    text = f"""<ir_version: 10, opset_import: ["" : 21]>
    g (float[N, M] x, float{form} s, {params.type.name}{form} z)
      => ({params.type.name}[N, M] q, float[N, M] y) {{
        q = QuantizeLinear<axis={axis}>(x, s, z)
        y = DequantizeLinear<axis={axis}>(q, s, z)
    }}"""
    q, y = ReferenceEvaluator(onnx.parser.parse_model(text)).run(None, {"x": x, "s": params.scale, "z": params.zero_point})
    return q, y


@settings(max_examples=60, deadline=None)
@given(
    st.lists(finite, min_size=4, max_size=4),
    st.sampled_from(["int8", "uint8", "int16"]),
    st.booleans(),
    st.sampled_from([None, 0, 1]),
)
def test_quantize_equals_onnx(numbers: list[float], name: str, symmetric: bool, axis: int | None) -> None:
    x = np.array([numbers, numbers[::-1], [v / 3 for v in numbers]], np.float32)
    params = weight_params(x, INT_TYPES[name], axis, symmetric=symmetric)
    q, y = onnx_roundtrip(x, params)
    np.testing.assert_array_equal(quantize(x, params), q)
    np.testing.assert_array_equal(dequantize(q, params), y)


@settings(max_examples=60, deadline=None)
@given(finite, finite, st.sampled_from(sorted(INT_TYPES)), st.booleans())
def test_zero_is_exact_and_range_is_covered(a: float, b: float, name: str, symmetric: bool) -> None:
    if name == "int32":
        return
    low, high = min(a, b), max(a, b)
    params = from_range(low, high, INT_TYPES[name], symmetric=symmetric)
    assert params.scale > 0
    ends = np.array([low, 0.0, high], np.float32)
    back = dequantize(quantize(ends, params), params)
    assert back[1] == 0.0
    if params.scale != 1.0 or (low, high) == (0.0, 0.0):
        assert np.all(np.abs(back - ends) <= params.scale * 1.001)


def test_dead_channels_get_no_epsilon_scale() -> None:
    w = np.zeros((2, 3), np.float32)
    w[0] = [1, -2, 3]
    params = weight_params(w, INT_TYPES["int8"], 0)
    assert params.scale[1] == 1.0
    assert not quantize(w, params)[1].any()


def test_floor_is_the_form_of_the_seed_formula() -> None:
    x, s, z = np.array([-1.3, 0.2, 0.99, 7.7], np.float32), np.float32(0.5), 3
    params = QParams(INT_TYPES["int8"], np.asarray(s), np.asarray(-z, np.int8))
    np.testing.assert_array_equal(quantize(x, params, "floor"), np.floor(x / s).astype(int) - z)


def test_stochastic_rounding_is_unbiased() -> None:
    params = QParams(INT_TYPES["int8"], np.float32(1), np.int8(0))  # type: ignore[arg-type]
    x = np.full(200_000, 2.3, np.float32)
    mean = quantize(x, params, "stochastic", np.random.default_rng(0)).mean()
    assert abs(mean - 2.3) < 5 * 0.46 / np.sqrt(len(x))


def test_pack_is_onnx_int4() -> None:
    codes = np.array([-8, 7, 1, -1, 3], np.int8)
    wanted = onnx.helper.make_tensor("x", onnx.TensorProto.INT4, [5], codes.astype(int)).raw_data
    data = onnx.helper.make_tensor("x", onnx.TensorProto.INT4, [5], codes.astype(int))
    stored = wanted or bytes(np.array(data.int32_data, np.uint8))
    assert pack(codes, 4).tobytes() == stored


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_observers_stream(method: str) -> None:
    """Split into any batches, the range is that of one pass."""
    x = np.random.default_rng(0).standard_normal(40_000).astype(np.float32) * 3
    whole, parts = METHODS[method](), METHODS[method]()
    whole.update(x)
    for part in np.array_split(x, 7):
        parts.update(part)
    kind = INT_TYPES["uint8"]
    np.testing.assert_allclose(whole.range(kind, False), parts.range(kind, False), rtol=0.03)


def test_moving_average_is_the_recurrence() -> None:
    observer = METHODS["moving-average"](0.9)  # type: ignore[call-arg]
    for high in (1.0, 2.0, 4.0):
        observer.update(np.array([-high, high], np.float32))
    high = 0.9 * (0.9 * 1.0 + 0.1 * 2.0) + 0.1 * 4.0
    np.testing.assert_allclose(observer.range(INT_TYPES["uint8"], False), (-high, high))


def test_entropy_clips_a_long_tail() -> None:
    x = np.random.default_rng(3).standard_normal(200_000).astype(np.float32)
    x[:20] = 40
    observer = METHODS["entropy"]()
    observer.update(x)
    low, high = observer.range(INT_TYPES["uint8"], False)
    assert 3 < high < 20 and -high <= low < -3


def test_percentile_is_numpys() -> None:
    x = np.random.default_rng(1).standard_normal(200_000).astype(np.float32)
    observer = METHODS["percentile"](99.0)  # type: ignore[call-arg]
    observer.update(x)
    np.testing.assert_allclose(observer.range(INT_TYPES["uint8"], False), np.percentile(x, [0.5, 99.5]), atol=0.02)


def test_mse_is_the_best_clip_of_the_data_itself() -> None:
    x = np.random.default_rng(2).standard_normal(100_000).astype(np.float32)
    x[0] = 60
    kind = INT_TYPES["int4"]

    def error(low: float, high: float) -> float:
        params = from_range(low, high, kind, symmetric=True)
        return float(((dequantize(quantize(x, params), params) - x) ** 2).mean())

    observer = METHODS["mse"]()
    observer.update(x)
    best = min(error(-c, c) for c in np.linspace(0.2 * 60, 60, 200))
    chosen = error(*observer.range(kind, True))
    assert chosen <= best * 1.1
    assert chosen < error(-60, 60)


def test_empty_batches_do_nothing() -> None:
    for method in METHODS.values():
        observer = method()
        observer.update(np.zeros((0, 3), np.float32))
        assert observer.range(INT_TYPES["uint8"], False) == (0.0, 0.0)
