"""Bias correction: what it subtracts, and that the mean error of every output is gone on the data it saw."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.errors import QGraphError
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import array, model_of

RNG = np.random.default_rng(0)


def floats(*shape: int) -> tuple[np.ndarray, str]:
    values = RNG.standard_normal(shape).astype(np.float32)
    return values, f"float[{','.join(map(str, shape))}] %s = {{{', '.join(map(repr, values.reshape(-1).tolist()))}}}"


W, W_TEXT = floats(6, 5)
B, B_TEXT = floats(5)
K, K_TEXT = floats(5, 3, 2, 2)
CASES = {
    "gemm": (f"g (float[n,6] x) => (float[n,5] y) <{W_TEXT % 'w'}, {B_TEXT % 'b'}> {{ y = Gemm(x, w, b) }}", (200, 6)),
    "gemm transposed": (
        f"g (float[n,6] x) => (float[n,5] y) <{W_TEXT.replace('[6,5]', '[5,6]') % 'w'}, {B_TEXT % 'b'}> "
        "{ y = Gemm<transB=1>(x, w, b) }",
        (200, 6),
    ),
    "matmul and add": (
        f"g (float[n,4,6] x) => (float[n,4,5] y) <{W_TEXT % 'w'}, {B_TEXT % 'b'}> {{ p = MatMul(x, w) y = Add(p, b) }}",
        (50, 4, 6),
    ),
    "conv": (
        f"g (float[n,3,6,6] x) => (float[n,5,5,5] y) <{K_TEXT % 'w'}, {B_TEXT % 'b'}> {{ y = Conv(x, w, b) }}",
        (20, 3, 6, 6),
    ),
}


def corrected(text: str, x: np.ndarray, options: str, *, correct: bool, smooth: bool = False) -> ir.Model:
    model = model_of(text)
    passes = ["calibrate", *["smooth-quant"] * smooth, f"quantize{{{options}}}", *["bias-correction"] * correct]
    Pipeline(passes).run(model, PassContext(data=[{"x": part} for part in np.split(x, 2)]))
    return model


def mean_error(model: ir.Model, text: str, x: np.ndarray) -> np.ndarray:
    """Mean over all but the channels of the output's error."""
    error = run_onnx(model, {"x": x})[0].astype(float) - run_onnx(model_of(text), {"x": x})[0]
    channels = 1 if "Conv" in text else error.ndim - 1
    return error.mean(tuple(i for i in range(error.ndim) if i != channels))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("options", ["activations=tokens", "activations=uint8"])
def test_the_mean_error_is_gone(case: str, options: str) -> None:
    text, shape = CASES[case]
    x = (RNG.standard_normal(shape) + 2).astype(np.float32)
    x = np.round(x * 16) / 16  # inputs near their grid, so that the error is that of the weights
    if case == "conv":
        x = np.broadcast_to(x[:, :, :1, :1], shape).astype(np.float32)  # every window sees the mean
    left, gone = (
        np.abs(mean_error(corrected(text, x, f"weights=int4 {options}", correct=c), text, x)).max() for c in (False, True)
    )
    assert left > 0.1
    assert gone < 0.1 * left


def test_what_is_subtracted() -> None:
    """A float bias loses exactly (W^ - W)^T E[x]."""
    text, shape = CASES["matmul and add"]
    x = (RNG.standard_normal(shape) + 1).astype(np.float32)
    plain, fixed = (corrected(text, x, "weights=int4 activations=tokens", correct=c) for c in (False, True))
    dequantize = next(n for n in plain.graph if n.op_type == "DequantizeLinear")
    codes, scale = (array(v) for v in dequantize.inputs[:2])
    restored = codes.astype(float) * scale
    wanted = B - (restored - W).T @ x.astype(float).mean((0, 1))
    np.testing.assert_allclose(fixed.graph.initializers["b"].const_value.numpy(), wanted, rtol=1e-5, atol=1e-6)  # type: ignore[union-attr]
    np.testing.assert_array_equal(plain.graph.initializers["b"].const_value.numpy(), B)  # type: ignore[union-attr]


def test_an_int32_bias_moves_by_whole_codes_of_its_scale() -> None:
    text, shape = CASES["gemm"]
    x = (RNG.standard_normal(shape) + 1).astype(np.float32)
    plain, fixed = (corrected(text, x, "weights=int4 activations=uint8", correct=c) for c in (False, True))
    names = plain.graph.initializers
    scale = array(names["b_scale"]).astype(float)
    restored = array(names["w.codes"]).astype(float) * array(names["w_scale"])
    shift = (restored - W).T @ x.astype(float).mean(0)
    np.testing.assert_array_equal(array(fixed.graph.initializers["b.codes"]), np.rint(array(names["b.codes"]) - shift / scale))


def test_smoothed_inputs_count_with_their_factor() -> None:
    text, shape = CASES["matmul and add"]
    x = ((RNG.standard_normal(shape) + 1) * [1, 30, 1, 1, 5, 1]).astype(np.float32)
    x = np.round(x * 4) / 4
    models = [
        corrected(text, x, "weights=int4 activations=tokens placement=linear", correct=c, smooth=True) for c in (False, True)
    ]
    left, gone = (np.abs(mean_error(m, text, x)).max() for m in models)
    (tokens,) = [n for n in models[0].graph if n.op_type == "FakeQuantizeTokens"]
    assert tokens.inputs[1].name == "x_smooth"  # type: ignore[union-attr]
    assert gone < 0.2 * left


