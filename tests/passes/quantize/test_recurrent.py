"""LSTM, GRU and RNN: their weights are stored as int8 codes, their inputs and states are quantized per token."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from qgraph.capture import from_onnx
from qgraph.deploy.onnxruntime import export
from qgraph.ir.matchers.recurrent import quantizes_states
from qgraph.ir.ops.fake_quantize_tokens import reference
from qgraph.ir.patterns import constant
from qgraph.workflow import transform
from tests.conftest import run_onnx

RNG = np.random.default_rng(0)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
HIDDEN, WIDTH = 128, 100
X = {"x": RNG.standard_normal((7, 2, WIDTH)).astype(np.float32)}


def normal(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def recurrent(path: Path, op: str, direction: str = "forward", readers: int = 1) -> Path:
    """A file with ``readers`` nodes of one pair of weights, for inputs of 7 steps and 2 samples."""
    count, gates = (2 if direction == "bidirectional" else 1), GATES[op]
    weights = {"w": normal(count, gates * HIDDEN, WIDTH), "r": normal(count, gates * HIDDEN, HIDDEN)}
    weights["b"] = normal(count, 2 * gates * HIDDEN)
    nodes = [
        helper.make_node(op, ["x", "w", "r", "b"], [f"y{i}"], name=f"n{i}", hidden_size=HIDDEN, direction=direction)
        for i in range(readers)
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [7, 2, WIDTH])],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [7, count, 2, HIDDEN]) for i in range(readers)],
        [numpy_helper.from_array(a, name) for name, a in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    model.ir_version = 10
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("preset", ["int8", "int8-dynamic", "w4a8"])
def test_weights_have_codes(op: str, direction: str, preset: str, tmp_path: Path) -> None:
    """A scale for every row of a gate; the result is that of ONNX Runtime for weights rounded to them, and inputs per token."""
    model = from_onnx(recurrent(tmp_path / "m.onnx", op, direction))
    rounded = model.clone()
    for name in ("w", "r"):
        value = rounded.graph.initializers[name]
        array = constant(value)
        assert array is not None
        scale = np.abs(array).max((0, 2), keepdims=True) / np.float32(127)
        value.const_value = ir.tensor((np.rint(array / scale) * scale).astype(np.float32))
    transform(model, preset=preset, data=[X])
    stored = {name: v.const_value.dtype.name for name, v in model.graph.initializers.items() if v.const_value.size > 5000}  # type: ignore[union-attr]
    assert stored == {"w.codes": "INT8", "r.codes": "INT8"}
    assert [quantizes_states(n) for n in model.graph if n.op_type == op] == [True]
    codes, steps = reference(X["x"], np.ones(1, np.float32))
    wanted = run_onnx(rounded, {"x": (codes.astype(np.float32) - 128) * steps})[0]
    # the others store the inputs in 16 bits, in front of the tokens
    np.testing.assert_allclose(run_onnx(model, X)[0], wanted, atol=1e-5 if preset == "int8-dynamic" else 2e-2)


def test_weights_of_two_readers_are_stored_once(tmp_path: Path) -> None:
    model = from_onnx(recurrent(tmp_path / "m.onnx", "GRU", readers=2))
    transform(model, "quantize{placement=linear}")
    assert [n.op_type for n in model.graph].count("DequantizeLinear") == 2
    assert (
        sum(v.const_value.dtype == ir.DataType.INT8 for v in model.graph.initializers.values() if v.const_value.size > 5000) == 2
    )  # type: ignore[union-attr]


@pytest.mark.parametrize("case", ["excluded", "NaN", "computed"])
def test_weights_that_stay_float(case: str, tmp_path: Path) -> None:
    model = from_onnx(recurrent(tmp_path / "m.onnx", "GRU"))
    if case == "NaN":
        value = model.graph.initializers["r"]
        value.const_value = ir.tensor(np.where(np.arange(HIDDEN) == 3, np.nan, constant(value)).astype(np.float32))
    if case == "computed":
        value = model.graph.initializers.pop("r")
        value.const_value = None
        model.graph.inputs.append(value)
    exclude = "[GRU]" if case == "excluded" else "[]"
    report = transform(model, f"quantize{{placement=linear exclude={exclude}}}")
    assert [n.op_type for n in model.graph] == ["GRU"] and not quantizes_states(model.graph[0])
    if case != "computed":
        assert report.kept_float == {"n0": "excluded" if case == "excluded" else "'r' holds NaN or infinity"}


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_files_are_no_larger_than_those_of_onnx_runtime(op: str, tmp_path: Path) -> None:
    file = recurrent(tmp_path / "m.onnx", op)
    quantize_dynamic(file, tmp_path / "dynamic.onnx", weight_type=QuantType.QInt8)
    model = from_onnx(file)
    transform(model, preset="int8", data=[X])
    export(model, tmp_path / "ours.onnx")
    sizes = {name: (tmp_path / f"{name}.onnx").stat().st_size for name in ("m", "dynamic", "ours")}
    assert sizes["ours"] < 0.35 * sizes["m"] and sizes["ours"] < 1.1 * sizes["dynamic"]
