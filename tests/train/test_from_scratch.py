"""Training from scratch: a captured graph, brought into the form that stages train, learns what the torch module learns."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from qgraph.capture import from_torch
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.execute import from_torch as write_back
from qgraph.execute import to_torch
from qgraph.ir import io
from qgraph.ir.parameters import TIED, tied_to
from qgraph.pipeline import PassContext, Pipeline
from qgraph.train.build import CANONICAL, FOLDED, is_computed
from tests.conftest import run_onnx

STEPS = 10
QAT = "calibrate,quantize{latent=true}"


class Tied(nn.Module):
    """Embedding and output layer share one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.inner, self.out = nn.Embedding(11, 8), nn.Linear(8, 8), nn.Linear(8, 11, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.inner(self.embed(x))))  # type: ignore[no-any-return]


class Gates(nn.Module):
    """Gains of ones and shifts of zeros, whole vectors and single numbers."""

    def __init__(self) -> None:
        super().__init__()
        ones, zeros = lambda n: nn.Parameter(torch.ones(n)), lambda n: nn.Parameter(torch.zeros(n))
        self.a, self.b, self.c, self.d, self.e = ones(8), zeros(8), ones(8), zeros(8), ones(8)
        self.gain, self.shift, self.rezero = ones(1), zeros(1), zeros(1)
        self.inner, self.out = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = (x * self.a + self.b) * self.c / self.e - self.d
        x = x * self.gain + self.shift
        return self.out(x + self.rezero * torch.tanh(self.inner(x)))  # type: ignore[no-any-return]


class Branches(nn.Module):
    """Two layers that are equal at the start and read the same value."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.out = nn.Linear(8, 8), nn.Linear(8, 3)
        self.b = copy.deepcopy(self.a)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.sigmoid(self.a(x)) + self.b(x).square())  # type: ignore[no-any-return]


class Causal(nn.Module):
    """Attention with a mask and a learned temperature: the mask is no parameter, the temperature is one."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.scale = nn.Linear(8, 24), nn.Linear(8, 3), nn.Parameter(torch.ones(1))
        self.register_buffer("mask", torch.full((5, 5), -4.0).triu(1))
        self.register_buffer("positions", torch.linspace(-1, 1, 40).reshape(5, 8))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.qkv(x + self.positions)).reshape(-1, 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        p = torch.softmax(q @ k.transpose(-1, -2) * self.scale + self.mask, -1)
        return self.out((p @ v).transpose(1, 2).reshape(-1, 5, 8))  # type: ignore[no-any-return]


def batchnorm_cnn() -> nn.Module:
    block = lambda i, o: [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]  # noqa: E731
    return nn.Sequential(*block(1, 4), *block(4, 4), nn.Flatten(), nn.Linear(144, 3))


def other_norms() -> nn.Module:
    norms = [nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 4)]
    return nn.Sequential(nn.Conv2d(1, 4, 3), *norms, nn.Flatten(), nn.Linear(16, 3))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0)
    return nn.Sequential(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 3))


def zero_biases() -> nn.Module:
    layers = [nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)]
    for layer in layers[::2]:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers)


def copied_layers() -> nn.Module:
    layer = nn.Linear(8, 8)
    return nn.Sequential(layer, nn.ReLU(), copy.deepcopy(layer), nn.ReLU(), copy.deepcopy(layer))


def weight_norm() -> nn.Module:
    normed = nn.utils.parametrizations.weight_norm
    return nn.Sequential(normed(nn.Linear(8, 8)), nn.ReLU(), normed(nn.Linear(8, 3)))


def rows() -> Tensor:
    return torch.randn(4, 8)


FRESH: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "batchnorm": (batchnorm_cnn, lambda: torch.randn(4, 1, 6, 6)),
    "group and instance norm": (other_norms, lambda: torch.randn(4, 1, 6, 6)),
    "encoder": (encoder, lambda: torch.randn(2, 5, 8)),
    "zero biases": (zero_biases, rows),
    "copied layers": (copied_layers, rows),
    "branches": (Branches, rows),
    "weight norm": (weight_norm, rows),
    "gates": (Gates, rows),
    "tied": (Tied, lambda: torch.randint(0, 11, (2, 5))),
    "causal": (Causal, lambda: torch.randn(2, 5, 8)),
}


def trained(module: nn.Module, x: Tensor, run: Callable[[Tensor], Tensor]) -> list[float]:
    """The loss before each of ten steps of SGD, and after them."""
    module.train()
    optimizer, losses = torch.optim.SGD(module.parameters(), 0.1), []
    for step in range(STEPS + 1):
        scores = run(x)
        target = torch.arange(scores[..., 0].numel()) % 3
        loss = nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), target)
        losses.append(loss.item())
        if step < STEPS:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return losses


