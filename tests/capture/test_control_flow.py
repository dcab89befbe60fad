"""Control flow that stays goes through every command in float; what is around it is transformed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from qgraph.capture import from_onnx, read
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.ir import io
from qgraph.ir.integer_ops import INTEGER_OPS
from qgraph.workflow import PRESETS, transform
from tests.capture.files import run, sqnr

RNG = np.random.default_rng(0)
F32 = np.float32
TENSORS = {
    **{name: RNG.normal(0, 0.4, (4, 4)).astype(F32) for name in ("w0", "w1", "w2")},
    "b": RNG.normal(size=4).astype(F32), "three": np.array(3), "yes": np.array(True), "one": np.array(1),
    "zero": np.zeros(4, F32), "axes": np.array([0]), "z1": np.zeros(1, np.int64),
}  # fmt: skip
HEAD = "y0 = MatMul(x, w0) a = Relu(y0) "
TAIL = " y = MatMul(r, w1)"
THEN = "then_branch = t () => (float[2,4] t1)"
ELSE = "else_branch = e () => (float[2,4] e1)"
BODY = "body = l (int64 i, bool go, float[2,4] v) => (bool on, float[2,4] v2)"
CASES = {
    "If": HEAD + f"r = If (c) <{THEN} {{ t1 = MatMul(a, w1) }}, {ELSE} {{ e0 = MatMul(a, w2) e1 = Add(e0, b) }}>" + TAIL,
    "If that hands out an outer value": HEAD + f"r = If (c) <{THEN} {{ t1 = Identity(a) }}, {ELSE} {{ e1 = Neg(a) }}>" + TAIL,
    "both branches hand out one value": HEAD
    + f"r = If (c) <{THEN} {{ t1 = Identity(a) }}, {ELSE} {{ e1 = Identity(a) }}>" + TAIL,
    "If that hands out an initializer": HEAD
    + f"r = If (c) <{THEN} <float[2,4] k = {{1, 2, 3, 4, 5, 6, 7, 8}}> {{ t1 = Identity(k) }}, {ELSE} {{ e1 = Neg(a) }}>" + TAIL,
    "If with a bias and a clamp of an outer product": "y0 = MatMul(x, w0) "
    + f"r = If (c) <{THEN} {{ t0 = Add(y0, b) t1 = Relu(t0) }}, {ELSE} {{ e1 = Relu(y0) }}>" + TAIL,
    "If over the input": f"r = If (c) <{THEN} {{ t1 = Identity(x) }}, {ELSE} {{ e1 = Neg(x) }}>" + TAIL,
    "If in an If": HEAD + f"r = If (c) <{THEN} {{ t1 = If (c) <{THEN.replace('t1', 's1')} {{ s1 = MatMul(a, w0) }}, "
    f"{ELSE.replace('e1', 's2')} {{ s2 = Identity(a) }}> }}, {ELSE} {{ e1 = Neg(a) }}>" + TAIL,
    "two outputs": HEAD + "r, q = If (c) <then_branch = t () => (float[2,4] t1, float[2,4] t2) { "
    "t1 = Neg(a) t2 = Identity(t1) }, else_branch = e () => (float[2,4] e1, float[2,4] e2) { "
    "e1 = Identity(a) e2 = Identity(a) }> s = Add(r, q) y = MatMul(s, w1)",
    "Loop": HEAD + f"r = Loop (three, , a) <{BODY} {{ v0 = MatMul(v, w2) v2 = Add(v0, a) on = Identity(go) }}>" + TAIL,
    "Loop that collects": HEAD + "f, g = Loop (three, yes, a) <body = l (int64 i, bool go, float[2,4] v) => (bool on, "
    "float[2,4] v2, float[2,4] out) { v2 = MatMul(v, w2) out = Identity(v2) "
    "on = Identity(go) }> r = ReduceMean<axes=[0], keepdims=0>(g)" + TAIL,
    "Scan": HEAD + "f, r = Scan (zero, a) <num_scan_inputs = 1, body = s (float[4] st, float[4] el) => (float[4] st2, "
    "float[4] so) { st2 = Add(st, el) so = Identity(st2) }>" + TAIL,
    "If of which one branch reads the product": "y0 = MatMul(x, w0) "
    + f"r = If (c) <{THEN} {{ t0 = Add(y0, b) t1 = Relu(t0) }}, {ELSE} {{ e1 = Neg(x) }}>" + TAIL,
}  # fmt: skip


def file_of(path: Path, body: str, *, version: int = 17, kind: str = "float", **others: np.ndarray) -> Path:
    """A file over x [2, 4] and the condition c; ``kind`` is the type of its floats."""
    inputs = f"{kind}[2,4] x, bool c" if "(c)" in body else f"{kind}[2,4] x"
    text = f'<ir_version: 8, opset_import: ["" : {version}]> g ({inputs}) => ({kind}[n,m] y) {{ {body} }}'
    model = onnx.parser.parse_model(text.replace("float[", f"{kind}["))
    for name, array in {**TENSORS, **others}.items():
        if any(name in line for line in (body.replace("(", " ").replace(")", " ").replace(",", " ").split(),)):
            array = array.astype(np.float16) if kind == "float16" and array.dtype == F32 else array
            model.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.save(model, path)
    return path


def feeds(body: str, kind: type = F32) -> list[dict[str, np.ndarray]]:
    x = RNG.normal(size=(2, 4)).astype(kind)
    return [{"x": x, "c": np.array(c)} for c in (True, False)] if "(c)" in body else [{"x": x}]


@pytest.mark.parametrize("case", CASES)
def test_float_is_exact_and_the_rest_is_quantized(tmp_path: Path, case: str) -> None:
    body = CASES[case]
    file, made, data = file_of(tmp_path / "m.onnx", body), tmp_path / "made.onnx", feeds(body)
    model = from_onnx(file)
    for passes in ("", "canonicalize{parameters=keep}", "canonicalize{parameters=merge},fold-batchnorm,fuse-bias"):
        again = model.clone()
        if passes:
            transform(again, passes)
        io.save(again, made)
        for feed in data:
            np.testing.assert_array_equal(run(made, feed), run(file, feed))
        assert not {"a", "y0"} & {v.name for n in model.graph for v in n.outputs} - {
            v.name for n in again.graph for v in n.outputs
        }
    for preset in PRESETS:
        again = model.clone()
        transform(again, preset=preset, data=data, force=True)
        export(again, made)
        for feed in data:
            assert sqnr(run(file, feed), run(made, feed, optimize=True)) > (15 if preset == "w4a8" else 30)
        kinds = {n.op_type for n in again.graph}
        assert kinds & {"DequantizeLinear"} and kinds & {"If", "Loop", "Scan", "SequenceMap"}
        inside = {n.op_type for graph in again.graphs() if graph is not again.graph for n in graph}
        assert not inside & {"QuantizeLinear", "DequantizeLinear", "FakeQuantizeTokens"}
        if "MatMul" in inside and ("", "MatMul") not in INTEGER_OPS:
            continue
        compile(again, tmp_path / "m.qgp", sparse=False)
        session = Session(tmp_path / "m.qgp")
        for feed in data:
            assert sqnr(run(file, feed), session.run(feed)["y"]) > (15 if preset == "w4a8" else 30)


def test_a_map_over_known_parts_is_no_control_flow(tmp_path: Path) -> None:
    body = (
        HEAD
        + "q = SplitToSequence<axis=0>(a, one) m = SequenceMap (q, w2) <body = s (float[1,4] p, float[4,4] k) => (float[1,4] p2) "
        "{ p1 = MatMul(p, k) p3 = Add(p1, b) p2 = Relu(p3) }> r = ConcatFromSequence<axis=0>(m)" + TAIL
    )
    file = file_of(tmp_path / "m.onnx", body)
    model = read(file)
    assert {n.op_type for n in model.graph.all_nodes()} == {"MatMul", "Relu", "Constant", "Split", "Add", "Concat"}
    io.save(model, tmp_path / "made.onnx")
    for feed in feeds(body):
        np.testing.assert_allclose(run(tmp_path / "made.onnx", feed), run(file, feed), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ["If", "Loop", "Scan"])
def test_half_precision_inside(tmp_path: Path, case: str) -> None:
    """The graphs inside become float32 with the one around them."""
    file = file_of(tmp_path / "m.onnx", CASES[case], kind="float16")
    io.save(read(file), tmp_path / "made.onnx")
    for feed in feeds(CASES[case], np.float16):
        wanted, found = run(file, feed), run(tmp_path / "made.onnx", feed)
        assert found.dtype == wanted.dtype and sqnr(wanted, found) > 50


OLD = {
    "Softmax of 12": (12, "t1 = Softmax<axis=0>(a)"),
    "Hardmax of 12": (12, "t1 = Hardmax<axis=0>(a)"),
    "Squeeze of 12": (12, "t0 = Unsqueeze<axes=[0]>(a) t1 = Squeeze<axes=[0]>(t0)"),
    "Resize of 10": (
        10,
        't0 = Unsqueeze<axes=[0,1]>(a) t2 = Resize<mode="nearest">(t0, up) t1 = Slice(t2, z4, e4) t3 = Reshape(t1, s2)',
    ),
}


@pytest.mark.parametrize("case", OLD)
def test_old_ops_inside_keep_their_meaning(tmp_path: Path, case: str) -> None:
    version, ops = OLD[case]
    last = "t3" if "t3" in ops else "t1"
    body = HEAD + f"r = If (c) <then_branch = t () => (float[2,4] {last}) {{ {ops} }}, {ELSE} {{ e1 = Neg(a) }}> y = Identity(r)"
    others = {
        "up": np.array((1, 1, 1.3, 1.6), F32),
        "z4": np.zeros(4, np.int64),
        "e4": np.array((1, 1, 2, 4)),
        "s2": np.array((2, 4)),
    }
    file = file_of(tmp_path / "m.onnx", body, version=version, **others)
    io.save(read(file), tmp_path / "made.onnx")
    for feed in feeds(body):
        np.testing.assert_allclose(run(tmp_path / "made.onnx", feed), run(file, feed), rtol=1e-6)
