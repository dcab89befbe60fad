"""What follows a float32 product becomes part of it, with the same bytes; what others read stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qgraph.passes.lower import fuse_float32

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from tests.conftest import run_onnx, same_bytes
from tests.passes.graphs import model_of

WEIGHTS = """float[4,4] w = {1, 2, -1, 1, 0, 1, 2, 1, 1, 1, -2, 1, 0, 1, 1, 1}, float[4] b = {1, 2, -1, 0.5},
  float[1,1,4] wide = {1, 2, -1, 0.5}, float[1] one = {1}, float[4,4,1] k = {1, 2, -1, 1, 0, 1, 2, 1, 1, 1, -2, 1, 0, 1, 1, 1},
  float low = {-0.5}, float high = {2.5}, float[4,1] rows = {1, 2, 3, 4}"""
MATMUL = f"g (float[2,5,4] x, float[2,5,4] r) => (float[2,5,4] y) <{WEIGHTS}>"
CONV = f"g (float[2,4,6] x, float[2,4,6] r) => (float[2,4,6] y) <{WEIGHTS}>"
GEMM = f"g (float[4,4] x, float[4,4] r) => (float[4,4] y) <{WEIGHTS}>"
FUSED = {
    "bias": (MATMUL, "m = MatMul(x, w) y = Add(m, b)", ["FusedMatMul"]),
    "bias on the left, of more dims": (MATMUL, "m = MatMul(x, w) y = Add(wide, m)", ["FusedMatMul"]),
    "all": (MATMUL, "m = MatMul(x, w) s = Add(m, b) t = Add(r, s) y = Relu(t)", ["FusedMatMul"]),
    "residual alone": (MATMUL, "m = MatMul(x, w) y = Add(m, r)", ["FusedMatMul"]),
    "Gemm": (GEMM, "m = Gemm<transB=1, alpha=0.5>(x, w, b) y = Relu(m)", ["FusedMatMul"]),
    "Conv": (CONV, "m = Conv(x, k, b) s = Add(m, r) y = Relu(s)", ["FusedConv"]),
    "two Convs": (CONV, "m = Conv(x, k, b) n = Conv(r, k) s = Add(m, n) y = Relu(s)", ["Conv", "FusedConv"]),
    "a column in place of a bias": (GEMM, "m = Gemm(x, w, rows) y = Relu(m)", ["Gemm", "Add", "Relu"]),
    "a factor of C": (GEMM, "m = Gemm<beta=0.5>(x, w, b) y = Relu(m)", ["Gemm", "Relu"]),
    "a sum that broadcasts": (GEMM, "m = MatMul(x, w) y = Add(m, rows)", ["MatMul", "Add"]),
    "a value with two readers": (GEMM, "m = MatMul(x, w) s = Relu(m) y = Add(m, s)", ["MatMul", "Relu", "Add"]),
    "the sum with itself": (GEMM, "m = MatMul(x, w) y = Add(m, m)", ["MatMul", "Add"]),
}


def feeds(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(np.float32) for name in ("x", "r")}


@pytest.mark.parametrize("case", FUSED)
def test_outputs_keep_their_bytes(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, nodes, ops = FUSED[case]
    model = model_of(f"{head} {{ {nodes} }}")
    feed = feeds(tuple(model.graph.inputs[0].shape.numpy()))  # type: ignore[union-attr]
    lowered = compile(model, tmp_path / "m.qgp")
    assert [n.op_type for n in lowered.graph] == ops
    found = Session(tmp_path / "m.qgp").run(feed)["y"]
    np.testing.assert_allclose(found, run_onnx(model, feed)[0], rtol=1e-5, atol=1e-6)
    same_bytes(tmp_path / "m.qgp", feed)
    monkeypatch.setattr(fuse_float32, "fuse", lambda graph: 0)
    compile(model, tmp_path / "plain.qgp")
    assert Session(tmp_path / "plain.qgp").run(feed)["y"].tobytes() == found.tobytes()


def test_outputs_of_the_graph_stay(tmp_path: Path) -> None:
    model = model_of(
        f"g (float[2,5,4] x) => (float[2,5,4] m, float[2,5,4] y) <{WEIGHTS}> {{ m = MatMul(x, w) s = Add(m, b) y = Relu(s) }}"
    )
    lowered = compile(model, tmp_path / "m.qgp")
    assert [n.op_type for n in lowered.graph] == ["MatMul", "Add", "Relu"]
    feed = {"x": feeds((2, 5, 4))["x"]}
    found = Session(tmp_path / "m.qgp").run(feed)
    for name, wanted in zip(("m", "y"), run_onnx(model, feed), strict=True):
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-6)


def test_constants_that_nothing_reads_are_left_out(tmp_path: Path) -> None:
    lowered = compile(model_of(f"{MATMUL} {{ m = MatMul(x, w) y = Add(wide, m) }}"), tmp_path / "m.qgp")
    assert sorted(lowered.graph.initializers) == ["w", "wide.flat"]
