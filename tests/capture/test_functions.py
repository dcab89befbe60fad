"""Local functions of other opsets than the model's: converted as the ONNX reference understands them, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from qgraph.capture import from_onnx
from qgraph.errors import QGraphError
from tests.conftest import run_onnx

BODIES = {
    "axes of ReduceMean": (helper.make_node("ReduceMean", ["X"], ["Y"], axes=[1], keepdims=0), 17, 18),
    "both are upgraded": (helper.make_node("ReduceMean", ["X"], ["Y"], axes=[1], keepdims=0), 13, 17),
    "axes of Squeeze": (helper.make_node("Squeeze", ["X"], ["Y"], axes=[2]), 11, 21),
    "Softmax over the flat rest": (helper.make_node("Softmax", ["X"], ["Y"], axis=1), 11, 21),
    "newer and the same": (helper.make_node("Sigmoid", ["X"], ["Y"]), 21, 18),
}


def saved(path: Path, node: onnx.NodeProto, opset: int, of_model: int) -> onnx.ModelProto:
    """A model that calls Outer, which calls F (the node)."""
    own, standard = helper.make_opsetid("my.dom", 1), helper.make_opsetid("", opset)
    function = helper.make_function("my.dom", "F", ["X"], ["Y"], [node], [standard])
    call = helper.make_node("F", ["X"], ["Y"], domain="my.dom")
    outer = helper.make_function("my.dom", "Outer", ["X"], ["Y"], [call], [standard, own])
    nodes = [helper.make_node("Outer", ["x"], ["a"], domain="my.dom"), helper.make_node("Relu", ["a"], ["y"])]
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in (("x", [2, 3, 1]), ("y", None))]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    imports = [helper.make_opsetid("", of_model), own]
    model = helper.make_model(graph, opset_imports=imports, functions=[function, outer], ir_version=8)
    onnx.save(model, path)
    return model


@pytest.mark.parametrize("name", BODIES)
def test_a_function_of_another_opset_keeps_its_meaning(tmp_path: Path, name: str) -> None:
    proto = saved(tmp_path / "m.onnx", *BODIES[name])
    x = np.random.default_rng(0).standard_normal((2, 3, 1)).astype(np.float32)
    model = from_onnx(tmp_path / "m.onnx")
    assert not model.functions
    np.testing.assert_allclose(run_onnx(model, {"x": x})[0], ReferenceEvaluator(proto).run(None, {"x": x})[0], rtol=1e-6)


def test_a_newer_function_is_refused_by_name(tmp_path: Path) -> None:
    saved(tmp_path / "m.onnx", helper.make_node("Gelu", ["X"], ["Y"]), 20, 17)
    with pytest.raises(QGraphError, match=r"local function 'my.dom::F' is of opset 20 and the model of 17"):
        from_onnx(tmp_path / "m.onnx")


def test_functions_that_call_each_other_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "m.onnx", helper.make_node("Outer", ["X"], ["Y"], domain="my.dom"), 21, 21)
    with pytest.raises(QGraphError, match=r"local functions cannot be inlined: Cyclic dependency .* my.dom::Outer"):
        from_onnx(tmp_path / "m.onnx")
