"""Scales and zero points that mean nothing are refused by name; a type that is not written is the one ONNX says."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.errors import QGraphError
from qgraph.execute.integer import evaluate
from qgraph.pipeline import Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import model_of

SCALES = ("sx", "sw", "sb")
GRAPH = """g (float[4,2] x) => (float[4,2] y)
<float sx = {0.5}, uint8 zx = {3}, float[2] sw = {0.25, 0.5}, int8[2,2] w = {1, -2, 3, 4}, float[2] sb = {0.125, 0.25},
 int32[2] b = {5, -6}, int8[2] zw = {0, 0}, int32[2] zb = {0, 0}>
{
    xq = QuantizeLinear(x, sx, zx) xd = DequantizeLinear(xq, sx, zx)
    wd = DequantizeLinear<axis=1>(w, sw, zw) bd = DequantizeLinear<axis=0>(b, sb, zb)
    y = Gemm(xd, wd, bd)
}"""


def with_last(name: str, number: float | int) -> ir.Model:
    """The graph with another last element of the initializer ``name``."""
    model = model_of(GRAPH)
    value = model.graph.initializers[name]
    assert value.const_value is not None
    array = value.const_value.numpy().copy()
    array.reshape(-1)[-1] = number
    value.const_value = ir.Tensor(array, name=name)
    return model


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 0.0, -0.5, 1e-40])
def test_scales_that_are_no_positive_numbers_are_refused(name: str, number: float) -> None:
    model = with_last(name, number)
    with pytest.raises(
        QGraphError, match=f"node '[xwb].*' has the scale .* scales are finite .*correct the initializer '{name}'"
    ):
        Pipeline("lower").run(model)


def test_the_least_normal_scale_is_taken() -> None:
    Pipeline("lower").run(with_last("sb", float(np.finfo(np.float32).tiny)))


def test_zero_points_outside_the_type_of_the_codes_are_refused() -> None:
    model = model_of(GRAPH.replace("int8[2] zw = {0, 0}", "uint8[2] zw = {0, 200}"))
    with pytest.raises(QGraphError, match="node 'wd' has the zero point 200, which is no int8; correct the initializer 'zw'"):
        Pipeline("lower").run(model)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16"])
def test_without_a_zero_point_the_type_is_that_of_the_codes(kind: str) -> None:
    number = int(ir.DataType[kind.upper()])
    text = (
        f"g (float[4] x) => (float[4] y) <float s = {{0.5}}> {{ c = QuantizeLinear<output_dtype={number}>(x, s) "
        "d = DequantizeLinear(c, s) y = Neg(d) }"
    )
    model, x = model_of(text), np.array([-70, -3, 5, 90], np.float32)
    want = run_onnx(model, {"x": x})[0]
    Pipeline("lower").run(model)
    np.testing.assert_array_equal(evaluate(model, {"x": x})["y"], want)
