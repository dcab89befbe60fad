"""Inputs and outputs of a program: names, order and count are those of the float model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.workflow import transform
from tests.conftest import run_onnx
from tests.passes.graphs import model_of

OUTPUTS = {  # nodes beside y = Conv(x, w) and d = Relu(y), and the outputs
    "the input": ("", ["x", "y"]),
    "the input behind": ("", ["y", "x"]),
    "the input and a copy": ("e = Identity(x)", ["e", "y", "x"]),
    "a constant": ("", ["y", "k"]),
    "copies of a constant": ("e = Identity(k) f = Identity(k)", ["f", "y", "e", "k"]),
    "copies of a hidden value": ("e = Identity(d) f = Dropout(d)", ["y", "f", "e", "d"]),
    "copies of the result": ("e = Identity(y)", ["e", "y"]),
}


@pytest.mark.parametrize("case", OUTPUTS)
@pytest.mark.parametrize("passes", ["calibrate,quantize", "canonicalize,fold-batchnorm,fuse-bias,calibrate,quantize"])
def test_inputs_and_outputs_keep_their_names(case: str, passes: str, tmp_path: Path) -> None:
    more, outputs = OUTPUTS[case]
    listed = ", ".join(f"float[1,1,2,2] {name}" for name in outputs)
    model = model_of(
        f"g (float[1,1,2,2] x) => ({listed}) <float[1,1,1,1] w = {{2}}, float[1,1,2,2] k = {{1, 2, 3, 4}}> "
        f"{{ y = Conv(x, w) d = Relu(y) z = Add(d, k) {more} }}"
    )
    feed = {"x": np.array([[[[1, -2], [3, 4]]]], np.float32)}
    want = run_onnx(model, feed)
    transform(model, passes, data=[feed])
    assert [v.name for v in model.graph.inputs] == ["x"]
    assert [v.name for v in model.graph.outputs] == outputs
    compile(model, tmp_path / "m.qgp")
    program = Session(tmp_path / "m.qgp")
    assert list(program.inputs) == ["x"]
    assert program.outputs == outputs
    export(model, tmp_path / "m.onnx")
    made = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert [o.name for o in made.get_outputs()] == outputs
    for got in (run_onnx(model, feed), list(program.run(feed).values()), made.run(None, feed)):
        for a, b in zip(got, want, strict=True):
            assert np.abs(a - b).max() <= 0.05


def test_a_model_of_constants_is_a_program(tmp_path: Path) -> None:
    model = model_of("g (float[n,3] x) => (float[2] y) <float[2] c = {1, 2}> { y = Identity(c) }")
    feed = {"x": np.ones((2, 3), np.float32)}
    transform(model, preset="int8", data=[feed])
    compile(model, tmp_path / "m.qgp")
    np.testing.assert_array_equal(Session(tmp_path / "m.qgp").run(feed)["y"], [1, 2])


def test_a_constant_in_front_of_a_quantizer_is_compiled_as_codes(tmp_path: Path) -> None:
    """As quantization-aware training leaves a weight, and as ONNX Runtime's quantizer leaves the vectors of a normalization."""
    rng = np.random.default_rng(0)
    weights = ", ".join(f"{v:.3f}" for v in rng.normal(0, 0.5, 12))
    model = model_of(
        f"g (float[2,3] x) => (float[2,4] y) <float[3,4] w = {{{weights}}}, float[4] g = {{1, 0.5, 2, 1}}, "
        "float[4] b = {0, 1, -1, 2}, float s = {0.02}, uint8 z = {128}, float sw = {0.01}, int8 zw = {0}, float sg = {0.02}> { "
        "q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) "
        "wq = QuantizeLinear(w, sw, zw) v = DequantizeLinear(wq, sw, zw) c = MatMul(a, v) "
        "d = QuantizeLinear(c, s, z) e = DequantizeLinear(d, s, z) gq = QuantizeLinear(g, sg, zw) "
        "h = DequantizeLinear(gq, sg, zw) n = LayerNormalization(e, h, b) p = QuantizeLinear(n, s, z) "
        "y = DequantizeLinear(p, s, z) }"
    )
    feed = {"x": rng.normal(size=(2, 3)).astype(np.float32)}
    compile(model, tmp_path / "m.qgp", sparse=False)
    (found,) = Session(tmp_path / "m.qgp").run(feed).values()
    assert np.abs(found - run_onnx(model, feed)[0]).max() <= 0.0201  # one code


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_rows_of_a_table_with_one_scale_and_a_zero_point(tmp_path: Path, kind: str) -> None:
    model = model_of(
        f"g (int64[3] x) => (float[3,2] y) <{kind}[4,2] t = {{1, 2, 3, 4, 5, 6, 7, 100}}, float s = {{0.5}}, {kind} z = {{7}}> "
        "{ r = Gather(t, x) y = DequantizeLinear(r, s, z) }"
    )
    compile(model, tmp_path / "m.qgp", sparse=False)
    (found,) = Session(tmp_path / "m.qgp").run({"x": np.array([3, 0, 1])}).values()
    np.testing.assert_array_equal(found, [[0, 46.5], [-3, -2.5], [-2, -1.5]])