@pytest.mark.parametrize("through_a_file", [False, True])
@pytest.mark.parametrize("name", FRESH)
def test_ten_steps_of_sgd_give_the_loss_of_torch(name: str, through_a_file: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, draw = FRESH[name]
    module, x = make(), draw()
    model = from_torch(module, (x,))
    Pipeline(CANONICAL).run(model)
    if through_a_file:
        io.save(model, tmp_path / "model.onnx")
        model = io.load(tmp_path / "model.onnx")
    graph = to_torch(model)
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    assert count(graph) == count(module)
    wanted = trained(module, x, module)
    assert trained(graph, x, lambda x: next(iter(graph(x).values()))) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("name", [n for n in FRESH if n not in ("weight norm", "tied")])
def test_canonicalize_keeps_what_is_equal_at_the_start_apart(name: str) -> None:
    make, draw = FRESH[name]
    module = make()
    model = from_torch(module, (draw(),))
    Pipeline("canonicalize").run(model)
    assert sum(p.numel() for p in to_torch(model).parameters()) == sum(p.numel() for p in module.parameters())


def test_graphs_that_are_not_trained_hold_equal_weights_once() -> None:
    model = from_torch(copied_layers(), (rows(),))
    Pipeline("canonicalize{parameters=merge}").run(model)
    assert sum(p.numel() for p in to_torch(model).parameters()) == 72


def tied_graph(passes: str) -> tuple[nn.Module, ir.Model, Tensor]:
    """A fresh module whose embedding is its output layer too, and its graph as a stage with ``passes`` trains it."""
    torch.manual_seed(0)
    module, x = Tied(), torch.randint(0, 11, (2, 5))
    model = from_torch(module, (x,))
    Pipeline(CANONICAL).run(model)
    assert any(is_computed(node) for node in model.graph)
    Pipeline(FOLDED).run(model)
    if passes:
        Pipeline(passes).run(model, PassContext(data=[{"x": x.numpy()}]))
    return module, model, x


def matrices(model: ir.Model) -> list[np.ndarray]:
    """The stored weights of the size of the embedding, as [11, 8]."""
    arrays = [v.const_value.numpy() for v in model.graph.initializers.values() if v.const_value is not None]
    return [a if a.shape == (11, 8) else a.T for a in arrays if sorted(a.shape) == [8, 11] and a.dtype == np.float32]


def test_weights_stay_tied_in_a_stage_with_passes() -> None:
    module, model, x = tied_graph("")
    graph = to_torch(model)
    assert sum(p.numel() for p in graph.parameters()) == sum(p.numel() for p in module.parameters())
    wanted = trained(module, x, module)
    assert trained(graph, x, lambda x: next(iter(graph(x).values()))) == pytest.approx(wanted, rel=1e-3)
    write_back(graph, model)
    one, other = matrices(model)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one, module.embed.weight.detach().numpy(), rtol=1e-3, atol=1e-5)  # type: ignore[union-attr]


@pytest.mark.parametrize("passes", [QAT, "calibrate,smooth-quant,quantize{weights=int4 latent=true}"])
def test_weights_stay_tied_behind_their_quantizers(passes: str, tmp_path: Path) -> None:
    module, model, x = tied_graph(passes)
    graph = to_torch(model)
    before = module.embed.weight.detach().numpy().copy()  # type: ignore[union-attr]
    losses = trained(graph, x, lambda x: next(iter(graph(x).values())))
    assert losses[-1] < losses[0] / 2
    if passes == QAT:
        assert losses[:6] == pytest.approx(trained(module, x, module)[:6], rel=0.1)  # activations leave their ranges later
    write_back(graph, model)
    one, other = matrices(model)
    np.testing.assert_array_equal(one, other)
    assert np.abs(one - before).max() > 1e-3
    wanted = next(iter(graph.eval()(x).values())).detach().numpy()
    Pipeline("bake").run(model)
    compile(model, tmp_path / "m.qgp")
    for found in (run_onnx(model, {"x": x.numpy()})[0], *Session(tmp_path / "m.qgp").run({"x": x.numpy()}).values()):
        np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max())


def test_weights_that_a_pass_changed_are_tied_no_more() -> None:
    _, model, _ = tied_graph("")
    value = next(v for v in model.graph.initializers.values() if TIED in v.metadata_props)
    assert tied_to(value, model.graph) is not None
    value.const_value = ir.Tensor(value.const_value.numpy() * 2, name=value.name)  # type: ignore[union-attr]
    assert tied_to(value, model.graph) is None
    assert len(matrices(model)) == 2 and sum(p.numel() for p in to_torch(model).parameters()) == 2 * 88 + 72
