"""Every spelling of a mask is one sum behind the scaled product, with the same probabilities, also where all keys are masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.ir.matchers import attention
from qgraph.ir.patterns import add_initializer
from qgraph.pipeline import PassContext, Pipeline
from qgraph.workflow import transform
from tests.capture.files import sqnr
from tests.conftest import run_onnx
from tests.passes.graphs import assert_graph, model_of, quantizers

RNG = np.random.default_rng(0)
F32 = np.float32
LEAST = np.finfo(F32).min
B, H, S, D = 2, 2, 5, 8
LOWER = np.tril(np.ones((S, S), bool))[None, None]
TENSORS = {
    **{name: RNG.normal(0, 0.3, (H * D, H * D)).astype(F32) for name in ("wq", "wk", "wv")},
    "split": np.array((0, 0, H, D)), "join": np.array((0, 0, H * D)), "c": F32(D**-0.5), "rc": F32(D**0.5), "q4": F32(D**-0.25),
    "one": F32(1), "zero": F32(0), "inf": F32(-np.inf), "n1e4": F32(-1e4), "p1e4": F32(1e4), "least": F32(LEAST),
    "n1e9": F32(-1e9), "c_inf": np.where(LOWER, 0, -np.inf).astype(F32), "c_least": np.where(LOWER, 0, LEAST).astype(F32),
    "c_1e4": np.where(LOWER, 0, -1e4).astype(F32), "lower": LOWER, "upper": ~LOWER, "lower_f": LOWER.astype(F32),
    "ax12": np.array((1, 2)), "ax1": np.array((1,)), "ax0": np.array((0,)), "all": np.array((B, H, S, S)),
    "some": np.array((B, 1, S, S)),
    "ss": np.array((S, S)), "i1": np.array(1), "i0": np.array(0), "iS": np.array(S),
    "places": RNG.normal(size=(1, H, S, S)).astype(F32),
}  # fmt: skip
HEAD = """a0 = MatMul(x, wq) a1 = Reshape(a0, split) q = Transpose<perm=[0,2,1,3]>(a1) b0 = MatMul(x, wk) b1 = Reshape(b0, split)
k = Transpose<perm=[0,2,3,1]>(b1) d0 = MatMul(x, wv) d1 = Reshape(d0, split) v = Transpose<perm=[0,2,1,3]>(d1) """
TAIL = " p = Softmax<axis=-1>(s) o = MatMul(p, v) o1 = Transpose<perm=[0,2,1,3]>(o) y = Reshape(o1, join)"
NUMBER = "int64[2,5] m", "f0 = Cast<to=1>(m) f = Unsqueeze(f0, ax12) g = Sub(one, f) "
FLAG = "int64[2,5] m", "f0 = Cast<to=9>(m) f = Unsqueeze(f0, ax12) n = Not(f) "
QK = "d = MatMul(q, k) e = Mul(d, c) "
CONSTANT, WIDE, FULL, PADDED = ("", ""), ("float[2,1,5,5] w", ""), ("bool[2,1,5,5] t", ""), ("float[2,5] z", "")
SPELLINGS = {
    "-inf added": (CONSTANT, QK + "s = Add(e, c_inf)"),
    "the least number added": (CONSTANT, QK + "s = Add(e, c_least)"),
    "-1e4 added in front": (CONSTANT, QK + "s = Add(c_1e4, e)"),
    "divided": (CONSTANT, "d = MatMul(q, k) e = Div(d, rc) s = Add(e, c_least)"),
    "scaled queries": (CONSTANT, "j = Mul(q, c) d = MatMul(j, k) s = Add(d, c_least)"),
    "scaled queries and keys": (CONSTANT, "j = Mul(q, q4) l = Mul(k, q4) d = MatMul(j, l) s = Add(d, c_inf)"),
    "(1 - m) * -1e4": (NUMBER, "h = Mul(g, n1e4) " + QK + "s = Add(e, h)"),
    "(1 - m) * least": (NUMBER, "h = Mul(g, least) " + QK + "s = Add(e, h)"),
    "an expanded mask that is filled": (
        NUMBER, "x0 = Expand(f, some) x1 = Sub(one, x0) x2 = Cast<to=9>(x1) h = Where(x2, least, x1) " + QK + "s = Add(e, h)"),
    "subtracted": (NUMBER, "h = Mul(g, p1e4) " + QK + "s = Sub(e, h)"),
    "what is subtracted is no product": (CONSTANT, "h = Neg(c_least) " + QK + "s = Sub(e, h)"),
    "Where(m, 0, -inf) added": (FLAG, "h = Where(f, zero, inf) " + QK + "s = Add(e, h)"),
    "Not as a number times -1e4": (FLAG, "h0 = Cast<to=1>(n) h = Mul(h0, n1e4) " + QK + "s = Add(e, h)"),
    "Where(m, s, -inf)": (FLAG, QK + "s = Where(f, e, inf)"),
    "Where(n, -inf, s)": (FLAG, QK + "s = Where(n, inf, e)"),
    "Where(m, s, least)": (FLAG, QK + "s = Where(f, e, least)"),
    "Where(m, s, -1e4)": (FLAG, QK + "s = Where(f, e, n1e4)"),
    "Where(m, s, -1e9)": (FLAG, QK + "s = Where(f, e, n1e9)"),
    "a causal Where": (CONSTANT, QK + "s = Where(lower, e, least)"),
    "a causal Where the other way": (CONSTANT, QK + "s = Where(upper, inf, e)"),
    "causal and padded": (NUMBER, "h = Mul(g, least) " + QK + "j = Where(lower, e, least) s = Add(j, h)"),
    "multiplied by a constant mask": (CONSTANT, QK + "j = Mul(e, lower_f) l = Sub(one, lower_f) h = Mul(l, n1e4) s = Add(j, h)"),
    "multiplied, and the rest subtracted": (
        CONSTANT, QK + "j = Mul(e, lower_f) l = Sub(one, lower_f) h = Mul(l, p1e4) s = Sub(j, h)"),
    "multiplied by a computed mask": (
        FLAG, "l = Cast<to=1>(f) " + QK + "j = Mul(e, l) l1 = Sub(one, l) h = Mul(l1, n1e4) s = Add(j, h)"),
    "masked before the scale": (FLAG, "h = Where(f, zero, least) d = MatMul(q, k) e = Add(d, h) s = Mul(e, c)"),
    "filled before the division": (FLAG, "d = MatMul(q, k) e = Where(f, d, inf) s = Div(e, rc)"),
    "two masks": (FLAG, "h = Where(f, zero, least) " + QK + "j = Add(e, c_least) s = Add(j, h)"),
    "bounded below": (NUMBER, "h = Mul(g, least) " + QK + "j = Add(e, h) s = Max(j, least)"),
    "a given mask of numbers": (WIDE, QK + "s = Add(e, w)"),
    "a given mask before the scale": (WIDE, "d = MatMul(q, k) e = Add(d, w) s = Mul(e, c)"),
    "a given mask that is moved": (PADDED, "h = Unsqueeze(z, ax12) " + QK + "s = Add(e, h)"),
    "a given mask of flags": (FULL, QK + "s = Where(t, e, inf)"),
    "Trilu": (CONSTANT, "h0 = ConstantOfShape<value=float[1] {-3e38}>(ss) h = Trilu<upper=1>(h0, i1) " + QK + "s = Add(e, h)"),
    "compared places": (
        CONSTANT, "r = Range(i0, iS, i1) r0 = Unsqueeze(r, ax0) r1 = Unsqueeze(r, ax1) h = LessOrEqual(r0, r1) " + QK
        + "s = Where(h, e, least)"),
    "a bias of places and a mask": (NUMBER, "h = Mul(g, least) h1 = Add(places, h) d = MatMul(q, k) s = Add(d, h1)"),
    "expanded flags": (FLAG, "h0 = Expand(f, all) h = Not(h0) " + QK + "s = Where(h, least, e)"),
    "scores that are cast": (CONSTANT, QK + "j = Add(e, c_least) s = Cast<to=1>(j)"),
    "rows without keys become zeros": (
        FLAG, QK + "s = Where(f, e, inf) p0 = Softmax<axis=-1>(s) b = IsNaN(p0) p = Where(b, zero, p0) o = MatMul(p, v) "
        "o1 = Transpose<perm=[0,2,1,3]>(o) y = Reshape(o1, join)"),
}  # fmt: skip


def spelled(name: str) -> ir.Model:
    (inputs, mask), body = SPELLINGS[name]
    text = HEAD + mask + body + ("" if " y = " in body else TAIL)
    words = set(text.replace("(", " ").replace(")", " ").replace(",", " ").split())
    kinds = {"float32": "float", "int64": "int64", "bool": "bool"}
    used = {n: np.asarray(a) for n, a in TENSORS.items() if n in words}
    more = [f"{kinds[a.dtype.name]}{list(a.shape) if a.ndim else ''} {n}" for n, a in used.items()]
    given = ", ".join(["float[2,5,16] x", *([inputs] if inputs else [])])
    model = model_of(f"g ({given}) => (float[2,5,16] y) <{', '.join(more)}> {{ {text} }}")
    for value in [v for n in model.graph for v in n.inputs if v is not None and v.name in used and v.producer() is None]:
        if value.name not in model.graph.initializers:
            made = add_initializer(model, value.name or "", used[value.name or ""])
            value.replace_all_uses_with(made)
    return model


def feed_of(model: ir.Model, rows: tuple[int, int]) -> dict[str, np.ndarray]:
    """``rows``: how many keys each of the two sequences has."""
    kept = np.arange(S) < np.array(rows)[:, None]
    wide = np.broadcast_to(kept[:, None, None, :], (B, 1, S, S))
    made = {
        "x": RNG.normal(size=(B, S, H * D)).astype(F32), "m": kept.astype(np.int64), "t": wide.copy(),
        "w": np.where(wide, 0, -np.inf).astype(F32), "z": np.where(kept, 0, LEAST).astype(F32),
    }  # fmt: skip
    return {v.name or "": made[v.name or ""] for v in model.graph.inputs}


def softmax_of(model: ir.Model) -> ir.Node:
    return next(n for n in model.graph if n.op_type == "Softmax")


@pytest.mark.parametrize("name", SPELLINGS)
def test_one_sum_with_the_same_probabilities(name: str) -> None:
    model = spelled(name)
    feeds = [feed_of(model, rows) for rows in ((3, 4), (5, 1), (0, 2))]  # in the last one a sequence has no key at all
    before = [run_onnx(model, feed)[0] for feed in feeds]
    Pipeline("canonicalize").run(model)
    found = attention.scores(softmax_of(model))
    assert found is not None and len(found.added) == 1
    for feed, wanted in zip(feeds, before, strict=True):
        np.testing.assert_allclose(run_onnx(model, feed)[0], wanted, rtol=1e-5, atol=1e-6)
    assert not Pipeline("masks-as-sums").run(model)[0].counts


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_mask_sets_no_scale_and_the_program_has_one_attention(tmp_path: Path, name: str) -> None:
    model = spelled(name)
    feeds = [feed_of(model, rows) for rows in ((3, 4), (5, 1))]
    wanted = run_onnx(model, feeds[0])[0]
    transform(model, preset="int8", data=feeds)
    assert max(float(scale) for _, scale, _ in quantizers(model).values()) < 0.1
    assert sqnr(wanted, run_onnx(model, feeds[0])[0]) > 28
    lowered = compile(model, tmp_path / "m.qgp", sparse=False)
    assert sum(n.op_type == "Attention" for n in lowered.graph) == 1
    (found,) = Session(tmp_path / "m.qgp", threads=1).run(feeds[0]).values()
    assert sqnr(wanted, found) > 28


def test_a_filled_score_is_a_sum_by_another_name() -> None:
    text = """g (float[1,2,3] q, float[1,3,2] k, bool[2,2] m) => (float[1,2,2] p) <float f = {-1e4}> {
      d = MatMul(q, k) s = Where(m, d, f) p = Softmax(s) }"""
    model = model_of(text)
    Pipeline("masks-as-sums").run(model)
    assert_graph(
        model,
        """g (float[1,2,3] q, float[1,3,2] k, bool[2,2] m) => (float[1,2,2] p) <float s_fill = {-1e30}, float s_zero = {0}> {
          d = MatMul(q, k) s_mask = Where(m, s_zero, s_fill) s_masked = Add(d, s_mask) p = Softmax(s_masked) }""",
    )


OTHERS = {
    "no score": "s = Where(m, x, f) p = Softmax(s)",
    "read by something else": "d = MatMul(q, k) s = Where(m, d, f) p0 = Softmax(s) p = Add(p0, s)",
    "another axis": "d = MatMul(q, k) s = Where(m, d, f) p = Softmax<axis=1>(s)",
    "a fill that is no mask": "d = MatMul(q, k) s = Where(m, d, g) p = Softmax(s)",
    "a negative scale": "d = MatMul(q, k) e = Add(d, x) s = Mul(e, g) p = Softmax(s)",
    "handed out": "d = MatMul(q, k) p = Where(m, d, f) e = Softmax(p)",
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_stay(name: str) -> None:
    model = model_of(
        "g (float[1,2,3] q, float[1,3,2] k, float[1,2,2] x, bool[2,2] m) => (float[1,2,2] p) <float f = {-1e4}, float g = {-3}> "
        f"{{ {OTHERS[name]} }}"
    )
    assert not Pipeline("masks-as-sums").run(model)[0].counts


def test_only_masks_may_be_infinite() -> None:
    model = spelled("a given mask of numbers")
    feed = feed_of(model, (3, 4))
    for bad in (
        {"x": np.full_like(feed["x"], -np.inf)},
        {"w": np.full_like(feed["w"], np.nan)},
        {"w": np.full_like(feed["w"], np.inf)},
    ):
        with pytest.raises(QGraphError, match="holds NaN or infinity"):
            Pipeline("calibrate").run(model.clone(), PassContext(data=[{**feed, **bad}]))


TRIANGLES = {
    "numbers above": ("n = Shape(x) f = Expand(least, n) t = Trilu<upper=1>(f, one)", "float[a,b]"),
    "numbers below, shifted": ("n = Shape(x) f = Expand(least, n) t = Trilu<upper=0>(f, back)", "float[a,b]"),
    "flags": ("n = Shape(x) f = Expand(yes, n) t = Trilu<upper=0>(f)", "bool[a,b]"),
    "filled by a shape": ("n = Shape(x) f = ConstantOfShape<value=float[1] {-3e38}>(n) t = Trilu(f)", "float[a,b]"),
    "a stack": ("n = Shape(z) f = Expand(least, n) t = Trilu<upper=0>(f)", "float[p,a,b]"),
}


@pytest.mark.parametrize("name", TRIANGLES)
def test_triangles_of_free_dims_are_comparisons(name: str) -> None:
    body, kind = TRIANGLES[name]
    model = model_of(
        f"g (float[r,c] x, float[2,r,c] z) => ({kind} t) "
        f"<float least = {{-3e38}}, int64 one = {{1}}, int64 back = {{-1}}, bool yes = {{1}}> {{ {body} }}"
    )
    feeds = [{"x": np.zeros(s, F32), "z": np.zeros((2, *s), F32)} for s in ((3, 5), (4, 2), (1, 1))]
    before = [run_onnx(model, feed)[0] for feed in feeds]
    counts = Pipeline("simplify-masks").run(model)[0].counts
    assert counts["triangles"] == 1 and not any(n.op_type == "Trilu" for n in model.graph)
    for feed, wanted in zip(feeds, before, strict=True):
        np.testing.assert_array_equal(run_onnx(model, feed)[0], wanted)


def test_a_triangle_of_data_stays() -> None:
    model = model_of("g (float[r,c] x) => (float[r,c] t) { t = Trilu(x) }")
    assert not Pipeline("simplify-masks").run(model)[0].counts
