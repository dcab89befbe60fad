"""Attention with several things added to its scores is one kernel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx, same_bytes
from tests.passes.graphs import model_of

FLOATS = "float zero = {0}, float far = {-1e30}, float half = {0.5}"
HEADS = f"""g (float[2,2,3,4] q, float[2,2,4,5] k, float[2,2,5,4] v, bool[2,1,1,5] keep) => (float[2,2,3,4] y)
  <{FLOATS}, float[1,2,3,5] bias = {{
    1, 0, 2, 1, 0, 0, 1, 0, 2, 1, 1, 1, 0, 0, 2, 2, 0, 1, 1, 0, 1, 2, 0, 0, 1, 0, 1, 2, 1, 0}}>"""
PLAIN = f"""g (float[2,3,4] q, float[2,4,5] k, float[2,5,4] v, bool[2,1,5] keep) => (float[2,3,4] y)
  <{FLOATS}, float[3,5] bias = {{1, 0, 2, 1, 0, 0, 1, 0, 2, 1, 1, 1, 0, 0, 2}}>"""
SUMS = {
    "bias, then mask": "t = Mul(s, half) b = Add(t, bias) u = Add(b, minus)",
    "their sum": "both = Add(bias, minus) t = Mul(s, half) u = Add(both, t)",
    "mask, bias, mask": "t = Mul(s, half) a = Add(minus, t) b = Add(a, bias) u = Add(b, minus)",
}


@pytest.mark.parametrize("head", [HEADS, PLAIN], ids=["heads", "without heads"])
@pytest.mark.parametrize("sums", SUMS)
def test_a_bias_and_a_mask(sums: str, head: str, tmp_path: Path) -> None:
    minus, rest = "minus = Where(keep, zero, far)", "p = Softmax(u) y = MatMul(p, v)"
    model = model_of(f"{head} {{ {minus} s = MatMul(q, k) {SUMS[sums]} {rest} }}")
    rng = np.random.default_rng(0)
    feed = {v.name or "": rng.standard_normal(v.shape.numpy()).astype(np.float32) for v in model.graph.inputs}  # type: ignore[union-attr]
    feed["keep"] = feed["keep"] > -0.3
    feed["keep"][..., 0] = True
    wanted = run_onnx(model, feed)[0]
    Pipeline("canonicalize,calibrate,quantize").run(model, PassContext(data=[feed]))
    program = compile(model, tmp_path / "m.qgp")
    assert [n.op_type for n in program.graph].count("Attention") == 1
    found = Session(tmp_path / "m.qgp").run(feed)["y"]
    assert np.abs(found - run_onnx(model, feed)[0]).max() < 0.02
    assert np.abs(found - wanted).max() < 0.05
    same_bytes(tmp_path / "m.qgp", feed)