def test_weights_that_are_exact_need_no_correction() -> None:
    text = "g (float[n,2] x) => (float[n,2] y) <float[2,2] w = {254, -254, 2, 4}, float[2] b = {3, 5}> { y = Gemm(x, w, b) }"
    x = np.array([[0, 255], [255, 0]], np.float32)
    plain, fixed = (corrected(text, x, "activations=uint8", correct=c) for c in (False, True))
    assert plain.graph.initializers.keys() == fixed.graph.initializers.keys()
    for name, value in plain.graph.initializers.items():
        np.testing.assert_array_equal(array(value), array(fixed.graph.initializers[name]))


SHARED = """g (float[n,2] x) => (float[n,2] y)
  <float[2,2] w = {1, 2.3, 3, 4}, float[2,2] v = {1, 2.2, 3, 4}, float[2] b = {3, 5}> {
    p = MatMul(x, w) s = Add(p, b) q = MatMul(x, v) t = Add(q, b) y = Sub(s, t) }"""
GROUPS = """g (float[n,2,1,1] x) => (float[n,2,1,1] y) <float[2,1,1,1] w = {1, 2.3}, float[2] b = {3, 5}> {
    y = Conv<group=2>(x, w, b) }"""


@pytest.mark.parametrize("text", [SHARED, GROUPS])
def test_a_shared_bias_and_groups_are_left_alone(text: str) -> None:
    model = model_of(text)
    x = RNG.standard_normal((4, 2) if text is SHARED else (4, 2, 1, 1)).astype(np.float32)
    *_, report = Pipeline("calibrate,quantize{weights=int4},bias-correction").run(model, PassContext(data=[{"x": x}]))
    assert report.counts == {}


@pytest.mark.parametrize("second", ["calibrate", "calibrate{method=mse}"])
def test_a_second_calibration_takes_nothing_away(second: str) -> None:
    """It measures the quantized graph, in which the inputs of linear ops have other names."""
    text, shape = CASES["gemm"]
    x = RNG.uniform(0, 2, shape).astype(np.float32)
    made = []
    for more in ([], [second]):
        model = model_of(text)
        passes = ["calibrate", "quantize{weights=int4}", *more, "bias-correction"]
        Pipeline(",".join(passes)).run(model, PassContext(data=[{"x": x}]))
        made.append(model)
    once, twice = (run_onnx(model, {"x": x})[0] for model in made)
    np.testing.assert_array_equal(once, twice)
    assert np.abs(mean_error(made[1], text, x)).max() < 0.01


def test_it_needs_measured_inputs() -> None:
    with pytest.raises(QGraphError, match="needs measured inputs; put 'calibrate'"):
        Pipeline("quantize{placement=linear},bias-correction").run(model_of(CASES["gemm"][0]))


def test_it_needs_the_float_model() -> None:
    with pytest.raises(QGraphError, match="put it behind 'quantize' in one pipeline"):
        Pipeline("bias-correction").run(model_of(CASES["gemm"][0]))


@pytest.mark.parametrize("options", ["weights=int4 weight-block=2", "weights=int4"])
@pytest.mark.parametrize("other", ["z = Gemm(x, v, b)", "z = Mul(x5, b)", "z = Identity(b)", ""])
def test_a_bias_that_others_read_stays_theirs(options: str, other: str) -> None:
    outputs = "float[n,5] y, float[n,5] z" if "b)" in other and "Identity" not in other else "float[n,5] y, float[5] z"
    text = (
        f"g (float[n,6] x, float[n,5] x5) => ({outputs if other else 'float[n,5] y, float[5] b'}) "
        f"<{W_TEXT % 'w'}, {W_TEXT % 'v'}, {B_TEXT % 'b'}> {{ y = Gemm(x, w, b) {other} }}"
    )
    rng = np.random.default_rng(2)
    feed = {"x": (rng.standard_normal((64, 6)) + 3).astype(np.float32), "x5": rng.standard_normal((64, 5)).astype(np.float32)}
    want, models = run_onnx(model_of(text), feed), []
    for end in ("", ",bias-correction"):
        model = model_of(text)
        Pipeline(f"calibrate,quantize{{{options} placement=linear activations=uint8}}{end}").run(model, PassContext(data=[feed]))
        models.append(run_onnx(model, feed))
    plain, corrected = ([np.abs((a - b).mean(0)).max() for a, b in zip(got, want, strict=True)] for got in models)
    assert corrected[0] < plain[0] / 3
    if "Gemm" in other:
        assert corrected[1] < plain[1] / 3  # each is corrected by its own error
    else:
        assert corrected[1] == plain[1] < 1e-6


def test_a_bias_that_is_computed_is_left_alone() -> None:
    text = f"g (float[n,6] x, float[5] c) => (float[n,5] y) <{W_TEXT % 'w'}> {{ d = Neg(c) p = Gemm(x, w, d) y = Relu(p) }}"
    feed = {"x": RNG.standard_normal((50, 6)).astype(np.float32), "c": B}
    model, want = model_of(text), run_onnx(model_of(text), feed)[0]
    Pipeline("canonicalize,calibrate,quantize,bias-correction").run(model, PassContext(data=[feed]))
    assert np.abs(run_onnx(model, feed)[0] - want).max() < 0.05 * np.abs(want).max()
