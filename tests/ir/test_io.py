"""Models whose weights lie in files of their own: read whole, written whole, and never from outside their folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from onnx.external_data_helper import set_external_data

from qgraph.capture import read
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.workflow import transform

RNG = np.random.default_rng(0)
TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (float[1,6] x) => (float[1,4] y) { h = Gemm(x, w, b) c = Constant<value = float[4] {1.0, 2.0, 3.0, 4.0}>() y = Add(h, c) }"""


@pytest.fixture
def model() -> onnx.ModelProto:
    made = onnx.parser.parse_model(TEXT)
    for name, shape in (("w", (6, 4)), ("b", (4,))):
        made.graph.initializer.append(onnx.numpy_helper.from_array(RNG.normal(size=shape).astype(np.float32), name))
    return made


def run(path: Path) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.arange(6, dtype=np.float32)[None]})[0]


@pytest.mark.parametrize("location", ["m.data", "weights of it/{}.bin"])
def test_what_is_written_needs_no_other_file(model: onnx.ModelProto, tmp_path: Path, location: str) -> None:
    source = tmp_path / "source"
    (source / "weights of it").mkdir(parents=True)
    for tensor in [*model.graph.initializer, *(a.t for n in model.graph.node for a in n.attribute if a.name == "value")]:
        tensor.name = tensor.name or "constant"
        tensor.raw_data = onnx.numpy_helper.to_array(tensor).tobytes()
        tensor.ClearField("float_data")
        set_external_data(tensor, location.format(tensor.name))
    onnx.save(model, source / "m.onnx")
    wanted = run(source / "m.onnx")
    loaded = io.load(source / "m.onnx")
    io.save(loaded, tmp_path / "alone.onnx")
    shutil.rmtree(source)
    np.testing.assert_array_equal(run(tmp_path / "alone.onnx"), wanted)
    assert not (tmp_path / "m.data").exists()


