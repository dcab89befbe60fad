"""Taps: found by layer or by name, harmless, and gone without a trace."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from qgraph.capture import from_factory, from_torch
from qgraph.errors import QGraphError
from qgraph.execute import to_torch
from qgraph.execute.onnxruntime import session
from qgraph.ir.layers import layers, pairs
from qgraph.pipeline import PassContext, Pipeline
from qgraph.zoo.digits import digits_data


class Block(torch.nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (torch.nn.Linear(width, width) for _ in range(4))
        self.norm, self.heads = torch.nn.LayerNorm(width), heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, n, d = x.shape
        q, k, v = (f(x).view(b, n, self.heads, d // self.heads).transpose(1, 2) for f in (self.query, self.key, self.value))
        y = torch.softmax(q @ k.transpose(-1, -2) / (d // self.heads) ** 0.5, -1) @ v
        return self.norm(x + self.out(y.transpose(1, 2).reshape(b, n, d)))


class Encoder(torch.nn.Module):
    def __init__(self, count: int, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.layer = torch.nn.ModuleList(Block(width, heads) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.layer:
            x = block(x)
        return x


def encoder(count: int) -> ir.Model:
    torch.manual_seed(0)
    model = from_torch(Encoder(count).eval(), (torch.zeros(2, 5, 16),))
    Pipeline("canonicalize").run(model)
    return model


def proto(model: ir.Model) -> onnx.ModelProto:
    return ir.to_proto(model)


def test_layers_and_their_values_are_found() -> None:
    found = layers(encoder(3))
    assert [layer.name for layer in found] == ["layer.0", "layer.1", "layer.2"]
    for layer in found:
        assert set(layer.values) == {"feature", "attention", "query", "key", "value"}
        assert [len(layer.values[k].shape or ()) for k in ("attention", "query", "key", "value", "feature")] == [4, 3, 3, 3, 3]


def test_taps_give_the_values_change_nothing_and_go_away() -> None:
    model = encoder(2)
    before = proto(model)
    x = np.random.default_rng(0).standard_normal((2, 5, 16)).astype(np.float32)
    wanted = session(model).run(None, {model.graph.inputs[0].name: x})[0]
    Pipeline("attach-taps{kinds=[feature,attention,query,key,value]}").run(model)
    names = [o.name for o in model.graph.outputs]
    assert len(names) == 11 and names[1:6] == [f"tap.{k}.0" for k in ("feature", "attention", "query", "key", "value")]
    onnx.checker.check_model(proto(model))
    results = dict(zip(names, session(model).run(None, {model.graph.inputs[0].name: x}), strict=True))
    np.testing.assert_array_equal(results[names[0]], wanted)
    np.testing.assert_array_equal(results["tap.feature.1"], wanted)
    with torch.no_grad():
        ours = to_torch(model)(torch.from_numpy(x))
    for name, array in results.items():
        np.testing.assert_allclose(ours[name or ""].numpy(), array, rtol=1e-4, atol=1e-5)
    Pipeline("strip-taps").run(model)
    assert proto(model) == before


def test_taps_by_name_and_in_quantized_graphs() -> None:
    model = from_factory("qgraph.zoo:digits_cnn")
    text = "canonicalize,fold-batchnorm,fuse-bias,calibrate,quantize,attach-taps{at=[relu*]}"
    Pipeline(text).run(model, PassContext(data=list(digits_data())))
    assert [o.name for o in model.graph.outputs][1:] == ["tap.feature.0", "tap.feature.1", "tap.feature.2"]
    assert to_torch(model)(torch.zeros(2, 1, 8, 8))["tap.feature.0"].shape == (2, 16, 8, 8)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("attach-taps{kinds=[featur]}", "did you mean 'feature'"),
        ("attach-taps{layers=[7]}", "wants layer 7, the model has 2"),
        ("attach-taps{at=[nothing*]}", "matches no name"),
        ("attach-taps,attach-taps", "run strip-taps first"),
    ],
)
def test_refusals(text: str, says: str) -> None:
    with pytest.raises(QGraphError, match=says):
        Pipeline(text).run(encoder(2))


def test_layer_maps() -> None:
    assert pairs(3, 6, "uniform") == [(0, 1), (1, 3), (2, 5)]
    assert pairs(4, 12, "uniform") == [(0, 2), (1, 5), (2, 8), (3, 11)]
    assert pairs(6, 3, "uniform") == [(1, 0), (3, 1), (5, 2)]
    assert pairs(3, 6, "last") == [(2, 5)]
    assert pairs(3, 6, "0:0 2:5") == [(0, 0), (2, 5)]
