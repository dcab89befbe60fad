"""Detectors: what joins boxes (0 to 300) and scores (0 to 1) leaves the scores as fine as they are alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.workflow import transform
from tests.conftest import run_onnx
from tests.passes.graphs import model_of, quantizers

RNG = np.random.default_rng(0)
HEAD = """g (float[1,3,4,4] x) => ({outputs})
  <float[2,3,1,1] wb, float[5,3,1,1] ws, float[2,7,1,1] wc, float[1] stride = {{40}}, int64[3] flat = {{1, -1, 16}},
   int64[2] sizes = {{2, 5}}, int64[1] two = {{2}}, int64[1] all = {{7}}, int64[1] axis = {{1}}> {{
    c = Conv(x, wb) r = Relu(c) boxes = Mul(r, stride) d = Conv(x, ws) scores = Sigmoid(d) {behind} }}"""
WEIGHTS = {
    "wb": RNG.uniform(0, 2, (2, 3, 1, 1)),
    "ws": RNG.standard_normal((5, 3, 1, 1)) * 2,
    "wc": RNG.standard_normal((2, 7, 1, 1)),
}
X = {"x": RNG.uniform(0, 1.5, (1, 3, 4, 4)).astype(np.float32)}
OUT = "float[1,7,4,4] y"
CASES = {  # what follows, outputs, and where the scores are in output y
    "Concat": ("y = Concat<axis=1>(boxes, scores)", OUT, np.s_[:, 2:]),
    "Reshape in front": (
        "p = Reshape(boxes, flat) q = Reshape(scores, flat) y = Concat<axis=1>(p, q)", "float[1,7,16] y", np.s_[:, 2:]
    ),
    "Transpose": ("t = Concat<axis=1>(boxes, scores) y = Transpose<perm=[0,2,3,1]>(t)", "float[1,4,4,7] y", np.s_[..., 2:]),
    "Reshape and Transpose": (
        "t = Concat<axis=1>(boxes, scores) u = Reshape(t, flat) y = Transpose<perm=[0,2,1]>(u)", "float[1,16,7] y", np.s_[..., 2:]
    ),
    "Split": ("t = Concat<axis=1>(boxes, scores) z, y = Split<axis=1>(t, sizes)", "float[1,2,4,4] z, float[1,5,4,4] y", np.s_[:]),
    "Slice": ("t = Concat<axis=1>(boxes, scores) y = Slice(t, two, all, axis)", "float[1,5,4,4] y", np.s_[:]),
    "two joins": ("t = Concat<axis=1>(boxes, scores) y = Concat<axis=3>(t, t)", "float[1,7,4,8] y", np.s_[:, 2:]),
    "a product that reads it too": (
        "y = Concat<axis=1>(boxes, scores) z = Conv(y, wc)", OUT + ", float[1,2,4,4] z", np.s_[:, 2:]
    ),
    "a product behind a Split": (
        "t = Concat<axis=1>(boxes, scores) b, y = Split<axis=1>(t, sizes) z = MatMul(b, b)",
        "float[1,5,4,4] y, float[1,2,4,4] z",
        np.s_[:],
    ),
    "the input": ("y = Concat<axis=1>(x, scores, boxes)", "float[1,10,4,4] y", np.s_[:, :8]),
}  # fmt: skip


def detector(behind: str, outputs: str) -> ir.Model:
    text = HEAD.format(behind=behind, outputs=outputs)
    for name, array in WEIGHTS.items():
        text = text.replace(f"] {name}", f"] {name} = {{{', '.join(map(str, array.astype(np.float32).ravel()))}}}")
    return model_of(text)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("options", ["", "activations=int8", "activations=uint8"])
def test_scores_keep_a_scale_of_their_own(case: str, options: str, tmp_path: Path) -> None:
    behind, outputs, of_scores = CASES[case]
    model = detector(behind, outputs)
    place = [v.name for v in model.graph.outputs].index("y")
    want = run_onnx(model, X)[place]
    transform(model, f"fuse-bias,calibrate,quantize{{{options}}}", data=[X])
    export(model, tmp_path / "m.onnx")
    compile(model, tmp_path / "m.qgp")
    for got in (run_onnx(model, X)[place], list(Session(tmp_path / "m.qgp").run(X).values())[place]):
        np.testing.assert_allclose(got[of_scores], want[of_scores], atol=0.02)
        np.testing.assert_allclose(got, want, atol=4)


@pytest.mark.parametrize("op", ["Conv", "MatMul and Add"])
def test_a_head_of_one_product_keeps_its_scores(op: str, tmp_path: Path) -> None:
    """Its weights have a scale a channel, and what puts its output in order takes none of it away."""
    if op == "Conv":
        text = """g (float[1,2,3,3] x) => (float[1,9,3] y)
          <float[3,2,1,1] w = {300, 200, 1, 0.5, -0.5, 1}, float[3] b = {100, 0, 0.1}, int64[3] shape = {1, 3, 9}> {
          c = Conv(x, w, b) r = Reshape(c, shape) y = Transpose<perm=[0,2,1]>(r) }"""
    else:
        text = """g (float[1,9,2] x) => (float[1,9,3] y) <float[2,3] w = {300, 1, -0.5, 200, 0.5, 1}, float[3] b = {100, 0, 0.1},
          int64[2] shape = {9, 3}, int64[1] first = {0}> {
          p = MatMul(x, w) c = Add(p, b) r = Reshape(c, shape) y = Unsqueeze(r, first) }"""
    model = model_of(text)
    feed = {"x": RNG.uniform(0, 1, model.graph.inputs[0].shape.numpy()).astype(np.float32)}  # type: ignore[union-attr]
    want = run_onnx(model, feed)[0]
    transform(model, "calibrate,quantize", data=[feed])
    compile(model, tmp_path / "m.qgp")
    for got in (run_onnx(model, feed)[0], next(iter(Session(tmp_path / "m.qgp").run(feed).values()))):
        np.testing.assert_allclose(got[..., 1:], want[..., 1:], atol=0.02)
        np.testing.assert_allclose(got, want, atol=3)


@pytest.mark.parametrize("behind", ["y = Relu(t)", "u = Transpose<perm=[0,2,3,1]>(t) y = Tanh(u)", "y = Mul(t, t)"])
def test_a_join_that_is_computed_with_has_16_bits(behind: str, tmp_path: Path) -> None:
    out = "float[1,4,4,7] y" if "perm" in behind else OUT
    model = detector(f"t = Concat<axis=1>(boxes, scores) {behind}", out)
    want = run_onnx(model, X)[0]
    transform(model, "calibrate,quantize", data=[X])
    assert quantizers(model)["t"][0] == "int16"
    compile(model, tmp_path / "m.qgp")
    of_scores = np.s_[..., 2:] if "perm" in behind else np.s_[:, 2:]
    for got in (run_onnx(model, X)[0], next(iter(Session(tmp_path / "m.qgp").run(X).values()))):
        np.testing.assert_allclose(got[of_scores], want[of_scores], atol=0.03)


def test_a_join_that_products_read_has_8_bits() -> None:
    model = detector("t = Concat<axis=1>(boxes, scores) z = Conv(t, wc)", "float[1,2,4,4] z")
    transform(model, "calibrate,quantize", data=[X], force=True)
    assert quantizers(model)["t"][0] == "uint8"


def test_outputs_of_float_ops_have_no_quantizer() -> None:
    """Neither those that nothing else reads, nor those that a product reads: it has a quantizer of its own."""
    text = """g (float[2,2] x) => (float[2,2] y, float[2,2] h, float[2,2] z) <float[2,2] w = {1, 2, 3, 4}> {
        h = Hardmax(x) y = Hardmax(h) z = MatMul(h, w) }"""
    model = model_of(text)
    transform(model, "calibrate,quantize{activations=uint8}", data=[{"x": np.eye(2, dtype=np.float32)}])
    outputs = {v.name: v.producer().op_type for v in model.graph.outputs}  # type: ignore[union-attr]
    assert outputs == {"y": "Hardmax", "h": "Hardmax", "z": "MatMul"} and set(quantizers(model)) == {"h"}


@pytest.mark.parametrize("behind", ["y = Reshape(s, flat)", "r = Reshape(s, flat) y = Concat<axis=0>(r, r)"])
def test_what_a_float_op_joins_and_is_moved_has_no_quantizer(behind: str) -> None:
    """Boxes may be written over the numbers of a head by ScatterND, which has no kernel."""
    text = f"""g (float[2,3] x, float[2,1] boxes) => (float[n] y) <float[3,3] w = {{1, 2, 3, 4, 5, 6, 7, 8, 9}},
      int64[2,1,2] where = {{0, 0, 1, 0}}, int64[1] flat = {{-1}}> {{ h = MatMul(x, w) p = Sigmoid(h)
      s = ScatterND(p, where, boxes) {behind} }}"""
    model = model_of(text)
    feed = {"x": RNG.standard_normal((2, 3)).astype(np.float32) / 4, "boxes": np.array([[300], [200]], np.float32)}
    want = run_onnx(model, feed)[0]
    transform(model, "calibrate,quantize{activations=uint8}", data=[feed])
    assert not {"s", "r"} & set(quantizers(model)) and not any(name.endswith("_raw") for name in quantizers(model))
    np.testing.assert_allclose(run_onnx(model, feed)[0], want, atol=0.02)


def test_numbers_of_the_grid_stay_float() -> None:
    """What is computed from shapes alone, as the places of boxes are: larger inputs have larger numbers."""
    text = """g (float[1,n] x) => (float[1,n] y) <int64 zero = {0}, int64 one = {1}, float half = {0.5}> {
        s = Shape<start=1, end=2>(x) k = Squeeze(s) i = Range(zero, k, one) f = Cast<to=1>(i) g = Add(f, half) y = Add(g, x) }"""
    model = model_of(text)
    feed = {"x": RNG.uniform(0, 1, (1, 300)).astype(np.float32)}
    want = run_onnx(model, feed)[0]
    transform(model, "calibrate,quantize", data=[feed])
    assert not {"f", "g"} & set(quantizers(model))
    np.testing.assert_allclose(run_onnx(model, feed)[0], want, atol=0.7)
