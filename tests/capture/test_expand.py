"""Ops become the bodies that ONNX defines them by, which compute what its node tests say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator
from qgraph.tools.node_tests import array_of, cases, is_close, op_of

from qgraph.capture import read
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.workflow import transform
from tests.conftest import run_onnx

HEAD = '<ir_version: 10, opset_import: ["" : 23]>'

EXPANDED = {"Attention", "RotaryEmbedding", "SwiGLU"}
CASES = [case for case in cases() if op_of(case) in EXPANDED and len(case.model.graph.node) == 1]


@pytest.mark.parametrize("case", [c for c in CASES if "16" not in c.name], ids=lambda case: case.name)
def test_a_body_computes_what_the_op_does(case: object, tmp_path: Path) -> None:
    onnx.save(case.model, tmp_path / "case.onnx")  # type: ignore[attr-defined]
    model = read(tmp_path / "case.onnx")
    assert not EXPANDED & {node.op_type for node in model.graph}
    evaluator = ReferenceEvaluator(ir.to_proto(model))
    for inputs, outputs in case.data_sets:  # type: ignore[attr-defined]
        names = [v.name for v in model.graph.inputs]
        found = evaluator.run(None, dict(zip(names, map(array_of, inputs), strict=True)))
        for got, wanted in zip(found, map(array_of, outputs), strict=True):
            assert is_close(got, wanted.astype(got.dtype), case) == ""


def test_names_of_values_and_modules_stay(tmp_path: Path) -> None:
    text = "g (float[1,2,3,8] q, float[1,2,5,8] k, float[1,2,5,4] v) => (float[1,2,3,4] y) { a = Attention(q, k, v) y = Relu(a) }"
    onnx.save(onnx.parser.parse_model(HEAD + text), tmp_path / "m.onnx")
    model = read(tmp_path / "m.onnx")
    assert "a" in {v.name for n in model.graph for v in n.outputs}
    assert all(n.name is not None and "Attention_a" in n.name for n in model.graph if n.op_type != "Relu")


def test_attention_is_quantized(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = """g (float[2,6,16] x) => (float[2,6,16] y) {
        q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv)
        a = Attention<q_num_heads=2, kv_num_heads=2>(q, k, v) y = MatMul(a, wo) }"""
    weights = {name: (rng.standard_normal((16, 16)) / 4).astype(np.float32) for name in ("wq", "wk", "wv", "wo")}
    proto = onnx.parser.parse_model(HEAD + text)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
    onnx.save(proto, tmp_path / "m.onnx")
    model, feed = read(tmp_path / "m.onnx"), {"x": rng.standard_normal((2, 6, 16)).astype(np.float32)}
    want = run_onnx(model, feed)[0]
    transform(model, preset="int8", data=[feed])
    compile(model, tmp_path / "m.qgp")
    assert np.abs(Session(tmp_path / "m.qgp").run(feed)["y"] - want).max() < 0.1 * np.abs(want).max()
