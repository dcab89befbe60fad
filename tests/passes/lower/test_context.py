"""A kernel computes the first output of a node; others are not taken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.pipeline import PassContext, Pipeline
from qgraph.workflow import transform
from tests.conftest import run_onnx
from tests.passes.graphs import model_of

NORM = "<float[3] g = {1, 2, 3}, float[3] b = {1, 1, 1}>"
NODES = {
    "mean as an output": ("a = Relu(x) y, z = LayerNormalization(a, g, b)", "float[2,3] y, float[2,1] z", NORM),
    "mean alone": ("a = Relu(x) n, z = LayerNormalization(a, g, b)", "float[2,1] z", NORM),
    "mean read inside": ("a = Relu(x) n, m = LayerNormalization(a, g, b) y = Add(n, m)", "float[2,3] y", NORM),
}


@pytest.mark.parametrize("case", NODES)
def test_second_outputs_are_no_first_outputs(case: str, tmp_path: Path) -> None:
    body, outputs, held = NODES[case]
    model, x = model_of(f"g (float[2,3] x) => ({outputs}) {held} {{ {body} }}"), np.array([[1, 2, 4], [3, 0, 7]], np.float32)
    want = run_onnx(model, {"x": x})
    context = PassContext(data=[{"x": x}])
    Pipeline("calibrate").run(model, context)
    (report,) = Pipeline("quantize").run(model, context)
    assert "LayerNormalization" in " ".join(report.details["kept float"].values())
    for a, b in zip(run_onnx(model, {"x": x}), want, strict=True):
        assert np.abs(a - b).max() < 0.05 * np.abs(b).max()
    compile(model, tmp_path / "m.qgp")
    for a, b in zip(Session(tmp_path / "m.qgp").run({"x": x}).values(), want, strict=True):
        assert np.abs(a - b).max() < 0.05 * np.abs(b).max()


@pytest.mark.parametrize("start", ["c", "b"])
def test_bounds_of_a_slice_may_be_int32(start: str, tmp_path: Path) -> None:
    """The program's Slice has int64 ones; ``b`` is computed from a shape."""
    body = f"s = Shape(x) t = Gather(s, one) b = Cast<to=6>(t) y = Slice(x, {start}, e, a)"
    held = "int64[1] one = {0}, int32[1] c = {1}, int32[1] e = {9}, int32[1] a = {0}"
    text = f"g (float[3,4] x) => (float[?,4] y) <{held}> {{ {body} }}"
    model, x = model_of(text), np.arange(12, dtype=np.float32).reshape(3, 4)
    wanted = run_onnx(model, {"x": x})[0]
    compile(model, tmp_path / "m.qgp")
    np.testing.assert_array_equal(Session(tmp_path / "m.qgp").run({"x": x})["y"], wanted)

    model = model_of(text)  # and on codes
    transform(model, preset="int8", data=[{"x": x}])
    compile(model, tmp_path / "int8.qgp")
    np.testing.assert_allclose(Session(tmp_path / "int8.qgp").run({"x": x})["y"], wanted, atol=0.03)
