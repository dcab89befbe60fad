"""Ops that run graphs of their own."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from hypothesis import strategies as st

from tests.runtime.examples.example import SEEDS, Case, Example, example
from tests.runtime.examples.movement import int64


def graph(text: str) -> ir.Graph:
    """A graph in ONNX's text form, every value of which is declared."""
    return ir.from_onnx_text(f'<ir_version: 10, opset_import: ["": 21]> {text}').graph


def floats(draw: st.DrawFn, *shape: int) -> np.ndarray:
    return Case(draw(SEEDS)).rng.standard_normal(shape).astype(np.float32)


@example("If")
def branch(draw: st.DrawFn, op: str) -> Example:
    x, one = floats(draw, draw(st.integers(0, 5)), 3), draw(st.sampled_from([(), (1,)]))
    graphs = {
        "then_branch": graph("t (float[N, 3] x, int64[2] s) => (float[N, 3] y, int64[A, B] z) { y = Add(x, x) z = NonZero(x) }"),
        "else_branch": graph("e (float[N, 3] x, int64[2] s) => (float[A, B] y, int64[C] z) { y = Reshape(x, s) z = Neg(s) }"),
    }
    return Example([np.full(one, draw(st.booleans())), x, int64(3, -1) if x.size else int64(0, 3)], graphs, ("float32", "int64"))


@example("Loop")
def loop(draw: st.DrawFn, op: str) -> Example:
    x, w = floats(draw, draw(st.integers(0, 3)), 2), floats(draw, 1, 2)
    body = graph(
        "b (int64 i, bool go, float[A, 2] u, float[B, 2] v, float[1, 2] w) =>"
        "(bool on, float[C, 2] u2, float[B, 2] v2, int64 n, float[A, 2] s)"
        "<int64 three = {3}> { on = Less(i, three) u2 = Concat<axis = 0>(u, w) v2 = Mul(v, v) n = Mul(i, three) s = Neg(v) }"
    )
    trips, condition = draw(st.sampled_from([None, 0, 1, 3, 7])), draw(st.sampled_from([None, True, False]))
    start = [None if trips is None else np.array(trips), None if condition is None else np.array(condition)]
    if draw(st.booleans()):  # a value that the loop hands through
        body = graph(
            "b (int64[1] i, bool[1] go, float[A, 2] u, float[B, 2] v, float[1, 2] w) =>"
            "(bool go, float[B, 2] v, float[A, 2] u, float[1, 2] w, float[A, 2] s) { s = Add(u, w) }"
        )
        start[0] = np.array([draw(st.integers(0, 4))])
        return Example([*start, x, x + x, w], {"carried": 2, "body": body}, ("float32", "float32", "float32", "float32"))
    return Example([*start, x, x, w], {"carried": 2, "body": body}, ("float32", "float32", "int64", "float32"))


@example("Scan")
def scan(draw: st.DrawFn, op: str) -> Example:
    length, axes = draw(st.integers(1, 4)), [draw(st.integers(-2, 1)) for _ in range(3)]
    directions = [draw(st.integers(0, 1)) for _ in range(4)]
    x = np.moveaxis(floats(draw, length, 3), 0, axes[0])
    y = floats(draw, length, 3)
    body = graph(
        "b (float[3] s, float[3] x, float[3] y, float[3] k) => (float[3] s2, float[3] a, float[1, 3] b)"
        "<int64[1] first = {0}> { s2 = Add(s, x) a = Mul(s2, y) b = Unsqueeze(k, first) }"
    )
    attributes = {
        "carried": 1, "scanned": 2, "body": body, "scan_input_axes": [axes[0], 0], "scan_output_axes": axes[1:],
        "scan_input_directions": directions[:2], "scan_output_directions": directions[2:],
    }  # fmt: skip
    if draw(st.booleans()):
        attributes, x = {k: attributes[k] for k in ("carried", "scanned", "body")}, np.moveaxis(x, axes[0], 0)
    return Example([floats(draw, 3), np.ascontiguousarray(x), y, floats(draw, 3)], attributes, ("float32",) * 3)
