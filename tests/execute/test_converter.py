"""Names of values that Python or torch use otherwise: the module computes the same and its state is written back."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import helper, numpy_helper

from qgraph.errors import QGraphError
from qgraph.execute import from_torch, to_torch
from tests.conftest import run_onnx

RNG = np.random.default_rng(0)
WORDS = ["training", "forward", "eval", "self", "0", "graph", "code", "meta", "class", "None", "_parameters", "type", "1a"]
WORDS += ["quantizers", "masks", "torch", "inf", "a.class", "a.type", "a.0", "import.b", "é", "x y", "lambda", "input"]


def model_of(nodes: list[onnx.NodeProto], inputs: list[str], output: str, weights: list[str]) -> ir.Model:
    """A graph over matrices [4, 4]."""
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [4, 4]) for n in (*inputs, output)]
    tensors = [numpy_helper.from_array(RNG.standard_normal((4, 4)).astype(np.float32), n) for n in weights]
    graph = helper.make_graph(nodes, "g", values[:-1], values[-1:], tensors)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def assert_computes_the_same(model: ir.Model) -> torch.fx.GraphModule:
    feed = {v.name or "": RNG.standard_normal((4, 4)).astype(np.float32) for v in model.graph.inputs}
    module = to_torch(model)
    found = module(*map(torch.from_numpy, feed.values()))
    assert list(found) == [v.name for v in model.graph.outputs]
    for got, wanted in zip(found.values(), run_onnx(model, feed), strict=True):
        np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-5, atol=1e-5)
    return module


@pytest.mark.parametrize("word", WORDS)
def test_a_value_may_have_any_name(word: str) -> None:
    add, relu = helper.make_node("Add", ["x", word], ["y"]), helper.make_node("Relu", ["x"], [word])
    assert_computes_the_same(model_of([add], ["x", word], "y", []))
    assert_computes_the_same(model_of([relu], ["x"], word, []))
    assert_computes_the_same(model_of([relu, helper.make_node("Neg", [word], ["y"])], ["x"], "y", []))
    model = model_of([add], ["x"], "y", [word])
    module = assert_computes_the_same(model)
    with torch.no_grad():
        next(module.parameters()).fill_(2.0)
    from_torch(module, model)
    np.testing.assert_array_equal(model.graph.initializers[word].const_value.numpy(), np.full((4, 4), 2, np.float32))  # type: ignore[union-attr]


def test_names_that_differ_in_signs_alone_stay_apart() -> None:
    names = ["a.b", "a_b", "a/b", "a b"]
    nodes = [helper.make_node("Sub", [names[0], names[1]], ["s"]), helper.make_node("MatMul", [names[2], names[3]], ["t"])]
    nodes.append(helper.make_node("Sub", ["s", "t"], ["y"]))
    assert_computes_the_same(model_of(nodes, names, "y", []))
    assert_computes_the_same(
        model_of(
            [*nodes[:2], helper.make_node("Add", ["s", "x"], ["u"]), helper.make_node("Sub", ["u", "t"], ["y"])],
            ["x"],
            "y",
            names,
        )
    )


def test_a_weight_beside_the_module_of_its_name() -> None:
    names = ["conv", "conv.weight", "conv/weight", "conv.weight.g"]
    nodes = [
        helper.make_node("MatMul", [["x", "c0", "c1", "c2"][i], name], [["c0", "c1", "c2", "y"][i]])
        for i, name in enumerate(names)
    ]
    assert len(list(assert_computes_the_same(model_of(nodes, ["x"], "y", names)).parameters())) == 4


def test_inputs_of_another_type_are_refused_in_one_sentence() -> None:
    text = '<ir_version: 10, opset_import: ["" : 21]> g (float[n,2] x, int64[n] i) => (float[n,2] y) <float[2,2] w = {1,2,3,4}>'
    module = to_torch(ir.from_onnx_text(text + " { c = Cast<to=1>(i) a = ReduceSum(c) m = MatMul(x, w) y = Add(m, a) }"))
    x, i = torch.ones(3, 2), torch.ones(3, dtype=torch.int64)
    assert module(x, i)["y"].shape == (3, 2)
    for args, says in (
        ((x.double(), i), r"input 'x' is torch.float64, the module takes torch.float32"),
        ((x.long(), i), r"input 'x' is torch.int64, the module takes torch.float32"),
        ((x, x), r"input 'i' is torch.float32, the module takes torch.int64"),
        ((x.numpy(), i), r"input 'x' is ndarray, the module takes tensors"),
    ):
        with pytest.raises(QGraphError, match=says):
            module(*args)
    assert module.double()(x.double(), i)["y"].shape == (3, 2)
    assert torch.compile(to_torch(ir.from_onnx_text(text + " { y = MatMul(x, w) }")), backend="eager")(x, i)["y"].shape == (3, 2)
