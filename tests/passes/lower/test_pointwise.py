"""Pointwise functions and clamps in a program give what ONNX Runtime makes of the quantized graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.workflow import transform
from tests.conftest import run_onnx
from tests.passes.graphs import model_of

GRAPHS = {
    "a constant that makes the value larger": """g (float[1,3,1] x) => (float[1,3,4] y) <float[4] c = {1, 2, 3, 4}>
        { s = Sigmoid(x) d = Div(s, c) y = Sin(d) }""",
    "lowest above highest": """g (float[1,2,3,3] x) => (float[1,2,3,3] y)
        <float[2,2,1,1] w = {1, 2, 3, 4}, float low = {2}, float high = {1}>
        { m = Conv(x, w) y = Clip(m, low, high) }""",
}


@pytest.mark.parametrize("case", GRAPHS)
def test_the_program_computes_what_the_quantized_graph_does(case: str, tmp_path: Path) -> None:
    model = model_of(GRAPHS[case])
    feed = {"x": np.random.default_rng(0).standard_normal([int(d) for d in model.graph.inputs[0].shape]).astype(np.float32)}  # type: ignore[arg-type, union-attr]
    float_y = run_onnx(model, feed)[0]
    transform(model, preset="int8", data=[feed])
    want = run_onnx(model, feed)[0]
    compile(model, tmp_path / "m.qgp")
    got = Session(tmp_path / "m.qgp").run(feed)["y"]
    np.testing.assert_allclose(got, want, atol=0.02)
    np.testing.assert_allclose(want, float_y, atol=0.05)
