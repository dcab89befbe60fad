"""Programs whose shapes follow from the data, and If, Loop and Scan, against ONNX Runtime and ONNX's own node tests."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import torch
from qgraph.tools.node_tests import PASSED, outcomes
from torch import Tensor, nn

from qgraph.capture import from_torch
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.execute.integer import evaluate

F32 = np.float32
Feed = dict[str, np.ndarray]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def sparse(*shape: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.normal(size=shape) * (random.random(shape) > 0.5)).astype(F32)


ROWS = [sparse(n, 4, seed=n) for n in (2, 3, 3, 0, 5, 2)]
THEN, ELSE = "then_branch = t () => (float[P, 4] t1)", "else_branch = e () => (float[P, 4] e1)"
SCAN = (
    "g (float[N, 4] x, float[M] s0) => (float[M] st, float[A, B] y, float[C, D] z) {{ st, y, z = Scan<num_scan_inputs = 1, "
    "scan_input_axes = [{0}], scan_output_axes = [1, 0], scan_input_directions = [{1}], scan_output_directions = [{2}, 0], "
    "body = b (float[M] s, float[M] e) => (float[M] s2, float[M] o, float[M] o2) "
    "{{ s2 = Add(s, e) o = Mul(s2, s0) o2 = Identity(e) }}>(s0, x) }}"
)


def rows_and(name: str, values: Callable[[int], Any]) -> list[Feed]:
    return [{"x": x, name: np.asarray(values(i))} for i, x in enumerate(ROWS)]


CASES: dict[str, tuple[str, list[Feed]]] = {
    "elements that are not 0": (
        "g (float[N, M] x) => (int64[A, B] y, float[K] z) "
        "{ y = NonZero(x) t = Transpose(y) z0 = GatherND(x, t) z = Mul(z0, z0) }",
        [{"x": x} for x in ROWS],
    ),
    "a shape that is given": (
        "g (float[N, M] x, int64[2] s) => (float[A, B] y, float[C, D] z) <int64[1] one = {1}> { a = Abs(x) y = Reshape(a, s) "
        "s2 = Add(s, one) c = Expand(one, s2) d = Cast<to = 1>(c) b = Mul(y, y) e = Reshape(b, s) z = Add(d, d) }",
        [{"x": sparse(6, 4, seed=i), "s": np.array(s)} for i, s in enumerate([(4, 6), (2, 12), (2, 12), (24, 1), (4, 6)])],
    ),
    "a range up to a number that is given": (
        "g (float n) => (float[K] y, int64[K] z) <float low = {1}, float step = {0.7}, int64 zero = {0}, int64 one = {1}> "
        "{ y0 = Range(low, n, step) m = Cast<to = 7>(n) z0 = Range(zero, m, one) y = Mul(y0, y0) z = Add(z0, z0) }",
        [{"n": np.array(n, F32)} for n in (3.2, 9, 9, 0, 12.5)],
    ),
    "parts and tiles that are given": (
        "g (float[N, M] x, int64[1] s) => (float[A, B] y, float[C, D] z) <int64[1] zero = {0}, int64[1] one = {1}> "
        "{ a = Slice(x, zero, s) two = Concat<axis = 0>(s, one) b = Tile(x, two) y = Add(a, a) z = Neg(b) }",
        rows_and("s", lambda i: [i % 3]),
    ),
    "If": (
        f"g (float[N, 4] x, bool c) => (float[A, B] y, float[C, D] z) {{ a = Mul(x, x) r = If(c)<{THEN} {{ t1 = Add(a, a) }}, "
        f"{ELSE} {{ e1 = Neg(x) }}> y = Add(r, a) z = Identity(r) }}",
        rows_and("c", lambda i: i % 2 == 0),
    ),
    "If whose branches differ in shape": (
        f"g (float[N, 4] x, bool c) => (float[A, B] y) {{ r = If(c)<{THEN} {{ t1 = Concat<axis = 0>(x, x) }}, "
        f"{ELSE} {{ e1 = Identity(x) }}> y = Add(r, r) }}",
        rows_and("c", lambda i: i % 2 == 0),
    ),
    "Loop": (
        "g (float[N, 4] x, int64 m) => (float[A, B] y, float[T, C, D] z) { a = Mul(x, x) r, z = Loop(m, , a)<body = l "
        "(int64 i, bool go, float[A, 4] v) => (bool on, float[C, 4] v2, float[E, 4] s) { v2 = Add(v, a) on = Identity(go) "
        "s = Mul(v2, x) }> y = Add(r, a) }",
        rows_and("m", lambda i: i),
    ),
    "Loop whose values grow and change places": (
        "g (float[N, 4] x, int64 m) => (float[A, B] y, float[C, B] q) { r, q0 = Loop(m, , x, x)<body = l "
        "(int64 i, bool go, float[A, 4] v, float[F, 4] w) => (bool on, float[C, 4] v2, float[D, 4] w2) "
        "{ v2 = Concat<axis = 0>(v, x) w2 = Identity(v) on = Identity(go) }> y = Mul(r, r) q = Neg(q0) }",
        rows_and("m", lambda i: 3 * i),
    ),
    "Loop that its condition ends": (
        "g (float[N, 4] x, int64 m) => (float[A, B] y, int64[C] q) <bool yes = {1}, int64 three = {3}> "
        "{ r, q = Loop(, yes, x)<body = l (int64 i, bool go, float[A, 4] v) => (bool on, float[C, 4] v2, int64 k) "
        "{ v2 = Add(v, x) on = Less(i, m) k = Mul(i, three) }> y = Mul(r, r) }",
        rows_and("m", lambda i: i),
    ),
    "shapes that follow from the data in an If in a Loop": (
        f"g (float[N, 4] x, int64 m) => (float[A, B] y) <int64 one = {{1}}, int64 zero = {{0}}, int64[1] first = {{0}}, "
        f"int64[1] four = {{4}}, float[1] f = {{1}}> {{ r = Loop(m, , x)<body = l (int64 i, bool go, float[A, 4] v) => "
        f"(bool on, float[C, 4] v2) {{ odd = Equal(i, one) v2 = If(odd)<{THEN} {{ places = NonZero(x) turned = Transpose(places) "
        f"shape = Shape(turned) n0 = Gather<axis = 0>(shape, zero) n = Unsqueeze(n0, first) s = Concat<axis = 0>(n, four) "
        f"q = Expand(f, s) t1 = Concat<axis = 0>(v, q) }}, {ELSE} {{ e1 = Add(v, v) }}> on = Identity(go) }}> y = Mul(r, r) }}",
        rows_and("m", lambda i: 2 * i),
    ),
    **{
        f"Scan along axis {axis}, from {'the end' if back else 'the start'}": (
            SCAN.format(axis, back, 1 - back),
            [{"x": x, "s0": np.ones(4 if axis == 0 else len(x), F32)} for x in ROWS if x.size],
        )
        for axis in (0, 1)
        for back in (0, 1)
    },
}


@pytest.mark.parametrize("case", CASES)
def test_against_onnx_runtime(case: str, tmp_path: Path) -> None:
    text, feeds = CASES[case]
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}'), tmp_path / "m.onnx")
    lowered = compile(tmp_path / "m.onnx", tmp_path / "m.qgp")
    reference = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    session = Session(tmp_path / "m.qgp", keep=True)
    for feed in feeds:
        found, defined = session.run(feed), evaluate(lowered, feed)
        for (name, array), wanted in zip(found.items(), reference.run(None, feed), strict=True):
            assert array.shape == wanted.shape and array.tobytes() == defined[name].tobytes()
            np.testing.assert_allclose(array, wanted, rtol=1e-6)


@functools.cache
def node_tests() -> dict[str, str]:
    patterns = ("test_if*", "test_loop*", "test_scan9*", "test_nonzero*", "test_range_*delta")
    return {o.name: o.reason for o in outcomes(patterns)}


def test_node_tests_of_onnx() -> None:
    apart = ("sequences or optional values at the border", "types that no program holds")
    found = {name: reason for name, reason in node_tests().items() if reason not in apart}
    assert len(found) >= 8 and set(found.values()) == {PASSED}, found


class Growing(nn.Module):
    """A loop with a branch in it, which torch's exporter keeps of a script."""

    def forward(self, x: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        total = x
        for i in range(int(steps)):
            if bool(total[0, 0] > 2):
                total = total * 0.5
            else:
                total = torch.cat((total, x)) + i
        return total, total * total


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x[0, 0] > 0, lambda x: x * 2, lambda x: x - 1, (x,))


