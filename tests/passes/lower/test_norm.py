"""RMSNorm, however it is spelled, is one kernel between 16-bit values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx, same_bytes
from tests.passes.graphs import model_of, quantizers

HEAD = """g (float[2,5,4] x) => (float[2,5,4] y) <float two = {2}, float half = {0.5}, float minus = {-0.5}, float one = {1},
  float eps = {0.00001}, int64[1] last = {-1}, float[4] g = {1, 2, -1, 0.5}, float[1,1,4] wide = {1, 2, -1, 0.5},
  float[4,4] w = {1, 2, -1, 1, 0, 1, 2, 1, 1, 1, -2, 1, 0, 1, 1, 1}>"""
MEAN = "s = Pow(x, two) m = ReduceMean(s, last) a = Add(m, eps)"
SPELLINGS = {
    "reciprocal": MEAN + "r = Sqrt(a) i = Reciprocal(r) n = Mul(x, i) z = Mul(g, n)",
    "division": MEAN + "r = Sqrt(a) n = Div(x, r) z = Mul(n, wide)",
    "one by the root": MEAN + "r = Sqrt(a) i = Div(one, r) n = Mul(i, x) z = Mul(n, g)",
    "power": MEAN + "i = Pow(a, minus) n = Mul(x, i) z = Mul(n, g)",
    "power of a half": MEAN + "i = Pow(a, half) n = Div(x, i) z = Mul(n, g)",
    "product": "s = Mul(x, x) m = ReduceMean(s, last) a = Add(eps, m) r = Sqrt(a) n = Div(x, r) z = Mul(g, n)",
    "without gamma": MEAN + "r = Sqrt(a) z = Div(x, r)",
}


def tokens() -> dict[str, np.ndarray]:
    """Tokens of very different size, as residual streams have them."""
    rng = np.random.default_rng(0)
    sizes = np.array([0.1, 0.3, 1, 5, 20], np.float32)[None, :, None]
    return {"x": rng.standard_normal((2, 5, 4)).astype(np.float32) * sizes}


@pytest.mark.parametrize("end", ["y = Identity(z)", "y = MatMul(z, w)"], ids=["float", "codes"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_small_tokens_beside_large_ones_keep_their_precision(spelling: str, end: str, tmp_path: Path) -> None:
    model, feed = model_of(f"{HEAD} {{ {SPELLINGS[spelling]} {end} }}"), tokens()
    wanted = run_onnx(model, feed)[0]
    Pipeline("calibrate,quantize").run(model, PassContext(data=[feed]))
    types = {name: kind for name, (kind, _, _) in quantizers(model).items()}
    assert types in ({"x": "int16"}, {"x": "int16", "z": "int16"})  # and nothing between them
    compile(model, tmp_path / "m.qgp")
    program = Session(tmp_path / "m.qgp").run(feed)["y"]
    for found in (run_onnx(model, feed)[0], program):
        error = np.abs(found - wanted).max(axis=-1) / np.abs(wanted).max(axis=-1)
        assert error.max() < 0.05
    same_bytes(tmp_path / "m.qgp", feed)


def test_static_activations_of_8_bits_too(tmp_path: Path) -> None:
    model = model_of(f"{HEAD} {{ {SPELLINGS['reciprocal']} y = MatMul(z, w) }}")
    feed = {"x": np.random.default_rng(0).standard_normal((2, 5, 4)).astype(np.float32)}
    wanted = run_onnx(model, feed)[0]
    Pipeline("calibrate,quantize{activations=uint8}").run(model, PassContext(data=[feed]))
    assert {kind for kind, _, _ in quantizers(model).values()} == {"uint8"}
    compile(model, tmp_path / "m.qgp")
    program = Session(tmp_path / "m.qgp").run(feed)["y"]
    assert np.abs(program - run_onnx(model, feed)[0]).max() < 0.05
    assert np.abs(program - wanted).max() < 0.5


@pytest.mark.parametrize(
    "nodes",
    [
        MEAN + "r = Sqrt(a) n = Div(x, r) z = Add(n, a)",  # another reads the mean square
        "s = Pow(x, half) m = ReduceMean(s, last) a = Add(m, eps) r = Sqrt(a) z = Div(x, r)",  # no square
        "s = Pow(x, two) m = ReduceSum(s, last) a = Add(m, eps) r = Sqrt(a) z = Div(x, r)",  # no mean
        "q = Neg(x) s = Pow(q, two) m = ReduceMean(s, last) a = Add(m, eps) r = Sqrt(a) z = Div(x, r)",  # of another value
    ],
)
def test_what_only_looks_like_it_is_none(nodes: str) -> None:
    from qgraph.ir.matchers.rms_norm import rms_norm

    model = model_of(f"{HEAD} {{ {nodes} y = Identity(z) }}")
    assert all(rms_norm(node.outputs[0]) is None for node in model.graph)
