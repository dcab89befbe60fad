"""What a linear kernel adds, and the proof that its accumulator is wide enough."""

from __future__ import annotations

import numpy as np
import pytest

from qgraph.errors import QGraphError
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


@pytest.mark.parametrize("bias", ["bd = Neg(c)", "bd = Identity(c)"])
def test_a_bias_that_is_computed_is_refused(bias: str) -> None:
    with pytest.raises(QGraphError, match="Gemm node 'y'"):
        Pipeline("lower").run(model_of(text(bias)))


def test_a_c_that_differs_by_row_is_refused() -> None:
    with pytest.raises(QGraphError, match="Gemm node 'y'"):
        Pipeline("lower").run(model_of(text("", held=", float[2,1] bd = {1, 2}")))


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
