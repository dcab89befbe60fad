"""What a linear kernel adds, and the proof that its accumulator is wide enough."""

from __future__ import annotations

import numpy as np
import pytest

from qgraph.execute.integer import evaluate
from qgraph.pipeline import Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import model_of


def text(bias: str, codes: str = "100, 1, 100, 1", held: str = "") -> str:
    return f"""g (float[2,2] x, float[2] c) => (float[2,2] y)
    <float sx = {{1}}, uint8 zx = {{0}}, float[2] sw = {{1, 1}}, int8[2,2] w = {{{codes}}}, int32[2] b = {{0, 0}}{held}>
    {{
        xq = QuantizeLinear(x, sx, zx) xd = DequantizeLinear(xq, sx, zx) wd = DequantizeLinear<axis=1>(w, sw)
        {bias}
        y = Gemm(xd, wd, bd)
    }}"""


FEED = {"x": np.array([[1, 2], [3, 4]], np.float32), "c": np.array([5, 6], np.float32)}
UNPACK = "bd = DequantizeLinear<axis=0>(b, sw)"


BIASES = {"negated": ("bd = Neg(c)", ""), "handed on": ("bd = Identity(c)", ""), "by row": ("", ", float[2,1] bd = {1, 2}")}


@pytest.mark.parametrize("case", BIASES)
def test_a_bias_that_no_kernel_adds_runs_in_float32(case: str) -> None:
    bias, held = BIASES[case]
    model = model_of(text(bias, held=held))
    want = run_onnx(model, {k: v for k, v in FEED.items() if k in {i.name for i in model.graph.inputs}})[0]
    Pipeline("lower").run(model)
    assert "Gemm" in {node.op_type for node in model.graph}
    np.testing.assert_allclose(evaluate(model, FEED)["y"], want, rtol=1e-6)


def test_a_channel_overflows_by_its_own_weights_and_bias() -> None:
    """Channel 0 has large weights, channel 1 a bias near the end of int32: no sum leaves it, that of both maxima would."""
    model = model_of(text(UNPACK))
    b = model.graph.initializers["b"]
    near = 2**31 - 1 - 2 * 510 - 1
    b.const_value.numpy().flags.writeable = True  # type: ignore[union-attr]
    b.const_value.numpy()[:] = [0, near]  # type: ignore[union-attr]
    want = run_onnx(model, FEED)[0]
    Pipeline("lower").run(model)
    np.testing.assert_array_equal(evaluate(model, FEED)["y"], want)
