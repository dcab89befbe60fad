"""Positions and their angles stay float: a range measured on short inputs says nothing about longer ones."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import model_of, quantizers

PASSES = "canonicalize,calibrate,quantize"
SHORT, LONG = 4, 200
COUNTED = """g (float[1,n,4] x) => (float[1,n,4] y)
  <int64 zero = {0}, int64 one = {1}, int64[1] axis = {1}, int64[2] both = {0, 2}, float[4] f = {1, 0.7, 0.2, 0.05}> {
    shape = Shape<start=1, end=2>(x) n = Squeeze(shape) r = Range(zero, n, one) c = Cast<to=1>(r) u = Unsqueeze(c, both)
    a = Mul(u, f) s = Sin(a) k = Cos(a) p = Mul(x, s) q = Mul(x, k) y = Add(p, q) }"""
GIVEN = """g (float[1,n,4] x, int64[1,n] ids) => (float[1,n,4] y)
  <int64[1] last = {2}, float[1,1,2] f = {1, 0.05}> {
    c = Cast<to=1>(ids) u = Unsqueeze(c, last) h = MatMul(u, f) a = Concat<axis=2>(h, h) s = Sin(a) k = Cos(a)
    p = Mul(x, s) q = Mul(x, k) y = Add(p, q) }"""
BUCKETS = """g (float[1,n,4] x) => (float[1,n,4] y)
  <int64 zero = {0}, int64 one = {1}, float two = {2}, float[6,4] table = {
    1, 2, 3, 4, 4, 1, 3, 2, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1, 1, 3, 4, 2}> {
    shape = Shape<start=1, end=2>(x) n = Squeeze(shape) r = Range(zero, n, one) c = Cast<to=1>(r) l = Log(c)
    far = Cast<to=7>(l) near = Less(r, one) bucket = Where(near, zero, far) t = Gather(table, bucket) y = Mul(x, t) }"""
TIME = """g (float[n] t, float[n,4] x) => (float[n,4] y) <int64[1] last = {1}, float[1,4] f = {1, 0.3, 0.1, 0.01}> {
    u = Unsqueeze(t, last) w = Mul(u, f) a = Sin(w) y = Mul(x, a) }"""
SOUND = """g (float[n,4] x) => (float[n,4] y)
  <float[4,4] w = {1, 2, -1, 1, 0, 1, 2, 1, 1, 1, -2, 1, 0, 1, 1, 1}, float[4] f = {1, 2, 1, 2}> {
    h = MatMul(x, w) a = Mul(h, f) s = Sin(a) d = Mul(s, s) y = Add(h, d) }"""


def feed_of(model: ir.Model, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng, feed = np.random.default_rng(seed), {}
    for value in model.graph.inputs:
        shape = [n if not isinstance(d, int) else d for d in value.shape or ()]
        feed[value.name or ""] = np.arange(n)[None] if value.name == "ids" else rng.uniform(-1, 1, shape).astype(np.float32)
        if value.name == "t":
            feed["t"] = rng.uniform(0, 900, shape).astype(np.float32)
    return feed


def short(model: ir.Model) -> list[dict[str, np.ndarray]]:
    """Many short inputs: what is not of positions has its whole range in them."""
    return [feed_of(model, SHORT, seed) for seed in range(60)]


def decibels(wanted: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10((wanted.astype(np.float64) ** 2).sum() / ((wanted - found).astype(np.float64) ** 2).sum()))


@pytest.mark.parametrize("text", [COUNTED, GIVEN, BUCKETS, TIME], ids=["counted", "given", "buckets", "time"])
def test_longer_inputs_than_those_of_the_calibration_are_as_good(text: str) -> None:
    model = model_of(text)
    feed = feed_of(model, LONG)
    wanted = run_onnx(model, feed)[0]
    Pipeline(PASSES).run(model, PassContext(data=short(model)))
    assert decibels(wanted, run_onnx(model, feed)[0]) > 30


def test_rows_that_are_looked_up_by_position_have_the_range_of_the_table() -> None:
    model = model_of(BUCKETS.replace("1, 3, 4, 2}", "1, -3, 4, 5}"))
    Pipeline(PASSES).run(model, PassContext(data=short(model)))
    kind, scale, zero = quantizers(model)["t"]
    assert kind == "uint8" and scale * (0 - int(zero)) < -2.9 and scale * (255 - int(zero)) > 4.9


def test_positions_have_no_quantizers_and_a_reason() -> None:
    model = model_of(COUNTED)
    reports = Pipeline(PASSES).run(model, PassContext(data=short(model)))
    assert {"s", "k", "x"} <= set(quantizers(model)) and not {"c", "u", "a"} & set(quantizers(model))
    assert quantizers(model)["s"][1] == np.float32(2 / 255)  # any sine
    assert "positions" in reports[-1].details["kept float"]["a"]


def test_angles_of_activations_are_quantized_where_8_bits_hold_them() -> None:
    for scale, quantized in ((0.5, True), (30, False)):
        model = model_of(SOUND)
        feed = {"x": feed_of(model, LONG)["x"] * np.float32(scale)}
        wanted = run_onnx(model, feed)[0]
        Pipeline(PASSES).run(model, PassContext(data=[feed]))
        assert ({"h", "d"} <= set(quantizers(model))) == quantized
        assert decibels(wanted, run_onnx(model, feed)[0]) > 30


def test_masks_that_are_inputs_are_quantized_as_before() -> None:
    text = """g (float[1,n,4] x, int64[1,n] mask) => (float[1,4] y) <int64[1] last = {2}, int64[1] axis = {1}> {
        c = Cast<to=1>(mask) u = Unsqueeze(c, last) m = Mul(x, u) y = ReduceMean<keepdims=0>(m, axis) }"""
    model = model_of(text)
    feed = {**feed_of(model, SHORT), "mask": np.array([[1, 1, 1, 0]])}
    Pipeline(PASSES).run(model, PassContext(data=[feed]))
    assert {"x", "c", "u", "m"} <= set(quantizers(model))


@pytest.mark.parametrize("kind", ["uint8", "int32", "float16"])
def test_pictures_and_numbers_of_other_types_are_data(kind: str) -> None:
    """Also where all that is computed from them is an index in the end."""
    text = f"""g ({kind}[1,n,4] x) => (int64[1,n] y) 
      <float scale = {{0.1}}, float[4,4] w = {{1, 2, -1, 1, 0, 1, 2, 1, 1, 1, -2, 1, 0, 1, 1, 1}}> {{
        c = Cast<to=1>(x) d = Mul(c, scale) m = MatMul(d, w) r = Relu(m) p = MatMul(r, w) y = ArgMax<axis=2, keepdims=0>(p) }}"""
    model = model_of(text)
    feed = {"x": np.random.default_rng(0).integers(0, 100, (1, SHORT, 4)).astype(kind)}
    Pipeline(PASSES).run(model, PassContext(data=[feed]))
    assert {"d", "r"} <= set(quantizers(model))
