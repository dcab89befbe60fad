"""Codebooks: ONNX Runtime's form of the op, the paper's gradient, the sharing of levels, and what ships."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qgraph.passes.quantize.codebook import LEAST, MOST, share_points

from qgraph.capture import from_factory
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.execute import to_torch
from qgraph.execute.quantizers import fake_quantize_codebook
from qgraph.ir.ops.fake_quantize_codebook import FakeQuantizeCodebook, nearest, rounded
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx


def run_function(w: np.ndarray, levels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    import onnxruntime

    node = onnx.helper.make_node("FakeQuantizeCodebook", ["w", "levels", "scale"], ["y"], domain="qgraph")
    values = [onnx.helper.make_tensor_value_info(n, 1, None) for n in ("w", "levels", "scale", "y")]
    graph = onnx.helper.make_graph([node], "g", values[:3], values[3:])
    imports = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("qgraph", 1)]
    model = onnx.helper.make_model(
        graph, functions=[FakeQuantizeCodebook.to_function_proto()], opset_imports=imports, ir_version=10
    )
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"w": w, "levels": levels, "scale": scale})[0]  # type: ignore[no-any-return]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 16))
def test_values_are_those_of_onnx_runtime_and_numpy(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((9, 5)).astype(np.float32)
    scale = np.abs(w).max(0, keepdims=True) / np.float32(127)
    levels = rng.uniform(-150, 150, points).astype(np.float32)
    table = rounded(levels)
    wanted = table[nearest(w / scale, table)].astype(np.float32) * scale
    found = fake_quantize_codebook(torch.from_numpy(w), torch.from_numpy(levels), torch.from_numpy(scale)).numpy()
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(run_function(w, levels, scale), wanted)
    assert (np.abs(wanted / scale - w / scale) <= np.abs(table[0] - w / scale) + 1e-3).all()


def test_gradient_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    w = torch.tensor(rng.standard_normal((50, 4)), dtype=torch.float32, requires_grad=True)
    scale = torch.tensor(rng.uniform(0.01, 0.05, (1, 4)), dtype=torch.float32)
    levels = torch.tensor([20.3, -60.0, 70.0, -10.0], requires_grad=True)
    grad = torch.tensor(rng.standard_normal((50, 4)), dtype=torch.float32)
    fake_quantize_codebook(w, levels, scale).backward(grad)
    for j in range(4):  # Polino et al. 2018, section 3.2: sum of alpha * dL/dw^ over the weights that chose level j
        chosen = (w.detach() / scale - torch.round(levels.detach()[j])).abs()
        others = torch.stack([(w.detach() / scale - torch.round(p)).abs() for p in levels.detach()]).amin(0)
        wanted = (grad * scale)[chosen == others].sum()
        torch.testing.assert_close(levels.grad[j], wanted)  # type: ignore[index]
    torch.testing.assert_close(w.grad, grad)


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1e6), min_size=1, max_size=12), st.integers(2, 16))
def test_levels_are_shared_by_gradient(norms: dict[str, float], points: int) -> None:
    shares = share_points(norms, points)
    assert sum(shares.values()) == points * len(norms) and all(LEAST <= n <= MOST for n in shares.values())
    order = sorted(norms, key=lambda n: norms[n])
    assert all(shares[a] <= shares[b] + 1 for a, b in itertools.pairwise(order))
    assert share_points({"a": 9.0, "b": 1.0}, 8) == {"a": 11, "b": 5}


@pytest.mark.parametrize(("points", "bits"), [(3, 2), (16, 4)])
def test_what_is_trained_is_what_ships(points: int, bits: int, tmp_path: Path) -> None:
    model = from_factory("qgraph.zoo:digits_cnn")
    x = {"input": np.random.default_rng(0).standard_normal((8, 1, 8, 8)).astype(np.float32)}
    text = f"canonicalize,fold-batchnorm,fuse-bias,calibrate,quantize{{weights=codebook points={points} latent=true}}"
    Pipeline(text).run(model, PassContext(data=[x]))
    trained = next(iter(to_torch(model)(torch.from_numpy(x["input"])).values())).detach().numpy()
    Pipeline("bake").run(model)
    baked = next(iter(to_torch(model)(torch.from_numpy(x["input"])).values())).detach().numpy()
    assert np.abs(baked - trained).max() < 0.01 * np.abs(trained).max()  # the rounding of biases
    export(model, tmp_path / "m.onnx")
    compile(model, tmp_path / "m.qgp")
    shipped = next(iter(Session(tmp_path / "m.qgp").run(x).values()))
    exact = next(iter(to_torch(model, exact=True)(torch.from_numpy(x["input"])).values()))
    np.testing.assert_array_equal(shipped, exact)
    assert np.abs(shipped - run_onnx(model, x)[0]).max() < 0.01 * np.abs(trained).max()
    whole = sum(w.size for n, w in weights(model).items() if n.endswith(".indices"))
    assert (tmp_path / "m.qgp").stat().st_size < whole * bits / 8 + 8000  # the rest: ops, names, scales


def weights(model: object) -> dict[str, np.ndarray]:
    return {n: v.const_value.numpy() for n, v in model.graph.initializers.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("points=17", "a codebook has 2 to 16 levels"),
        ("weight-block=32", "leave weight-block out"),
        ("share=gradient", "'gradients: 5', or share=equal"),
    ],
)
def test_refusals(options: str, message: str) -> None:
    model = from_factory("qgraph.zoo:digits_mlp")
    x = {"input": np.zeros((2, 64), np.float32)}
    with pytest.raises(QGraphError, match=message):
        Pipeline(f"canonicalize,calibrate,quantize{{weights=codebook {options}}}").run(model, PassContext(data=[x]))