@pytest.mark.parametrize(
    "op", ["d, s2, z2 = DynamicQuantizeLinear(a) y = DequantizeLinear(d, s2, z2)", "i = MatMulInteger(q, w, z) y = Cast<to=1>(i)"]
)
def test_codes_with_measured_scales_are_refused(op: str, tmp_path: Path) -> None:
    model = model_of(
        "g (float[2,3] x) => (y) <float s = {0.02}, uint8 z = {128}, int8[3,1] w = {1, 2, 3}> "
        f"{{ q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) {op} }}"
    )
    with pytest.raises(QGraphError, match="measured in every run"):
        compile(model, tmp_path / "m.qgp")


@pytest.mark.parametrize(("inputs", "outputs", "body"), [
    ("int8[2,3] x", "float[2,3] y", "y = DequantizeLinear(x, s, z)"),
    ("float[2,3] x", "int8[2,3] y", "y = QuantizeLinear(x, s, z)"),
])  # fmt: skip
def test_int8_at_the_border_is_refused(inputs: str, outputs: str, body: str, tmp_path: Path) -> None:
    model = model_of(f"g ({inputs}) => ({outputs}) <float s = {{0.02}}, int8 z = {{0}}> {{ {body} }}")
    with pytest.raises(QGraphError, match="is int8 and a program's codes are uint8"):
        compile(model, tmp_path / "m.qgp")


def test_uint8_at_the_border_is_the_codes(tmp_path: Path) -> None:
    model = model_of(
        "g (uint8[2,3] x) => (uint8[2,3] y) <float s = {0.02}, uint8 z = {7}, float t = {0.03}, uint8 u = {9}> "
        "{ a = DequantizeLinear(x, s, z) y = QuantizeLinear(a, t, u) }"
    )
    feed = {"x": np.array([[0, 7, 255], [90, 17, 3]], np.uint8)}
    compile(model, tmp_path / "m.qgp")
    np.testing.assert_array_equal(Session(tmp_path / "m.qgp").run(feed)["y"], run_onnx(model, feed)[0])


def test_what_has_no_kernel_is_named_with_the_reason(tmp_path: Path) -> None:
    model = model_of(
        "g (float[2,3] x) => (float[2,3] y) <float s = {0.02}, uint8 z = {128}> { q = QuantizeLinear(x, s, z) "
        "a = DequantizeLinear(q, s, z) h = Bernoulli(a) b = QuantizeLinear(h, s, z) y = DequantizeLinear(b, s, z) }"
    )
    with pytest.raises(QGraphError, match=r"computes 1 of the nodes: Bernoulli node '.*' \(no program has Bernoulli\)") as caught:
        compile(model, tmp_path / "m.qgp")
    assert "quantize them" not in str(caught.value)