def test_the_two_files_of_torch(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    net = torch.nn.Sequential(torch.nn.Linear(6, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4)).eval()
    torch.onnx.export(net, (torch.randn(1, 6),), str(tmp_path / "t.onnx"), input_names=["x"], dynamo=True, verbose=False)
    assert (tmp_path / "t.onnx.data").exists()
    io.save(io.load(tmp_path / "t.onnx"), tmp_path / "out" / "t.onnx")
    np.testing.assert_array_equal(run(tmp_path / "out" / "t.onnx"), run(tmp_path / "t.onnx"))


def test_packed_weights_outside(tmp_path: Path) -> None:
    codes = RNG.integers(-8, 8, (3, 5)).astype(ml_dtypes.int4)
    value = ir.Value(
        name="w", const_value=ir.Tensor(codes, name="w"), shape=ir.Shape((3, 5)), type=ir.TensorType(ir.DataType.INT4)
    )
    node = ir.Node("", "Identity", [value])
    node.outputs[0].name, node.outputs[0].type = "y", value.type
    graph = ir.Graph([], node.outputs, nodes=[node], initializers=[value], opset_imports={"": 21})
    ir.save(ir.Model(graph, ir_version=10), tmp_path / "m.onnx", external_data="m.data", size_threshold_bytes=0)
    loaded = io.load(tmp_path / "m.onnx").graph.initializers["w"].const_value
    assert loaded is not None and loaded.dtype == ir.DataType.INT4
    np.testing.assert_array_equal(loaded.numpy(), codes)


@pytest.mark.parametrize("location", ["../secret.bin", "sub/../../secret.bin", "{absolute}"])
def test_data_outside_of_the_folder_are_refused(model: onnx.ModelProto, tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(96))
    (tmp_path / "inner").mkdir()
    set_external_data(model.graph.initializer[0], location.format(absolute=tmp_path / "secret.bin"))
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    (tmp_path / "inner" / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(QGraphError, match="not in the folder of the model"):
        io.load(tmp_path / "inner" / "m.onnx")


def test_a_link_out_of_the_folder_is_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    onnx.save(model, tmp_path / "inner" / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    shutil.move(tmp_path / "inner" / "m.data", tmp_path / "m.data")
    (tmp_path / "inner" / "m.data").symlink_to(tmp_path / "m.data")
    with pytest.raises(QGraphError, match="into one folder"):
        io.load(tmp_path / "inner" / "m.onnx")


def test_links_of_a_hub_cache_are_followed(model: onnx.ModelProto, tmp_path: Path) -> None:
    wanted = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx_data", size_threshold=0)
    for name, blob in (("m.onnx", "0a1b"), ("m.onnx_data", "2c3d")):
        shutil.move(tmp_path / name, blobs / blob)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob))
    read = io.load(snapshot / "m.onnx")
    for name, array in wanted.items():
        np.testing.assert_array_equal(read.graph.initializers[name].const_value.numpy(), array)  # type: ignore[union-attr]
    (tmp_path / "elsewhere").write_bytes((blobs / "2c3d").read_bytes())
    (snapshot / "m.onnx_data").unlink()
    (snapshot / "m.onnx_data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QGraphError, match=r"is a link to \S+elsewhere, outside of the folder"):
        io.load(snapshot / "m.onnx")


def test_data_that_are_cut_short_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    data = (tmp_path / "m.data").read_bytes()
    (tmp_path / "m.data").write_bytes(data[:-1])
    with pytest.raises(QGraphError, match="cut short"):
        io.load(tmp_path / "m.onnx")


def test_a_large_model_can_be_written_over_itself(
    model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(io, "EXTERNAL_LIMIT", 50)
    onnx.save(model, tmp_path / "m.onnx")
    wanted = run(tmp_path / "m.onnx")
    io.save(io.load(tmp_path / "m.onnx"), tmp_path / "big.onnx")
    first, second = io.load(tmp_path / "big.onnx"), io.load(tmp_path / "big.onnx")
    second.graph.initializers["b"].const_value = ir.Tensor(np.zeros(4, np.float32), name="b")
    io.save(second, tmp_path / "big.onnx")
    assert not np.array_equal(run(tmp_path / "big.onnx"), wanted)
    io.save(first, tmp_path / "again.onnx")  # read before the file was written over
    np.testing.assert_array_equal(run(tmp_path / "again.onnx"), wanted)
    names = ["again.onnx", "again.onnx.data", "big.onnx", "big.onnx.data", "m.onnx"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


@pytest.mark.parametrize("preset", ["int8", "w4a8", "int8-dynamic"])
def test_types_that_follow_from_the_weights_are_not_stored(preset: str, tmp_path: Path) -> None:
    made = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[n,4,64] x) => (float[n,4,64] y) {
             h = MatMul(x, w) r = Relu(h) e = Add(r, x) y = MatMul(e, w) }"""
    )
    made.graph.initializer.append(onnx.numpy_helper.from_array(RNG.normal(size=(64, 64)).astype(np.float32), "w"))
    onnx.save(made, tmp_path / "float.onnx")
    model = read(tmp_path / "float.onnx")
    transform(model, preset=preset, data=[{"x": RNG.normal(size=(1, 4, 64)).astype(np.float32)}])
    io.save(model, tmp_path / "m.onnx")
    listed = {info.name for info in onnx.load(tmp_path / "m.onnx").graph.value_info}
    assert listed and not listed & {name for name in model.graph.initializers}
    assert not any(name.endswith(("_codes", "_quantized", "_dequantized")) for name in listed)
    again = {v.name: (v.dtype, v.shape) for n in io.load(tmp_path / "m.onnx").graph for v in n.outputs}
    assert again == {v.name: (v.dtype, v.shape) for n in model.graph for v in n.outputs}


def test_types_of_quantizers_without_zero_points(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[2,3] x) => (float[2,3] y) <float s = {0.5}> {
      a = QuantizeLinear(x, s) b = DequantizeLinear(a, s) c = QuantizeLinear<output_dtype=3>(b, s) y = DequantizeLinear(c, s) }"""
    io.save(ir.from_onnx_text(text), tmp_path / "m.onnx")
    kinds = {n.outputs[0].name: (n.outputs[0].dtype, list(n.outputs[0].shape)) for n in io.load(tmp_path / "m.onnx").graph}  # type: ignore[arg-type]
    types = {"a": ir.DataType.UINT8, "b": ir.DataType.FLOAT, "c": ir.DataType.INT8, "y": ir.DataType.FLOAT}
    assert kinds == {name: (kind, [2, 3]) for name, kind in types.items()}
