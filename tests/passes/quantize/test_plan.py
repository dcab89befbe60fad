"""What the planner chooses to quantize and in which type, seen in the quantizers that ``quantize`` inserts by its plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.execute.onnxruntime import session
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import array, model_of, quantizers

RNG = np.random.default_rng(0)
CNN = """g (float[1,1,4,4] x) => (float[1,2,4] y)
  <float[2,1,1,1] w = {1, 2}, float[2] b = {1, 2}, int64[3] flat = {1, 2, 16}, float[16,4] v = {
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32}> {
    c = Conv<kernel_shape=[1,1]>(x, w, b) r = Relu(c) a = AveragePool<kernel_shape=[1,1]>(r)
    t = Transpose<perm=[0,1,3,2]>(a) f = Reshape(t, flat) y = MatMul(f, v) }"""
BLOCK = """g (float[1,3,2] x) => (float[1,3,2] y)
  <float[2,2] w = {1, 2, 3, 4}, float[2] b = {1, 2}, float[2] gamma = {1, 1}, float[2] beta = {0, 0}> {
    n = LayerNormalization(x, gamma, beta) m = MatMul(n, w) s = Add(m, b) r = Add(x, s)
    y = LayerNormalization(r, gamma, beta) }"""
ATTENTION = """g (float[1,2,3,4] q, float[1,2,4,3] k, float[1,2,3,4] v) => (float[1,2,3,4] y)
  <float half = {0.5}, float[1,1,1,3] mask = {0, 0, -1e30}> {
    s = MatMul(q, k) t = Mul(s, half) u = Add(t, mask) p = Softmax(u) y = MatMul(p, v) }"""


def feed_of(model: ir.Model) -> dict[str, np.ndarray]:
    return {v.name or "": RNG.standard_normal(v.shape.numpy()).astype(np.float32) for v in model.graph.inputs}  # type: ignore[union-attr]


def planned(text: str, options: str = "") -> tuple[dict[str, str], dict[str, str], ir.Model]:
    """Types of the quantized values by name, why nodes stay float, and the model."""
    model = model_of(text)
    reports = Pipeline(f"calibrate,quantize{{{options}}}").run(model, PassContext(data=[feed_of(model)]))
    return {name: kind for name, (kind, _, _) in quantizers(model).items()}, reports[-1].details["kept float"], model


def test_what_a_kernel_hands_on_is_not_stored() -> None:
    types, kept, model = planned(CNN, "activations=uint8")
    assert types == dict.fromkeys(["x", "r", "a", "t", "f"], "uint8")  # not c, which Relu clamps, nor y, which leaves as float
    assert kept == {}
    by_name = quantizers(model)
    for before, after in (("a", "t"), ("t", "f")):  # movement keeps codes
        assert by_name[before][1] == by_name[after][1] and by_name[before][2] == by_name[after][2]


@pytest.mark.parametrize(
    ("activations", "x", "others"), [("uint8", "uint8", "uint8"), ("int8", "int8", "int8"), ("uint4", "uint8", "uint4")]
)
def test_static_types(activations: str, x: str, others: str) -> None:
    types, _, _ = planned(CNN, f"activations={activations}")
    assert types == {"x": x, "r": others, "a": others, "t": others, "f": others}


def test_residual_streams_have_16_bits_and_linears_over_tokens_their_own_quantizers() -> None:
    types, kept, model = planned(BLOCK)
    assert types == {"x": "int16", "n": "int16", "r": "int16"}  # the linear's output joins the residual sum unrounded
    assert kept == {}
    (tokens,) = [n for n in model.graph if n.op_type == "FakeQuantizeTokens"]
    (product,) = [n for n in model.graph if n.op_type == "MatMul"]
    assert product.inputs[0] is tokens.outputs[0]
    assert all(zero == 0 for _, _, zero in quantizers(model).values())  # symmetric


def test_both_sides_of_a_residual_sum_have_16_bits() -> None:
    text = """g (float[1,3,2] x, float[1,3,2] z) => (float[1,3,2] y) <float[2] gamma = {1, 1}, float[2] beta = {0, 0}> {
        t = Transpose<perm=[0,1,2]>(z) r = Add(x, t) y = LayerNormalization(r, gamma, beta) }"""
    types, kept, _ = planned(text)
    assert types == dict.fromkeys(["x", "z", "t", "r"], "int16") and kept == {}


def test_static_activations_leave_no_16_bits() -> None:
    types, _, model = planned(BLOCK, "activations=uint8")
    assert set(types.values()) == {"uint8"} and set(types) == {"x", "n", "s", "r"}
    assert not any(n.op_type == "FakeQuantizeTokens" for n in model.graph)


def test_attention_scores_are_never_stored() -> None:
    types, kept, model = planned(ATTENTION)
    assert types == dict.fromkeys("qkvp", "uint8")
    assert kept == {}
    _, scale, zero = quantizers(model)["p"]
    assert (scale, zero) == (np.float32(1 / 255), 0)  # probabilities have the range of all probabilities


def test_a_mask_near_minus_infinity_is_not_quantized() -> None:
    text = "g (float[2,3] x) => (float[2,3] y) <float[3] mask = {%s}> { m = Add(x, mask) s = Softmax(m) y = Mul(s, s) }"
    finite, kept, _ = planned(text % "0, 0, -9", "activations=uint8")
    assert kept == {}
    masked, _, _ = planned(text % "0, 0, -1e30", "activations=uint8")
    assert "m" in finite and set(masked) == {"s"}


def test_placement_linear_quantizes_what_linears_read() -> None:
    types, _, model = planned(CNN, "placement=linear activations=uint8")
    assert types == {"x": "uint8", "f": "uint8"}
    assert [n.op_type for n in model.graph if n.op_type in ("Relu", "AveragePool", "Transpose")] == [
        "Relu",
        "AveragePool",
        "Transpose",
    ]


@pytest.mark.parametrize(
    ("options", "node", "why", "gone"),
    [
        ("exclude=[AveragePool]", "a", "excluded", set()),
        ("exclude=[AveragePool,Transpose,Reshape]", "t", "excluded", {"t"}),
        ("exclude=[y]", "y", "excluded", set()),
        ("include=[Conv]", "y", "not selected by include", {"a", "t"}),
    ],
)
def test_what_is_left_out_stays_float_and_says_why(options: str, node: str, why: str, gone: set[str]) -> None:
    types, kept, model = planned(CNN, f"activations=uint8 {options}")
    assert kept[node] == why
    assert not gone & set(types)
    whole = [n.inputs[1].const_value is not None for n in model.graph if n.op_type == "MatMul"]  # type: ignore[union-attr]
    assert whole == [node == "y"]  # a float weight where the product was left out, else behind DequantizeLinear


def test_ops_without_a_kernel_are_named() -> None:
    text = "g (float[2,3] x) => (float[2,3] y) <float[3,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}> { h = Hardmax(x) y = MatMul(h, w) }"
    types, kept, _ = planned(text, "activations=uint8")
    assert kept == {"h": "no integer kernel for Hardmax"} and types == {"h": "uint8"}


def test_what_works_on_ops_without_a_kernel_stays_float_up_to_the_next_product() -> None:
    """As a normalization that is written out as sums: codes of the variance would cost what codes of the result do not."""
    text = """g (float[2,3] x) => (float[2,3] y)
      <float[3,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}, int64[1] last = {-1}, float e = {0.1}> {
      s = Mul(x, x) v = ReduceSum(s, last) a = Add(v, e) r = Sqrt(a) t = Transpose<perm=[1, 0]>(r) u = Transpose<perm=[1, 0]>(t)
      d = Div(x, u) y = MatMul(d, w) }"""
    types, kept, _ = planned(text, "activations=uint8")
    reason = "it works on what ops without an integer kernel make"
    assert kept.pop("v") == "no integer kernel for ReduceSum"
    assert {name for name, why in kept.items() if why == reason} == {"a", "r", "t", "u"}
    assert not {"a", "r", "t"} & set(types) and "d" in types


def test_a_product_of_two_values_has_no_weight() -> None:
    text = "g (float[2,3] a, float[3,2] b) => (float[2,2] y) { y = MatMul(a, b) }"
    types, _, model = planned(text)
    assert set(types) >= {"a", "b"} and [n.op_type for n in model.graph].count("MatMul") == 1


def test_a_gemm_that_scales_is_no_linear() -> None:
    text = "g (float[2,2] x) => (float[2,2] y) <float[2,2] w = {1, 2, 3, 4}> { y = Gemm<alpha=2.0>(x, w) }"
    types, kept, model = planned(text)
    (gemm,) = [n for n in model.graph if n.op_type == "Gemm"]
    assert "x" not in types and kept == {"y": "no integer kernel for Gemm"}
    assert [v.name for v in gemm.inputs if v is not None] == ["x", "w"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("options", ["", "weights=int4", "placement=linear activations=tokens"])
def test_tables_that_hold_no_numbers_stay_float(number: float, options: str, tmp_path: Path) -> None:
    text = (
        "g (int64[1,2] i) => (float[1,2,2] y) <float[4,3] t = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1, 1}, "
        "float[3,2] w = {1, 2, 3, 4, 5, 6}> { e = Gather(t, i) m = MatMul(e, w) y = Relu(m) }"
    )
    model, feed = model_of(text), {"i": np.array([[2, 1]])}
    table = array(model.graph.initializers["t"]).copy()
    table[3, 1] = number
    model.graph.initializers["t"].const_value = ir.Tensor(table, name="t")
    want = run_onnx(model, feed)[0]
    *_, report = Pipeline(f"calibrate,quantize{{{options}}}").run(model, PassContext(data=[feed]))
    assert report.details["kept float"]["e"] == "'t' holds NaN or infinity"
    assert np.abs(run_onnx(model, feed)[0] - want).max() < 0.1 * want.max()
    if "linear" not in options:
        compile(model, tmp_path / "m.qgp")
        assert np.abs(Session(tmp_path / "m.qgp").run(feed)["y"] - want).max() < 0.1 * want.max()


def test_weights_that_hold_no_numbers_stay_float() -> None:
    model = model_of(
        "g (float[1,2,3] x) => (float[1,2,2] y) <float[3,2] w = {1, 2, 3, 4, 5, 6}> { m = MatMul(x, w) y = Relu(m) }"
    )
    weight = array(model.graph.initializers["w"]).copy()
    weight[1, 1] = np.nan
    model.graph.initializers["w"].const_value = ir.Tensor(weight, name="w")
    (report,) = Pipeline("quantize{placement=linear activations=tokens}").run(model)
    assert report.details["kept float"] == {"m": "'w' holds NaN or infinity"}
    assert [n.op_type for n in model.graph] == ["MatMul", "Relu"]


@pytest.mark.parametrize("weight", [1e-30, 1e-36, 1e-38, 1e-42])
@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_a_channel_of_tiny_weights_keeps_its_bias(op: str, weight: float, tmp_path: Path) -> None:
    call = "m = Gemm(x, w, b) y = Relu(m)" if op == "Gemm" else "m = MatMul(x, w) a = Add(m, b) y = Relu(a)"
    text = f"g (float[2,3] x) => (float[2,2] y) <float[3,2] w = {{1, 0, 2, 0, 3, 0}}, float[2] b = {{1, 20}}> {{ {call} }}"
    model, feed = model_of(text), {"x": np.array([[1, 2, 3], [3, 1, 2]], np.float32)}
    w = array(model.graph.initializers["w"]).copy()
    w[:, 1] = weight
    model.graph.initializers["w"].const_value = ir.Tensor(w, name="w")
    want = run_onnx(model, feed)[0]
    Pipeline("calibrate,quantize{activations=uint8}").run(model, PassContext(data=[feed]))
    compile(model, tmp_path / "m.qgp")
    for got in (run_onnx(model, feed)[0], Session(tmp_path / "m.qgp").run(feed)["y"]):
        assert np.abs(got - want).max() < 0.15


@pytest.mark.parametrize("options", ["", "placement=linear activations=tokens", "weights=int4 weight-block=2"])
def test_a_matrix_times_a_stack_of_weights_stays_float(options: str, tmp_path: Path) -> None:
    text = "g (float[3,2] x) => (float[2,3,2] y) <float[2,2,2] w = {1, 2, 3, 4, 5, 6, 7, 8}> { m = MatMul(x, w) y = Neg(m) }"
    model = model_of(text)
    feed = feed_of(model)
    want = run_onnx(model, feed)[0]
    *_, report = Pipeline(f"calibrate,quantize{{{options}}}").run(model, PassContext(data=[feed]))
    assert report.details["kept float"]["m"] == "its weight has 3 dims and its input 2"
    export(model, tmp_path / "m.onnx")
    for optimize in (False, True):
        made = session(model, list(model.graph.outputs), optimize=optimize)
        assert np.abs(made.run(None, feed)[0] - want).max() < 0.03 * np.abs(want).max()


def test_what_has_a_scale_keeps_it() -> None:
    """A file of which another tool quantized a part: the rest gets quantizers, that part none, and its weight keeps its codes."""
    text = """g (float[2,4] x) => (float[2,4] y)
      <int8[4,4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, float s = {0.05}, uint8 z = {128}, float sw = {0.1},
       int8 zw = {0}, float[4,4] v = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}> {
        q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) u = DequantizeLinear(w, sw, zw) c = MatMul(a, u)
        d = QuantizeLinear(c, s, z) e = DequantizeLinear(d, s, z) f = Sigmoid(e) g = MatMul(f, u) y = MatMul(g, v) }"""
    model = model_of(text)
    before = quantizers(model)
    Pipeline("calibrate,quantize{activations=uint8}").run(model, PassContext(data=[feed_of(model)]))
    after = quantizers(model)
    assert list(before) == ["x", "c"] and sorted(after) == ["c", "f", "g", "x"]
    assert all(after[name] == before[name] for name in before)
    assert model.graph.initializers["w"].const_value is not None and "v.codes" in model.graph.initializers


def test_what_a_kernel_hands_on_gets_no_quantizer_beside_codes() -> None:
    """The output of a product with coded weights in front of a clamp and a quantizer of the file."""
    text = """g (float[2,4] x) => (float[2,4] y)
      <int8[4,4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, float s = {0.05}, uint8 z = {128}, float sw = {0.1},
       int8 zw = {0}> { q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) u = DequantizeLinear(w, sw, zw) c = Gemm(a, u)
        r = Relu(c) d = QuantizeLinear(r, s, z) y = DequantizeLinear(d, s, z) }"""
    model = model_of(text)
    feed = feed_of(model)
    before = run_onnx(model, feed)[0]
    for preset in ("calibrate,quantize", "quantize{activations=tokens placement=linear}"):
        made = model.clone()
        (*_, report) = Pipeline(preset).run(made, PassContext(data=[feed]))
        assert list(quantizers(made)) == ["x", "r"] and not report.details["kept float"]
        np.testing.assert_array_equal(run_onnx(made, feed)[0], before)