@pytest.mark.filterwarnings("ignore")
def test_a_loop_of_torch(tmp_path: Path) -> None:
    x, file = torch.from_numpy(sparse(3, 4)), tmp_path / "m.onnx"
    example = (x, torch.tensor(3))
    torch.onnx.export(torch.jit.script(Growing()), example, file, dynamo=False, input_names=["x", "steps"])  # type: ignore[no-untyped-call]
    compile(file, tmp_path / "m.qgp")
    session = Session(tmp_path / "m.qgp")
    for steps in (0, 1, 5):
        found = session.run({"x": x, "steps": np.array(steps)}).values()
        for array, wanted in zip(found, Growing()(x, torch.tensor(steps)), strict=True):
            np.testing.assert_allclose(array, wanted.numpy(), rtol=1e-6)


def test_a_branch_of_torch(tmp_path: Path) -> None:
    model = from_torch(Branching(), (torch.ones(2, 3),))
    assert any(node.op_type == "If" for node in model.graph)
    compile(model, tmp_path / "m.qgp")
    session = Session(tmp_path / "m.qgp")
    for x in (torch.ones(2, 3), -torch.ones(2, 3)):
        (found,) = session.run(x).values()
        np.testing.assert_array_equal(found, Branching()(x).numpy())


def test_what_a_body_has_no_kernel_for_is_named(tmp_path: Path) -> None:
    text = (
        "g (float[N] x, int64 m) => (float[N] y) { y = Loop(m, , x)<body = l (int64 i, bool go, float[N] v) => "
        "(bool on, float[N] v2) { v2 = Bernoulli(v) on = Identity(go) }> }"
    )
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}'), tmp_path / "m.onnx")
    with pytest.raises(QGraphError, match="no program has Bernoulli"):
        compile(tmp_path / "m.onnx", tmp_path / "m.qgp")


def test_ctrl_c_ends_an_endless_loop(tmp_path: Path) -> None:
    text = (
        "g (float[N] x) => (float[N] y) <bool yes = {1}> { y = Loop(, yes, x)<body = l (int64 i, bool go, float[N] v) => "
        "(bool on, float[N] v2) { v2 = Neg(v) on = Identity(go) }> }"
    )
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}'), tmp_path / "m.onnx")
    compile(tmp_path / "m.onnx", tmp_path / "m.qgp")
    session = Session(tmp_path / "m.qgp")
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        session.run(np.ones(3, F32))
    timer.join()
