"""Models in float16, bfloat16 and double: float32 inside, the same inputs and outputs, ONNX Runtime's numbers."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import qgraph
from qgraph.capture import from_onnx
from qgraph.capture.onnx_file import REMARK
from qgraph.errors import QGraphError
from qgraph.ir import io
from tests.conftest import run_onnx

RNG = np.random.default_rng(0)
KINDS = {"float16": (TensorProto.FLOAT16, np.float16), "double": (TensorProto.DOUBLE, np.float64)}


def weights(dtype: np.dtype, **shapes: tuple[int, ...]) -> list[TensorProto]:
    return [numpy_helper.from_array(RNG.normal(0, 0.3, s).astype(dtype), n) for n, s in shapes.items()]


def saved(path: Path, nodes: list[onnx.NodeProto], kind: int, shape: list[int], initializers: list[TensorProto]) -> Path:
    values = [helper.make_tensor_value_info(name, kind, shape if name == "x" else None) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def transformer(path: Path, name: str) -> Path:
    """A linear layer, a constant inside of a node, a LayerNormalization."""
    kind, dtype = KINDS[name]
    half = numpy_helper.from_array(np.array(0.5, dtype), "half")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Constant", [], ["c"], value=half),
        helper.make_node("Mul", ["a", "c"], ["s"]),
        helper.make_node("LayerNormalization", ["s", "g", "b"], ["y"]),
    ]
    return saved(path, nodes, kind, [2, 4, 8], weights(np.dtype(dtype), w=(8, 8), b=(8,), g=(8,)))


@pytest.mark.parametrize("name", KINDS)
def test_the_body_is_float32_and_the_border_stays(tmp_path: Path, name: str) -> None:
    path = transformer(tmp_path / "m.onnx", name)
    model = from_onnx(path)
    x = RNG.normal(size=(2, 4, 8)).astype(KINDS[name][1])
    (wanted,), (found,) = run_onnx(io.load(path), {"x": x}), run_onnx(model, {"x": x})
    assert found.dtype == wanted.dtype and [v.name for v in model.graph.outputs] == ["y"]
    error = ((wanted.astype(np.float64) - found) ** 2).mean() / (wanted.astype(np.float64) ** 2).mean()
    assert error < (2.0**-10) ** 2  # half a step of float16, where that rounds
    inner = [v for n in model.graph for v in n.outputs if not v.is_graph_output()]
    assert {v.dtype for v in [*inner, *model.graph.initializers.values()]} == {ir.DataType.FLOAT}
    assert name in model.metadata_props[REMARK]


def test_casts_around_a_body_of_float16_go(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["h", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Cast", ["r"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["f"], ["y"]),
    ]
    path = saved(tmp_path / "m.onnx", nodes, TensorProto.FLOAT, [1, 3, 6, 6], weights(np.dtype(np.float16), w=(8, 3, 3, 3)))
    model, x = from_onnx(path), {"x": RNG.normal(size=(1, 3, 6, 6)).astype(np.float32)}
    wanted = run_onnx(io.load(path), x)[0]
    assert [n.op_type for n in model.graph] == ["Conv", "Relu", "GlobalAveragePool"]
    qgraph.transform(model, preset="int8", data=[x])
    qgraph.compile(model, tmp_path / "m.qgp")
    (found,) = qgraph.Session(tmp_path / "m.qgp").run(x).values()
    np.testing.assert_allclose(found, wanted, atol=0.03 * np.abs(wanted).max())


def test_bfloat16_becomes_float32_at_the_border_too(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    w = RNG.normal(size=(6, 3)).astype(ml_dtypes.bfloat16)
    path = saved(tmp_path / "m.onnx", nodes, TensorProto.BFLOAT16, [4, 6], [numpy_helper.from_array(w, "w")])
    model, x = from_onnx(path), RNG.normal(size=(4, 6)).astype(np.float32)
    np.testing.assert_allclose(run_onnx(model, {"x": x})[0], x @ w.astype(np.float32), rtol=1e-5, atol=1e-6)


def test_a_double_that_float32_does_not_reach_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "w"], ["y"])]
    large = numpy_helper.from_array(np.array([1e300]), "w")
    path = saved(tmp_path / "m.onnx", nodes, TensorProto.DOUBLE, [4], [large])
    with pytest.raises(QGraphError, match="'w' has values beyond float32's range"):
        from_onnx(path)


def test_a_program_says_which_types_it_takes(tmp_path: Path) -> None:
    model = from_onnx(transformer(tmp_path / "m.onnx", "float16"))
    qgraph.transform(model, preset="int8", data=[{"x": RNG.normal(size=(2, 4, 8)).astype(np.float16)}])
    with pytest.raises(QGraphError, match="input 'x' is float16, which no program takes"):
        qgraph.compile(model, tmp_path / "m.qgp")
