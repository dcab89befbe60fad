"""Products of float32 matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.runtime.examples.example import SEEDS, Case, Example, example

LEADS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()), ((2,), ()), ((), (2,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((2, 1, 2), (3, 1)), ((0,), ())
]  # fmt: skip
ROWS = st.sampled_from([0, 1, 1, 2, 3, 5, 8, 9, 17, 60])
DEPTH = st.sampled_from([0, 1, 2, 7, 33, 70])
COLUMNS = st.sampled_from([0, 1, 3, 16, 17, 32, 50, 64, 80, 150])


def swapped(x: np.ndarray, really: bool) -> np.ndarray:
    return np.ascontiguousarray(x.swapaxes(-1, -2)) if really else x


def clamp(case: Case) -> dict[str, float]:
    """Bounds, one of them or none."""
    low, high = sorted(float(np.float32(v)) for v in case.rng.standard_normal(2))
    return [{}, {"clamp_min": 0.0}, {"clamp_min": low, "clamp_max": high}, {"clamp_max": high}][case.rng.integers(4)]


@example("ai.onnx.MatMul")
def matmul(draw: st.DrawFn, op: str) -> Example:
    case, (a, b) = Case(draw(SEEDS)), draw(st.sampled_from(LEADS))
    m, k, n = draw(ROWS), draw(DEPTH), draw(COLUMNS)
    inputs: list[np.ndarray | None] = [case.floats((*a, m, k)), case.floats((*b, k, n))]
    if case.rng.random() < 0.2:
        inputs[0] = case.floats((k,))
    if case.rng.random() < 0.2:
        inputs[1] = case.floats((k,))
    return Example(inputs, {}, ("float32",), constants=draw(st.sampled_from([(), (1,)])))


@example("ai.onnx.MatMul")
def deep_matmul(draw: st.DrawFn, op: str) -> Example:
    """So deep and wide that it is cut into parts."""
    case, m, k = Case(draw(SEEDS)), draw(st.sampled_from([1, 9, 140])), draw(st.sampled_from([600, 2100]))
    inputs: list[np.ndarray | None] = [case.floats((m, k)), case.floats((k, draw(st.sampled_from([5, 50]))))]
    return Example(inputs, {}, ("float32",), constants=draw(st.sampled_from([(), (1,)])))


@example("Gemm")
def gemm(draw: st.DrawFn, op: str) -> Example:
    case, m, k, n = Case(draw(SEEDS)), draw(ROWS), draw(DEPTH), draw(COLUMNS)
    ta, tb = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    inputs: list[np.ndarray | None] = [swapped(case.floats((m, k)), bool(ta)), swapped(case.floats((k, n)), bool(tb))]
    shape = draw(st.sampled_from([None, (), (1,), (n,), (1, n), (m, 1), (1, 1), (m, n)]))
    if shape is not None:
        inputs.append(case.floats(shape))
    attributes: dict[str, Any] = {"transA": ta, "transB": tb}
    if draw(st.booleans()):
        attributes |= {"alpha": case.factor(1.0), "beta": case.factor(1.0)}
    constants = draw(st.sampled_from([(), (1,), (1, 2)])) if len(inputs) > 2 else ()
    return Example(inputs, attributes, ("float32",), constants=constants)


@example("FusedMatMul")
def fused_matmul(draw: st.DrawFn, op: str) -> Example:
    case, (a, b) = Case(draw(SEEDS)), draw(st.sampled_from(LEADS))
    m, k, n = draw(ROWS), draw(DEPTH), draw(COLUMNS)
    ta, tb = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    shape = (*np.broadcast_shapes(a, b), m, n)
    inputs = [
        swapped(case.floats((*a, m, k)), bool(ta)),
        swapped(case.floats((*b, k, n)), bool(tb)),
        case.floats((n,)) if draw(st.booleans()) else None,
        case.floats(shape) if draw(st.booleans()) else None,
    ]
    attributes = {"transA": ta, "transB": tb, "alpha": case.factor(1.0), **clamp(case)}
    return Example(inputs, attributes, ("float32",), constants=draw(st.sampled_from([(), (1,)])))


EQUATIONS = {
    "bhid,bhjd->bhij": [(2, 3, 5, 4), (2, 3, 6, 4)],
    "ij,jk": [(5, 7), (7, 20)],
    "ij,jk->ki": [(5, 7), (7, 20)],
    "ij,kj->ik": [(300, 7), (18, 7)],
    "bij,bjk->bik": [(3, 2, 4), (1, 4, 3)],
    "...ij,...jk->...ik": [(2, 1, 5, 4), (3, 4, 6)],
    "...ij,jk": [(2, 3, 5, 4), (4, 6)],
    "b...,b...->...b": [(3, 2, 4), (3, 1)],
    "ii->i": [(5, 5)],
    "iij->j": [(4, 4, 3)],
    "ij->": [(4, 3)],
    " i j -> j i ": [(4, 3)],
    "i,j->ij": [(4,), (5,)],
    "ij,i->": [(4, 3), (4,)],
    "ij,jk,kl->il": [(4, 3), (3, 5), (5, 2)],
    "a,ab,abc->c": [(3,), (3, 4), (3, 4, 2)],
    "bi,bj,oij->bo": [(2, 3), (2, 4), (5, 3, 4)],
    "ii,jj->ij": [(3, 3), (4, 4)],
    "a,b,c,d->dcba": [(2,), (1,), (3,), (2,)],
    "ij,jk->ik": [(3, 0), (0, 4)],
    ",i->i": [(), (3,)],
}


@example("Einsum")
def einsum(draw: st.DrawFn, op: str) -> Example:
    case, equation = Case(draw(SEEDS)), draw(st.sampled_from(list(EQUATIONS)))
    inputs: list[np.ndarray | None] = [case.floats(shape) for shape in EQUATIONS[equation]]
    return Example(inputs, {"equation": [ord(c) for c in equation]}, ("float32",))


@example("Det")
def det(draw: st.DrawFn, op: str) -> Example:
    case, n = Case(draw(SEEDS)), draw(st.integers(0, 6))
    x = case.floats((*draw(st.sampled_from([(), (3,), (2, 2), (0,)])), n, n))
    return Example([np.trunc(x) if draw(st.booleans()) else x], {}, ("float32",))
