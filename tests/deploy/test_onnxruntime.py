"""Files for ONNX Runtime: they pass ONNX's checker and run, whatever the opset and however little is declared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from qgraph.capture import read
from qgraph.deploy.onnxruntime import export
from qgraph.ir import io
from qgraph.workflow import transform

WEIGHTS = f"float[4,4] w = {{{', '.join(str((i * 7 % 16) / 8 - 1) for i in range(16))}}}"
X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)


def ran(file: Path) -> list[np.ndarray]:
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": X})


@pytest.mark.parametrize("opset", range(21, 26))
def test_products_a_token_in_every_opset(tmp_path: Path, opset: int) -> None:
    text = f'<ir_version: 10, opset_import: ["" : {opset}]> g (float[n,t,4] x) => (float[n,t,4] y) <{WEIGHTS}>'
    model = onnx.parser.parse_model(text + " { a = MatMul(x, w) b = Relu(a) y = MatMul(b, w) }")
    onnx.save(model, tmp_path / "float.onnx")
    quantized = read(tmp_path / "float.onnx")
    transform(quantized, preset="int8-dynamic", data=[X])
    export(quantized, tmp_path / "int8.onnx")
    assert "MatMulInteger" in {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    np.testing.assert_allclose(ran(tmp_path / "int8.onnx")[0], ran(tmp_path / "float.onnx")[0], atol=0.1)


def test_dilated_average_pools_run(tmp_path: Path) -> None:
    """ONNX Runtime would fuse them with their Q/DQ pairs to an op that has no dilations."""
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[2,3,4] x) => (float[2,1,3,1] y) <int64[1] one = {1}>
    { u = Unsqueeze(x, one) r = Relu(u) y = AveragePool<kernel_shape=[1, 2], dilations=[1, 3]>(r) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "float.onnx")
    quantized = read(tmp_path / "float.onnx")
    transform(quantized, preset="int8", data=[X])
    export(quantized, tmp_path / "int8.onnx")
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    np.testing.assert_allclose(ran(tmp_path / "int8.onnx")[0], ran(tmp_path / "float.onnx")[0], atol=0.05)


def test_an_input_that_is_an_output_and_has_no_shape(tmp_path: Path) -> None:
    text = f'<ir_version: 10, opset_import: ["" : 21]> g (float[n,t,4] x) => (float[n,t,4] y, float[n,t,4] x) <{WEIGHTS}>'
    model = onnx.parser.parse_model(text + " { y = MatMul(x, w) }")
    for value in (model.graph.input[0], *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "float.onnx")
    export(read(tmp_path / "float.onnx"), tmp_path / "out.onnx")
    for a, b in zip(ran(tmp_path / "out.onnx"), ran(tmp_path / "float.onnx"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not onnx.load(tmp_path / "out.onnx").graph.input[0].type.tensor_type.HasField("shape")


def test_equal_parameters_of_quantizers_are_stored_once(tmp_path: Path) -> None:
    text = f'<ir_version: 10, opset_import: ["" : 21]> g (float[n,t,4] x) => (float[n,t,4] y) <{WEIGHTS}'
    text += f", {WEIGHTS.replace(' w ', ' v ').replace('0.5', '0.7')}> {{ a = MatMul(x, w) b = Relu(a) y = MatMul(b, v) }}"
    onnx.save(onnx.parser.parse_model(text), tmp_path / "float.onnx")
    quantized = read(tmp_path / "float.onnx")
    transform(quantized, passes="calibrate,quantize{activations=uint8}", data=[X])
    io.save(quantized, tmp_path / "apart.onnx")
    export(quantized, tmp_path / "shared.onnx")
    stored = {}
    for file in ("apart.onnx", "shared.onnx"):
        graph = onnx.load(tmp_path / file).graph
        stored[file] = [(t.data_type, tuple(t.dims), onnx.numpy_helper.to_array(t).tobytes()) for t in graph.initializer]
    assert len(stored["shared.onnx"]) < len(stored["apart.onnx"]) == len(quantized.graph.initializers)
    assert set(stored["shared.onnx"]) == set(stored["apart.onnx"])
    for a, b in zip(ran(tmp_path / "shared.onnx"), ran(tmp_path / "apart.onnx"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_biases_have_no_zero_points_and_onnxruntime_fuses_them(tmp_path: Path) -> None:
    text = f'<ir_version: 10, opset_import: ["" : 21]> g (float[n,4] x) => (float[n,4] y) <{WEIGHTS}, float[4] b = {{1,2,3,4}}>'
    onnx.save(onnx.parser.parse_model(text + " { a = Gemm(x, w, b) c = Relu(a) y = Gemm(c, w, b) }"), tmp_path / "float.onnx")
    quantized = read(tmp_path / "float.onnx")
    transform(quantized, passes="calibrate,quantize{activations=uint8}", data=[X[0]])
    export(quantized, tmp_path / "int8.onnx")
    graph = onnx.load(tmp_path / "int8.onnx").graph
    int32 = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT32]
    assert len(int32) == 2
    assert all(array.any() for array in int32)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    fused = ort.InferenceSession(tmp_path / "int8.onnx", options, providers=["CPUExecutionProvider"])
    assert [n.op_type for n in onnx.load(tmp_path / "fused.onnx").graph.node].count("QGemm") == 2
    expected = ort.InferenceSession(tmp_path / "float.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": X[0]})
    np.testing.assert_allclose(fused.run(None, {"x": X[0]})[0], expected[0], atol=0.1)
