"""An If whose branch is known is gone after reading, and the file computes what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from qgraph.capture import read
from qgraph.capture.fix import parse_fixed
from qgraph.cli import cli
from qgraph.errors import QGraphError
from qgraph.ir import io
from tests.capture.files import run

RNG = np.random.default_rng(0)
SHAPES = {"x": (2, 3, 4), "u": (2, 3, 1), "v": (2, 3), "r": (5, 2, 3)}
THEN, ELSE = "then_branch = t () => (float[k,m] t1)", "else_branch = e () => (float[k,m] e1)"
PAIR = f"<{THEN} {{ t1 = Neg(v) }}, {ELSE} {{ e1 = Exp(v) }}>"
KNOWN = {
    "a constant": f"c = Constant<value = bool {{0}}>() y = If (c) {PAIR}",
    "computed from constants": f"a = Greater(two, one) n = Not(a) c = And(a, n) y = If (c) {PAIR}",
    "a static dim": f"s = Shape(x) d = Gather(s, two) c = Equal(d, one) y = If (c) {PAIR}",
    "a static dim beside a free one": f"s = Shape(f) d = Gather(s, one) c = Equal(d, three) y = If (c) {PAIR}",
    "a slice of a shape": f"s = Shape(f) d = Slice(s, ones, twos) q = Squeeze(d) c = Equal(q, three) y = If (c) {PAIR}",
    "a part of a shape": f"s = Shape<start=1, end=2>(f) c = Equal(s, three) y = If (c) {PAIR}",
    "a rank": f"s = Shape(f) z = Size(s) c = Equal(z, two) y = If (c) {PAIR}",
    "a dim as a number": f"s = Shape(f) d = Gather(s, one) c = Cast<to=9>(d) y = If (c) {PAIR}",
    "an outer value": f"y = If (yes) <{THEN} {{ t1 = Identity(v) }}, {ELSE} {{ e1 = Neg(v) }}>",
    "an initializer": f"y = If (yes) <{THEN} <float[2,2] k = {{1, 2, 3, 4}}> {{ t1 = Identity(k) }}, {ELSE} {{ e1 = Neg(v) }}>",
    "two outputs": "p, q = If (yes) <then_branch = t () => (float[k,m] t1, float[k,m] t2) { t1 = Neg(v) t2 = Identity(v) }, "
    "else_branch = e () => (float[k,m] e1, float[k,m] e2) { e1 = Neg(v) e2 = Exp(v) }> y = Sub(p, q)",
    "nested": f"s = Shape(x) d = Gather(s, two) c = Equal(d, one) y = If (yes) "
    f"<{THEN} {{ t1 = If (c) {PAIR.replace('t1', 'a1')} }}, "
    f"{ELSE} {{ e1 = Exp(v) }}>",
    "its condition follows from another": f"g = If (yes) <then_branch = t () => (float[k,m,n] t1) {{ t1 = Relu(x) }}, "
    f"else_branch = e () => (float[k,m] e1) {{ e1 = Exp(v) }}> s = Shape(g) z = Size(s) c = Equal(z, three) y = If (c) {PAIR}",
    "names that are taken": f"w = Neg(v) a = Exp(w) b = If (yes) "
    f"<{THEN} {{ w_ = Exp(v) t1 = Neg(w_) }}, {ELSE} {{ e1 = Exp(v) }}> "
    f"y0 = If (yes) <{THEN} {{ w_ = Exp(a) t1 = Sub(w_, b) }}, {ELSE} {{ e1 = Exp(v) }}> y = Add(y0, a)",
    "inside of a loop": "y = Loop (three, , v) <body = l (int64 i, bool go, float[2,3] h) => (bool on, float[2,3] h2) "
    f"{{ h2 = If (yes) <{THEN} {{ t1 = Neg(h) }}, {ELSE} {{ e1 = Exp(h) }}> on = Identity(go) }}>",
    "only one branch has the rank of a state": "s = Shape(f) d = Gather(s, zero) c = Equal(d, five) h = If (c) "
    "<then_branch = t () => (float[k,l,m] t1) { t1 = Unsqueeze(h0, zeros) }, "
    "else_branch = e () => (float[k,m] e1) { e1 = Identity(h0) }> "
    "o, y1 = RNN<hidden_size=2>(r, W, R, , , h) y = Squeeze(y1, zeros)",
}  # fmt: skip
TENSORS = {
    "zero": np.array(0), "one": np.array(1), "two": np.array(2), "three": np.array(3), "five": np.array(5), "yes": np.array(True),
    "ones": np.array([1]), "twos": np.array([2]), "zeros": np.array([0]), "W": RNG.normal(size=(1, 2, 3)).astype(np.float32),
    "R": RNG.normal(size=(1, 2, 2)).astype(np.float32),
}  # fmt: skip


def file_of(path: Path, body: str, inputs: str = "", declared: str = "") -> Path:
    """A file of ``body`` over inputs of SHAPES and ``f``, whose first dim is free."""
    words = set(body.replace("(", " ").replace(")", " ").replace(",", " ").split())
    given = [f"float{list(shape)} {name}" for name, shape in SHAPES.items() if name in words]
    given += ["float[free,3] f"] * ("f" in words) + ["float[2,2] h0"] * ("h0" in words) + [inputs] * bool(inputs)
    text = f'<ir_version: 8, opset_import: ["" : 15]> g ({", ".join(given)}) => (float[a,b] y) <{declared}> {{ {body} }}'
    model = onnx.parser.parse_model(text.replace(" <>", ""))
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in TENSORS.items() if n in words)
    onnx.save(model, path)
    return path


def feed_of(path: Path, **others: np.ndarray) -> dict[str, np.ndarray]:
    shapes = {**SHAPES, "f": (5, 3), "h0": (2, 2)}
    names = [v.name for v in onnx.load(path).graph.input]
    return {n: others[n] if n in others else RNG.normal(size=shapes[n]).astype(np.float32) for n in names}


def ops(path: Path) -> set[str]:
    return {n.op_type for n in io.load(path).graph.all_nodes()}


@pytest.mark.parametrize("case", KNOWN)
def test_known_branches_are_inlined(tmp_path: Path, case: str) -> None:
    file, made = file_of(tmp_path / "m.onnx", KNOWN[case]), tmp_path / "made.onnx"
    io.save(read(file), made)
    onnx.checker.check_model(onnx.load(made), full_check=True)
    assert "If" in ops(file) and "If" not in ops(made)
    feed = feed_of(file)
    np.testing.assert_allclose(run(made, feed), run(file, feed), rtol=1e-6)


UNKNOWN = {
    "a free dim": (f"s = Shape(f) d = Gather(s, zero) c = Equal(d, one) y = If (c) {PAIR}", ""),
    "data": (f"m = ReduceMax<keepdims=0>(v) c = Cast<to=9>(m) y = If (c) {PAIR}", ""),
    "a declared shape": (  # that of one example: another is fed
        f"g = Slice(f, zeros, ends) s = Shape(g) d = Gather(s, zero) c = Equal(d, one) y = If (c) {PAIR}", "float[1,3] g"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNKNOWN)
def test_others_stay(tmp_path: Path, case: str) -> None:
    body, declared = UNKNOWN[case]
    inputs = "int64[1] ends" if "ends" in body else ""
    file, made = file_of(tmp_path / "m.onnx", body, inputs, declared), tmp_path / "made.onnx"
    io.save(read(file), made)
    assert "If" in ops(made)
    feed = feed_of(file, ends=np.array([4]))
    np.testing.assert_allclose(run(made, feed), run(file, feed), rtol=1e-6)


RATE = f"c = Equal(rate, five) y0 = If (c) {PAIR} y = Add(y0, f)"


def fixed(path: Path, *given: str) -> Path:
    made = path.with_name("made.onnx")
    io.save(read(path, fix=parse_fixed(given)), made)
    return made


@pytest.mark.parametrize("value", ["5", "6"])
def test_an_input_is_bound_and_folds(tmp_path: Path, value: str) -> None:
    file = file_of(tmp_path / "m.onnx", RATE, "int64 rate")
    made = fixed(file, f"rate={value}", "free=2")
    graph = io.load(made).graph
    assert [v.name for v in graph.inputs] == ["v", "f"] and "If" not in ops(made)
    assert [list(v.shape or ()) for v in graph.inputs] == [[2, 3], [2, 3]]
    feed = {"v": np.ones((2, 3), np.float32), "f": np.ones((2, 3), np.float32)}
    np.testing.assert_array_equal(run(made, feed), run(file, {**feed, "rate": np.array(int(value))}))


def test_unnamed_dims_are_bound_by_the_input(tmp_path: Path) -> None:
    file = file_of(tmp_path / "m.onnx", f"s = Shape(f) d = Gather(s, zero) c = Equal(d, one) y = If (c) {PAIR}")
    model = onnx.load(file)
    model.graph.input[-1].type.tensor_type.shape.dim[0].ClearField("dim_param")
    onnx.save(model, file)
    made = fixed(file, "f=5,3")
    assert "If" not in ops(made) and "Exp" in ops(made)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["rat=5"], "no input or dim has that name; did you mean 'rate'?"),
        (["rate=fast"], "the input is int64"),
        (["f=2"], "has the dims ['free', 3]; give one number for each"),
        (["f=2,4"], "has the dims ['free', 3]"),
        (["free=0"], "a dim is a whole number above zero"),
        (["rate"], "is not NAME=VALUE"),
        (["free=1", "free=2"], "gives 'free' twice"),
    ],
)
def test_what_cannot_be_bound_is_refused(tmp_path: Path, given: list[str], said: str) -> None:
    file = file_of(tmp_path / "m.onnx", RATE, "int64 rate")
    with pytest.raises(QGraphError) as refusal:
        fixed(file, *given)
    assert said in str(refusal.value)


@pytest.mark.parametrize("command", ["capture", "transform", "inspect"])
def test_commands_bind(tmp_path: Path, command: str) -> None:
    file, made = file_of(tmp_path / "m.onnx", RATE, "int64 rate"), tmp_path / "made.onnx"
    more = {"capture": ["-o", str(made)], "transform": ["-o", str(made), "--passes", "canonicalize"], "inspect": []}[command]
    done = CliRunner().invoke(cli, [command, str(file), "--fix", "rate=5", *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    if command == "inspect":
        assert "1 Neg" in done.output and "If" not in done.output
    else:
        assert ops(made) == {"Neg", "Add"}
