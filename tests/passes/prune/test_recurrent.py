"""Hidden units of LSTM, GRU and RNN are removed like channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qgraph.capture import from_torch
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.workflow import transform
from tests.conftest import run_onnx
from tests.passes.graphs import model_of

HIDDEN = 16


class Net(nn.Module):
    def __init__(self, kind: str, bidirectional: bool) -> None:
        super().__init__()
        self.cells = getattr(nn, kind)(6, HIDDEN, num_layers=2, bidirectional=bidirectional, batch_first=True)
        self.head = nn.Linear(HIDDEN * (1 + bidirectional), 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0])  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_quarter_of_the_hidden_units_goes(kind: str, bidirectional: bool, tmp_path: Path) -> None:
    """What is left computes what the model does with zeros in their place (the pass compares the two), and runs everywhere."""
    torch.manual_seed(0)
    model = from_torch(Net(kind, bidirectional).eval(), (torch.randn(2, 7, 6),))
    feed = {v.name or "": torch.randn(2, 7, 6).numpy() for v in model.graph.inputs}
    transform(model, "canonicalize,prune-channels{ratio=0.25}")
    sizes = [n.attributes["hidden_size"].value for n in model.graph if n.op_type == kind]
    assert sizes == [12, 12]
    weights = [n.inputs[i].const_value.shape.numpy() for n in model.graph if n.op_type == kind for i in (1, 2)]  # type: ignore[union-attr]
    assert all(shape[1] % 12 == 0 for shape in weights) and weights[2][2] == 12 * (1 + bidirectional)
    wanted = run_onnx(model, feed)[0]
    compile(model, tmp_path / "float.qgp")
    np.testing.assert_allclose(next(iter(Session(tmp_path / "float.qgp").run(feed).values())), wanted, atol=2e-6)
    transform(model, preset="int8", data=[feed])
    compile(model, tmp_path / "int8.qgp")
    found = next(iter(Session(tmp_path / "int8.qgp").run(feed).values()))
    assert ((found - wanted) ** 2).sum() < 1e-2 * (wanted**2).sum()


def test_an_rnn_of_a_file() -> None:
    """torch exports none; its state has a bias and peers in the outputs."""
    rng = np.random.default_rng(0)
    arrays = {"w": (1, HIDDEN, 6), "r": (1, HIDDEN, HIDDEN), "b": (1, 2 * HIDDEN), "v": (HIDDEN, 5)}
    numbers = {name: ", ".join(map(repr, (rng.standard_normal(s) / 3).ravel().tolist())) for name, s in arrays.items()}
    made = ", ".join(f"float[{','.join(map(str, s))}] {name} = {{{numbers[name]}}}" for name, s in arrays.items())
    text = f"g (float[7, 2, 6] x) => (float[7, 1, 2, 5] out, float[1, 2, 5] last) <{made}> {{"
    text += f"y, h = RNN<hidden_size={HIDDEN}>(x, w, r, b) out = MatMul(y, v) last = MatMul(h, v) }}"
    model = model_of(text)
    transform(model, "prune-channels{ratio=0.25}")
    node = next(n for n in model.graph if n.op_type == "RNN")
    assert node.attributes["hidden_size"].value == 12
    assert [v.shape.numpy() for v in node.inputs[1:]] == [(1, 12, 6), (1, 12, 12), (1, 24)]  # type: ignore[union-attr]


def test_units_of_an_output_stay() -> None:
    model = from_torch(nn.GRU(6, HIDDEN).eval(), (torch.randn(7, 2, 6),))
    with pytest.raises(QGraphError, match="is an output of the model"):
        transform(model, "canonicalize,prune-channels{ratio=0.25}")
