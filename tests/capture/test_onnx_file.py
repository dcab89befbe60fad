"""Every way into qgraph brings an old file to opset 21 with what it meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from qgraph.capture import from_onnx, read
from qgraph.cli.transform_command import command
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.ir import io
from qgraph.ir.dialects import opset
from qgraph.ir.scopes import module_path
from qgraph.train.build import load_graph
from qgraph.train.recipe import Origin

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1, 4, 6, 6)).astype(np.float32)
TENSORS = {
    "w": RNG.normal(0, 0.2, (4, 4, 3, 3)).astype(np.float32),
    "q": RNG.integers(-127, 128, (4, 4, 3, 3)).astype(np.int8),
    "sw": np.array(0.002, np.float32),
    "zw": np.array(0, np.int8),
    "sx": np.array(0.03, np.float32),
    "zx": np.array(128, np.uint8),
    "up": np.array((1, 1, 2, 2), np.float32),
}
TAIL = '{} h = Upsample<mode = "linear">(c, up) y = Softmax<axis = 1>(h)'
FLOAT = TAIL.format("c = Conv(x, w)")
DEQUANTIZED = "a = QuantizeLinear(x, sx, zx) b = DequantizeLinear(a, sx, zx) v = DequantizeLinear(q, sw, zw) c = Conv(b, v)"
QUANTIZED = TAIL.replace("Upsample", "Resize").format(DEQUANTIZED)
TO_COMPILE = f"{DEQUANTIZED} d = QuantizeLinear(c, sx, zx) y = DequantizeLinear(d, sx, zx)"
FILES = {"float": (9, FLOAT), "quantized": (10, QUANTIZED)}


def saved(path: Path, version: int, body: str) -> Path:
    text = f'<ir_version: 5, opset_import: ["" : {version}]> g (float[1,4,6,6] x) => (float[n,k,h,v] y) {{ {body} }}'
    made = onnx.parser.parse_model(text)
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in TENSORS.items() if name in body)
    onnx.save(made, path)
    return path


def run(path: Path) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]


@pytest.mark.parametrize("kind", FILES)
def test_what_is_read_computes_what_the_file_did(tmp_path: Path, kind: str) -> None:
    file = saved(tmp_path / "old.onnx", *FILES[kind])
    model = read(file)
    assert opset(model) == 21
    io.save(model, tmp_path / "new.onnx")
    np.testing.assert_allclose(run(tmp_path / "new.onnx"), run(file), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", FILES)
def test_transform_upgrades(tmp_path: Path, kind: str) -> None:
    file, made = saved(tmp_path / "old.onnx", *FILES[kind]), tmp_path / "new.onnx"
    done = CliRunner().invoke(command, [str(file), "-o", str(made), "--passes", "canonicalize"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(run(made), run(file), rtol=1e-5, atol=1e-6)


def test_the_file_that_a_recipe_names_is_upgraded(tmp_path: Path) -> None:
    file = saved(tmp_path / "old.onnx", *FILES["float"])
    io.save(load_graph(Origin(file=str(file)), None), tmp_path / "new.onnx")  # type: ignore[arg-type]
    np.testing.assert_allclose(run(tmp_path / "new.onnx"), run(file), rtol=1e-5, atol=1e-6)


def test_compile_upgrades_a_quantized_file(tmp_path: Path) -> None:
    file = saved(tmp_path / "old.onnx", 10, TO_COMPILE)
    compile(file, tmp_path / "m.qgp", sparse=False)
    (found,) = Session(tmp_path / "m.qgp", threads=1).run({"x": X}).values()
    assert np.abs(found - run(file)).max() <= 0.03  # one code


def test_unnamed_nodes_are_named_by_op_module_and_place(tmp_path: Path) -> None:
    graph = onnx.parser.parse_graph("g (float[1,3] x) => (float[1,3] y) { a = Relu(x) b = Neg(a) y = Relu(b) }")
    graph.node[1].output[0] = graph.node[2].input[0] = "/head/out"
    graph.node[2].name = "Relu_a"  # a name that an unnamed node would get
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10), tmp_path / "m.onnx")
    assert [n.name for n in from_onnx(tmp_path / "m.onnx").graph] == ["Relu_a_1", "/head/Neg_out", "Relu_a"]
    assert [module_path(n) for n in from_onnx(tmp_path / "m.onnx").graph] == ["", "head", ""]
