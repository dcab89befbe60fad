"""The quantizers that ``quantize`` inserts: graphs before and after, and their values against NumPy and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import qgraph
from qgraph.errors import QGraphError
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import array, assert_graph, described, model_of, quantizers

RNG = np.random.default_rng(0)
GEMM = "g (float[n,2] x) => (float[n,2] y) <float[2,2] w = {254, 31.5, -100, -63.5}, float[2] b = {4, 3}> { y = Gemm(x, w, b) }"
SPAN = np.array([[-128, 5], [127, -3]], np.float32)
"""Covers [-128, 127], which is a scale of 1 and a zero point of 128 in 8 bits."""


def quantized(text: str, feed: dict[str, np.ndarray], options: str = "") -> ir.Model:
    model = model_of(text)
    Pipeline(f"calibrate,quantize{{{options}}}").run(model, PassContext(data=[feed]))
    return model


def test_static_linear() -> None:
    assert_graph(
        quantized(GEMM, {"x": SPAN}),
        """g (float[n,2] x) => (float[n,2] y)
          <int8[2,2] "w.codes" = {127, 63, -50, -127}, float[2] w_scale = {2, 0.5}, int8[2] w_zero_point = {0, 0},
           float x_scale = {1}, uint8 x_zero_point = {128},
           int32[2] "b.codes" = {2, 6}, float[2] b_scale = {2, 0.5}, int32[2] b_zero_point = {0, 0}> {
            w_dequantized = DequantizeLinear<axis=1>("w.codes", w_scale, w_zero_point)
            x_codes = QuantizeLinear(x, x_scale, x_zero_point)
            x_quantized = DequantizeLinear(x_codes, x_scale, x_zero_point)
            "b.codes_dequantized" = DequantizeLinear<axis=0>("b.codes", b_scale, b_zero_point)
            y = Gemm(x_quantized, w_dequantized, "b.codes_dequantized") }""",
    )


def test_linear_over_tokens() -> None:
    text = """g (float[1,2,2] x) => (float[1,2,2] y) <float[2,2] w = {254, 31.5, -100, -63.5}, float[2] b = {4, 3}> {
        m = MatMul(x, w) y = Add(m, b) }"""
    assert_graph(
        quantized(text, {"x": SPAN[None]}, "placement=linear"),
        """g (float[1,2,2] x) => (float[1,2,2] y)
          <int8[2,2] "w.codes" = {127, 63, -50, -127}, float[2] w_scale = {2, 0.5}, int8[2] w_zero_point = {0, 0},
           float[1] "qgraph.one" = {1}, float[2] b = {4, 3}> {
            w_dequantized = DequantizeLinear<axis=1>("w.codes", w_scale, w_zero_point)
            m_tokens = qgraph.FakeQuantizeTokens(x, "qgraph.one")
            m = MatMul(m_tokens, w_dequantized)
            y = Add(m, b) }""",
    )


def test_everything_between_linears() -> None:
    """One pair serves both readers of ``r``; an output that is read and leaves keeps its name behind its quantizer."""
    text = """g (float[2,2] x) => (float[2,2] r, float[2,2] y) { r = Neg(x) t = Transpose(r) y = Max(r, t) }"""
    model = quantized(text, {"x": np.array([[-128, 127], [127, 0]], np.float32)}, "activations=uint8")
    assert_graph(
        model,
        """g (float[2,2] x) => (float[2,2] r, float[2,2] y)
          <float x_scale = {1}, uint8 x_zero_point = {128}, float r_scale = {1}, uint8 r_zero_point = {127},
           float t_scale = {1}, uint8 t_zero_point = {127}, float y_scale = {1}, uint8 y_zero_point = {127}> {
            x_codes = QuantizeLinear(x, x_scale, x_zero_point)
            x_quantized = DequantizeLinear(x_codes, x_scale, x_zero_point)
            r_raw = Neg(x_quantized)
            r_codes = QuantizeLinear(r_raw, r_scale, r_zero_point)
            r = DequantizeLinear(r_codes, r_scale, r_zero_point)
            t = Transpose(r)
            t_codes = QuantizeLinear(t, t_scale, t_zero_point)
            t_quantized = DequantizeLinear(t_codes, t_scale, t_zero_point)
            y_raw = Max(r, t_quantized)
            y_codes = QuantizeLinear(y_raw, y_scale, y_zero_point)
            y = DequantizeLinear(y_codes, y_scale, y_zero_point) }""",
    )


def test_values_are_those_of_the_equation() -> None:
    """y = ((clamp(rne(x / s) + z) - z) s) W^ + b^ with every part computed again in NumPy; elementwise within one float step."""
    model = quantized(GEMM, {"x": SPAN})
    x = RNG.uniform(-200, 200, (50, 2)).astype(np.float32)  # beyond the range too
    x[0] = [0.5, 1.5]  # half to even
    seen = np.clip(np.rint(x) + 128, 0, 255) - 128
    wanted = seen @ (np.array([[127, 63], [-50, -127]]) * [2, 0.5]) + np.array([2, 6]) * [2, 0.5]
    np.testing.assert_array_equal(run_onnx(model, {"x": x})[0], wanted.astype(np.float32))


def test_tokens_have_scales_of_their_own() -> None:
    """Every token is rounded to 127 codes each side of its own largest magnitude."""
    text = "g (float[1,n,3] x) => (float[1,n,3] y) <float[3,3] w = {127, 0, 0, 0, 127, 0, 0, 0, 127}> { y = MatMul(x, w) }"
    model = quantized(text, {"x": RNG.standard_normal((1, 4, 3)).astype(np.float32)}, "activations=tokens placement=linear")
    x = (RNG.standard_normal((1, 9, 3)) * 10.0 ** np.arange(-4, 5)[None, :, None]).astype(np.float32)
    scale = np.abs(x).max(-1, keepdims=True) / np.float32(127)
    np.testing.assert_allclose(run_onnx(model, {"x": x})[0], np.rint(x / scale) * scale * 127, rtol=1e-6)


def test_sixteen_bits_are_made_eight_where_a_product_reads_them() -> None:
    text = """g (float[1,3,2] x, float[1,2,3] k) => (float[1,3,2] y, float[1,3,3] z)
      <float[2,2] w = {1, 2, 3, 4}, float[2] gamma = {1, 1}, float[2] beta = {0, 0}> {
        n = LayerNormalization(x, gamma, beta) y = MatMul(n, w) z = MatMul(n, k) }"""
    feed = {"x": RNG.standard_normal((1, 3, 2)).astype(np.float32), "k": RNG.standard_normal((1, 2, 3)).astype(np.float32)}
    model = quantized(text, feed)
    kinds = sorted(
        (n.inputs[2].dtype.name, n.inputs[0].name)  # type: ignore[union-attr]
        for n in model.graph
        if n.op_type == "QuantizeLinear"
    )
    assert ("INT16", "n") in kinds and any(kind == "UINT8" and (name or "").startswith("n") for kind, name in kinds)
    product = next(n for n in model.graph if "z" in (n.outputs[0].name or "") and n.op_type == "MatMul")
    assert [v.producer().inputs[2].dtype.name for v in product.inputs] == ["UINT8", "UINT8"]  # type: ignore[union-attr]


@pytest.mark.parametrize("move", ["MaxPool<kernel_shape=[2,2]>(x)", "Slice(x, one, two, one)", "Gather<axis=1>(x, one)"])
def test_what_only_moves_elements_keeps_their_codes(move: str) -> None:
    """The scale is that of all of x, though what is left of it has a smaller range."""
    text = (
        f"g (float[1,2,2,2] x) => (float[a,b,c,d] y) <int64[1] one = {{1}}, int64[1] two = {{2}}> {{ m = {move} y = Sigmoid(m) }}"
    )
    x = np.array([[[[-128, 5], [1, 2]], [[3, 4], [127, -3]]]], np.float32)
    by_name = quantizers(quantized(text, {"x": x}, "activations=uint8"))
    assert by_name["x"] == by_name["m"] == ("uint8", 1, 128)


def test_linears_over_the_same_tokens_share_their_quantizer() -> None:
    text = """g (float[1,2,2] x) => (float[1,2,2] y) <float[2,2] w = {1, 2, 3, 4}, float[2,2] v = {4, 3, 2, 1}> {
        a = MatMul(x, w) b = MatMul(x, v) y = Sub(a, b) }"""
    model = quantized(text, {"x": SPAN[None]}, "placement=linear")
    assert [n.op_type for n in model.graph].count("FakeQuantizeTokens") == 1


def test_readers_outside_the_plan_read_the_same_value() -> None:
    text = """g (float[2,2] x) => (float[2,2] y, float[2,2] z) <float[2,2] w = {1, 2, 3, 4}> {
        y = MatMul(x, w) h = Hardmax(x) z = Identity(h) }"""
    model = quantized(text, {"x": SPAN}, "activations=uint8")
    hardmax = next(n for n in model.graph if n.op_type == "Hardmax")
    assert hardmax.inputs[0].name == "x_quantized"  # type: ignore[union-attr]


def test_weights_none_leaves_weights_float() -> None:
    model = quantized(GEMM, {"x": SPAN}, "weights=none activations=uint8")
    (gemm,) = [n for n in model.graph if n.op_type == "Gemm"]
    assert [v.name for v in gemm.inputs if v is not None] == ["x_quantized", "w", "b"]


def test_codes_are_read_from_the_file_as_they_were_written(tmp_path: Path) -> None:
    model = quantized(GEMM, {"x": SPAN}, "weights=int4")
    x = RNG.uniform(-200, 200, (5, 2)).astype(np.float32)
    before = described(model), run_onnx(model, {"x": x})[0]
    qgraph.save(model, tmp_path / "m.onnx")
    again = qgraph.load(tmp_path / "m.onnx")
    assert described(again) == before[0] and array(again.graph.initializers["w.codes"]).dtype.name == "int4"
    np.testing.assert_array_equal(run_onnx(again, {"x": x})[0], before[1])


def test_inputs_and_outputs_keep_their_names_and_shapes() -> None:
    model = quantized(GEMM, {"x": SPAN})
    assert [(v.name, str(v.shape)) for v in model.graph.inputs] == [("x", "[n,2]")]
    assert [(v.name, str(v.shape)) for v in model.graph.outputs] == [("y", "[n,2]")]
    assert len({v.name for n in model.graph for v in n.outputs}) == sum(len(n.outputs) for n in model.graph)


def test_old_opsets_are_refused() -> None:
    """A larger number alone would give the nodes another meaning."""
    model = model_of(GEMM)
    model.graph.opset_imports[""] = 18
    with pytest.raises(QGraphError, match=r"of opset 18, 21 is needed; load it with qgraph.capture.read"):
        Pipeline("calibrate,quantize").run(model, PassContext(data=[{"x": SPAN}]))
    assert model.graph.opset_imports[""] == 18


def test_without_ranges_it_says_what_to_do() -> None:
    with pytest.raises(QGraphError, match=r"'x' has no measured range; put 'calibrate' \(with data\) before 'quantize'"):
        Pipeline("quantize").run(model_of(GEMM))


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_a_value_that_was_always_zero_keeps_a_scale_of_one(activations: str) -> None:
    model = quantized(GEMM, {"x": np.zeros((2, 2), np.float32)}, f"activations={activations}")
    kind, scale, zero = quantizers(model)["x"]
    assert (kind, scale, zero) == (activations, 1, 0)


def test_long_names_are_not_repeated_in_every_part_of_a_quantizer() -> None:
    """Names that converters join from hundreds of characters would be most of a small file; the value keeps its own."""
    text = "g (float[n,2] x) => (float[n,2] y) <float[2,2] w = {1, 2, 3, 4}> { h = Sigmoid(x) y = MatMul(h, w) }"
    long = "model/layer_" + "7" * 200
    model = model_of(text)
    next(iter(model.graph)).outputs[0].name = long
    Pipeline("calibrate,quantize{activations=uint8}").run(model, PassContext(data=[{"x": SPAN}]))
    names = [v.name or "" for n in model.graph for v in n.outputs]
    assert long in names and len(set(names)) == len(names)
    assert max(len(v.name or "") for n in model.graph for v in n.inputs if v is not None and v.name != long) < 40
