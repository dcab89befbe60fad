"""What a model weighs, however its weights are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.analyze import cost
from qgraph.analyze.metrics import AnalyzedModel
from qgraph.ir import io
from qgraph.workflow import transform

HEAD = '<ir_version: 10, opset_import: ["" : 21]> g (float[1,2] x) => (float[1,3] y) '
STORED = {
    "an initializer": HEAD + "<float[2,3] w = {1, 2, 3, 4, 5, 0}> { y = MatMul(x, w) }",
    "a Constant node": HEAD + "{ w = Constant<value = float[2,3] {1.0, 2.0, 3.0, 4.0, 5.0, 0.0}>() y = MatMul(x, w) }",
}


@pytest.mark.parametrize("case", STORED)
def test_weights_are_counted(case: str, tmp_path: Path) -> None:
    model = ir.from_onnx_text(STORED[case])
    assert io.size_of(model) == 24
    assert cost.layers(model) == [cost.Layer("w", "MatMul", "", 32.0, 6, 24)]
    io.save(model, tmp_path / "m.onnx")
    product = next(m for m in AnalyzedModel(tmp_path / "m.onnx").metrics.values() if m.macs)
    assert product.bytes == 24 and product.sparsity == 1 / 6


@pytest.mark.parametrize("case", STORED)
@pytest.mark.parametrize("passes", ["calibrate,quantize", "quantize{placement=linear}"])
def test_weights_are_quantized(case: str, passes: str) -> None:
    model = ir.from_onnx_text(STORED[case])
    model.graph.outputs[0].dtype = ir.DataType.FLOAT
    report = transform(model, passes, data=[{"x": np.ones((1, 2), np.float32)}])
    assert report.bytes_before == 24 and [layer.bits for layer in report.layers if layer.op == "MatMul"] == [8.0]