@pytest.mark.parametrize("names", [("t", "t_1"), ("t_1", "t")])
def test_outputs_called_as_a_copy_would_be_keep_their_names(names: tuple[str, str], tmp_path: Path) -> None:
    """Keys and values are handed out in float and read as codes, which need a name of their own."""
    rng = np.random.default_rng(0)
    weights = ", ".join(f"{v:.3f}" for v in rng.standard_normal(128))
    keys, values = names
    model = model_of(
        f"""g (float[2,4,8] x) => (float[2,2,4,4] {keys}, float[2,2,4,4] {values}, float[2,2,4,4] y)
          <float[8,16] w = {{{weights}}}, int64[4] s = {{2,4,2,4}}> {{
            h = MatMul(x, w) k, v = Split<axis=-1, num_outputs=2>(h) kr = Reshape(k, s) vr = Reshape(v, s)
            {keys} = Transpose<perm=[0,2,1,3]>(kr) {values} = Transpose<perm=[0,2,1,3]>(vr)
            kt = Transpose<perm=[0,1,3,2]>({keys}) q = MatMul({values}, kt) p = Softmax(q) y = MatMul(p, {values}) }}"""
    )
    feed = {"x": rng.standard_normal((2, 4, 8)).astype(np.float32)}
    transform(model, preset="int8", data=[feed])
    compile(model, tmp_path / "m.qgp")
    program = Session(tmp_path / "m.qgp")
    assert program.outputs == [*names, "y"]
    for a, b in zip(program.run(feed).values(), run_onnx(model, feed), strict=True):
        np.testing.assert_allclose(a, b, atol=0.1)


def test_a_model_that_is_not_quantized_runs_in_float32(tmp_path: Path) -> None:
    model = model_of("g (float[2,2] x, float[2,2] w) => (float[2,2] y) { s = Add(x, w) y = Relu(s) }")
    compile(model, tmp_path / "m.qgp")
    x, w = (np.random.default_rng(seed).standard_normal((2, 2)).astype(np.float32) for seed in (0, 1))
    assert np.array_equal(Session(tmp_path / "m.qgp").run({"x": x, "w": w})["y"], np.maximum(x + w, 0))


def test_types_that_no_program_computes_are_refused_with_what_to_do(tmp_path: Path) -> None:
    model = model_of(
        "g (float[2,2] x) => (int64[1,2] y) <float[2,2] w = {1, 2, 3, 4}> { h = MatMul(x, w) c = Cast<to=2>(h) y = ArgMax(c) }"
    )
    transform(model, preset="int8", data=[{"x": np.ones((2, 2), np.float32)}])
    with pytest.raises(QGraphError, match=r"ArgMax node .* allowed are FLOAT, INT64, INT32; replace it in .*export"):
        compile(model, tmp_path / "m.qgp")


def test_transposed_convolutions_over_three_axes_are_refused_by_name(tmp_path: Path) -> None:
    numbers = ", ".join(["0.5"] * 16)
    model = model_of(
        f"g (float[1,1,2,2,2] x) => (float[1,2,3,3,3] y) <float[1,2,2,2,2] w = {{{numbers}}}> {{ y = ConvTranspose(x, w) }}"
    )
    transform(model, preset="int8", data=[{"x": np.ones((1, 1, 2, 2, 2), np.float32)}])
    with pytest.raises(QGraphError, match="has 3 spatial axes; the integer runtime takes one or two"):
        compile(model, tmp_path / "m.qgp")


def test_a_chain_of_thousands_of_float_ops(tmp_path: Path) -> None:
    steps = "".join(f"v{i + 1} = Neg(v{i}) " for i in range(4001))
    model = model_of(f"g (float[2] v0) => (float[2] v4001) {{ {steps} }}")
    compile(model, tmp_path / "m.qgp")
    x = np.array([1, -2], np.float32)
    np.testing.assert_array_equal(Session(tmp_path / "m.qgp").run({"v0": x})["v4001"], -x)
