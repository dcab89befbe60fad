"""RNN, GRU and LSTM as torch modules, against ONNX Runtime: directions, lengths, states, activations and limits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from qgraph.errors import QGraphError
from qgraph.execute.convert import to_torch
from qgraph.execute.onnxruntime import session

RNG = np.random.default_rng(0)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
TIME, BATCH, INPUTS, HIDDEN = 5, 3, 4, 6


def noise(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / 2).astype(np.float32)


def model_of(op: str, directions: int, given: set[str], attributes: dict[str, Any]) -> tuple[ir.Model, dict[str, np.ndarray]]:
    """A node with all its outputs; ``given`` names the optional inputs that it has."""
    gates = GATES[op] * HIDDEN
    arrays = {
        "x": noise(TIME, BATCH, INPUTS),
        "w": noise(directions, gates, INPUTS),
        "r": noise(directions, gates, HIDDEN),
        "b": noise(directions, 2 * gates),
        "lengths": np.array([5, 2, 3], np.int32),
        "h": noise(directions, BATCH, HIDDEN),
        "c": noise(directions, BATCH, HIDDEN),
        "p": noise(directions, 3 * HIDDEN),
    }
    names = list(arrays)[: 8 if op == "LSTM" else 6]
    values = {
        n: ir.val(n, ir.DataType.from_numpy(a.dtype), a.shape, const_value=ir.tensor(a, name=n) if n in "wrbp" else None)
        for n, a in arrays.items()
    }
    inputs = [values[n] if n in given | {"x", "w", "r"} else None for n in names]
    node = ir.node(op, inputs, {"hidden_size": HIDDEN, **attributes}, num_outputs=3 if op == "LSTM" else 2, name="n")
    for value, name in zip(node.outputs, ("y", "y_h", "y_c"), strict=False):
        value.name, value.dtype = name, ir.DataType.FLOAT
    fed = [v for v in inputs if v is not None and v.const_value is None]
    stored = [v for v in inputs if v is not None and v.const_value is not None]
    graph = ir.Graph(fed, node.outputs, nodes=[node], initializers=stored, opset_imports={"": 21}, name="g")
    return ir.Model(graph, ir_version=10), {v.name or "": arrays[v.name or ""] for v in fed}


def agree(model: ir.Model, feed: dict[str, np.ndarray]) -> None:
    wanted = session(model).run(None, feed)
    found = to_torch(model)(*(torch.from_numpy(feed[v.name or ""]) for v in model.graph.inputs))
    assert list(found) == [v.name for v in model.graph.outputs]
    for got, right in zip(found.values(), wanted, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), right, atol=2e-6)


@pytest.mark.parametrize(("op", "direction"), itertools.product(GATES, ["forward", "reverse", "bidirectional"]))
@pytest.mark.parametrize(
    "given",
    [set(), {"b"}, {"b", "lengths"}, {"b", "h", "c"}, {"b", "lengths", "h", "c", "p"}],
    ids=lambda given: " ".join(sorted(given)) or "none",
)
def test_directions_lengths_and_states(op: str, direction: str, given: set[str]) -> None:
    agree(*model_of(op, 1 + (direction == "bidirectional"), given, {"direction": direction}))


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {"clip": 0.3}),
        ("GRU", {"activations": ["Sigmoid", "Softsign"]}),
        ("LSTM", {"clip": 0.3}),
        ("LSTM", {"activations": ["Sigmoid", "Relu", "Softsign"]}),
        ("RNN", {"activations": ["Relu"]}),
        ("RNN", {"activations": ["ScaledTanh"], "activation_alpha": [0.8], "activation_beta": [0.6]}),
        ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.1]}),
        ("RNN", {"activations": ["Elu"]}),
        (
            "LSTM",
            {"activations": ["HardSigmoid", "Affine", "LeakyRelu"], "activation_alpha": [0.3, 0.7], "activation_beta": [0.4]},
        ),
        ("LSTM", {"input_forget": 1}),
    ],
)
def test_attributes(op: str, attributes: dict[str, Any]) -> None:
    agree(*model_of(op, 1, {"b", "h"}, attributes))


@pytest.mark.parametrize("op", GATES)
def test_weights_get_gradients(op: str) -> None:
    model, feed = model_of(op, 1, {"b"}, {})
    module = to_torch(model)
    module(torch.from_numpy(feed["x"]))["y"].square().sum().backward()
    gradients = {name: p.grad for name, p in module.named_parameters()}
    assert set(gradients) == {"w", "r", "b"}
    assert all(g is not None and g.abs().sum() > 0 for g in gradients.values())


def test_an_activation_that_is_none() -> None:
    model, feed = model_of("RNN", 1, set(), {"activations": ["Cosine"]})
    with pytest.raises(QGraphError, match="activation 'Cosine' is unknown; ONNX has affine, relu"):
        to_torch(model)(torch.from_numpy(feed["x"]))
