"""SmoothQuant against the equation of its paper, and the function that it leaves as it was."""

from __future__ import annotations

import numpy as np
import pytest

from qgraph.errors import QGraphError
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import array, assert_graph, model_of

RNG = np.random.default_rng(0)
TWO = """g (float[1,3,2] x) => (float[1,3,2] y) <float[2,2] q = {1, -2, 8, 4}, float[2,2] k = {3, 4, 2, -32}> {
    a = MatMul(x, q) b = MatMul(x, k) y = Sub(a, b) }"""
X = np.array([[[1, 8], [-16, 2], [3, -4]]], np.float32)


def test_golden() -> None:
    """Peaks of x are [16, 8], of the rows of both weights [4, 32]: s = sqrt(16 / 4), sqrt(8 / 32)."""
    model = model_of(TWO)
    (report,) = Pipeline("smooth-quant").run(model, PassContext(data=[{"x": X}]))
    assert_graph(
        model,
        """g (float[1,3,2] x) => (float[1,3,2] y)
          <float[2,2] q = {2, -4, 4, 2}, float[2,2] k = {6, 8, 1, -16}, float[2] x_smooth = {0.5, 2}> {
            x_smoothed = Mul(x, x_smooth) a = MatMul(x_smoothed, q) b = MatMul(x_smoothed, k) y = Sub(a, b) }""",
    )
    assert report.counts == {"linears smoothed": 2}


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("calibrated", [False, True])
def test_equation_and_function(alpha: float, calibrated: bool) -> None:
    width = 6
    w = RNG.standard_normal((width, 4)).astype(np.float32)
    x = (RNG.standard_normal((2, 5, width)) * [1, 50, 1, 0.1, 1, 9]).astype(np.float32)
    values = ", ".join(map(repr, w.reshape(-1).tolist()))
    model = model_of(f"g (float[2,5,6] x) => (float[2,5,4] y) <float[6,4] w = {{{values}}}> {{ y = MatMul(x, w) }}")
    before = run_onnx(model, {"x": x})
    batches = [{"x": x}, {"x": x * np.float32(0.5)}]
    Pipeline(f"{'calibrate,' if calibrated else ''}smooth-quant{{alpha={alpha}}}").run(model, PassContext(data=batches))
    s = np.abs(x).max((0, 1)).astype(float) ** alpha / np.abs(w).max(1).astype(float) ** (1 - alpha)
    product = model.graph[-1]
    np.testing.assert_allclose(array(product.inputs[1]), w * s[:, None], rtol=1e-6)
    np.testing.assert_allclose(array(product.inputs[0].producer().inputs[1]), 1 / s, rtol=1e-6)  # type: ignore[union-attr]
    np.testing.assert_allclose(run_onnx(model, {"x": x})[0], before[0], rtol=1e-4, atol=1e-4)
    if alpha == 1:
        assert np.abs(x / s).max() == pytest.approx(1)  # all outliers moved into the weights


def test_outliers_cost_less_after_it() -> None:
    """Eight-bit per-token activations with one channel of outliers: the error falls by more than half."""
    w = RNG.standard_normal((8, 8)).astype(np.float32)
    x = (RNG.standard_normal((1, 64, 8)) * [1, 1, 1, 80, 1, 1, 1, 1]).astype(np.float32)
    values = ", ".join(map(repr, w.reshape(-1).tolist()))
    text = f"g (float[1,64,8] x) => (float[1,64,8] y) <float[8,8] w = {{{values}}}> {{ y = MatMul(x, w) }}"
    exact, errors = x @ w, []
    for first in ("", "smooth-quant,"):
        model = model_of(text)
        Pipeline(f"{first}quantize{{activations=tokens placement=linear}}").run(model, PassContext(data=[{"x": x}]))
        errors.append(float(((run_onnx(model, {"x": x})[0] - exact) ** 2).mean()))
    assert errors[1] < 0.5 * errors[0]


def test_dead_channels_stay_as_they_are() -> None:
    text = "g (float[1,2,3] x) => (float[1,2,2] y) <float[3,2] w = {1, 2, 0, 0, 4, 4}> { y = MatMul(x, w) }"
    model = model_of(text)
    x = np.array([[[1, 5, 0], [-2, 3, 0]]], np.float32)  # channel 1 has no weight, channel 2 no input
    Pipeline("smooth-quant").run(model, PassContext(data=[{"x": x}]))
    np.testing.assert_array_equal(array(model.graph[0].inputs[1])[1:], [1, 1])
    np.testing.assert_array_equal(array(model.graph[1].inputs[1]), [[1, 2], [0, 0], [4, 4]])


@pytest.mark.parametrize(
    "text",
    [
        "g (float[4,2] x) => (float[4,2] y) <float[2,2] w = {1, 2, 3, 4}> { y = MatMul(x, w) }",  # no tokens
        "g (float[1,4,2] x, float[2,2] w) => (float[1,4,2] y) { y = MatMul(x, w) }",  # no constant
        """g (float[1,4,2] x) => (float[1,4,2] y) <float[2,2] w = {1, 2, 3, 4}> {
            a = MatMul(x, w) y = MatMul(a, w) }""",  # a weight that other nodes read with other inputs
    ],
)
def test_what_cannot_be_smoothed_is_left_alone(text: str) -> None:
    model = model_of(text)
    before = [str(n) for n in model.graph]
    feed = {v.name: np.ones(v.shape.numpy(), np.float32) for v in model.graph.inputs}  # type: ignore[union-attr]
    (report,) = Pipeline("smooth-quant").run(model, PassContext(data=[feed]))
    assert [str(n) for n in model.graph] == before and report.counts == {}


def test_it_needs_data() -> None:
    with pytest.raises(QGraphError, match="pass 'smooth-quant' needs real calibration data"):
        Pipeline("smooth-quant").run(model_of(TWO))
