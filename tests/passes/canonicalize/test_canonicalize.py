"""Recognition passes on graphs in ONNX text form: what comes out, and that the function stays the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.pipeline import Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import model_of


def check(text: str, passes: str, ops: list[str], feed: dict[str, np.ndarray], atol: float = 1e-5) -> ir.Model:
    model = model_of(text)
    before = run_onnx(model, feed)
    Pipeline(passes).run(model)
    assert [n.op_type for n in model.graph] == ops
    for a, b in zip(before, run_onnx(model, feed), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-5)
    again = [str(n) for n in model.graph]
    Pipeline(passes).run(model)
    assert [str(n) for n in model.graph] == again, "the pass is not idempotent"
    return model


X = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32) * 2


@pytest.mark.parametrize(
    "body",
    [
        "d = Div(x, root) e = Erf(d) s = Add(e, one) m = Mul(x, s) y = Mul(m, half)",
        "h = Mul(x, half) d = Div(x, root) e = Erf(d) s = Add(one, e) y = Mul(s, h)",
        "d = Mul(x, inv) e = Erf(d) s = Add(e, one) h = Mul(half, s) y = Mul(h, x)",
    ],
)
def test_gelu_erf(body: str) -> None:
    text = f"""g (float[2,5,8] x) => (float[2,5,8] y)
      <float root = {{1.4142135}}, float inv = {{0.70710677}}, float one = {{1}}, float half = {{0.5}}> {{ {body} }}"""
    model = check(text, "recognize-gelu", ["Gelu"], {"x": X})
    assert model.graph.outputs[0].name == "y"


@pytest.mark.parametrize("cube", ["c = Pow(x, three)", "q = Mul(x, x) c = Mul(q, x)"])
def test_gelu_tanh(cube: str) -> None:
    text = f"""g (float[2,5,8] x) => (float[2,5,8] y)
      <float three = {{3}}, float a = {{0.044715}}, float k = {{0.7978846}}, float one = {{1}}, float half = {{0.5}}> {{
        {cube} t = Mul(c, a) i = Add(x, t) j = Mul(i, k) h = Tanh(j) s = Add(h, one) m = Mul(x, half) y = Mul(m, s) }}"""
    model = check(text, "recognize-gelu", ["Gelu"], {"x": X})
    assert model.graph[0].attributes["approximate"].as_string() == "tanh"


@pytest.mark.parametrize("source", ["Add", "Mul"])
@pytest.mark.parametrize("cube", ["p = Mul(a, v) q = Mul(v, p) c = Mul(v, q)", "p = Pow(v, three) c = Mul(p, a)", ""])
def test_gelu_of_a_sum_or_product(source: str, cube: str) -> None:
    """The last of a layer or a gate in front of it; ``a * v * (v * v)`` as jax2tf writes it. Without a cube: the erf form."""
    inner = f"{cube} i = Add(v, c) j = Mul(i, k) h = Tanh(j)" if cube else "j = Mul(v, inv) h = Erf(j)"
    text = f"""g (float[2,5,8] x) => (float[2,5,8] y) <float three = {{3}}, float a = {{0.044715}}, float k = {{0.7978846}},
      float inv = {{0.70710677}}, float one = {{1}}, float half = {{0.5}}> {{
        u = Sigmoid(x) v = {source}(x, u) {inner} s = Add(one, h) m = Mul(half, s) y = Mul(v, m) }}"""
    check(text, "recognize-gelu", ["Sigmoid", source, "Gelu"], {"x": X})


def test_gelu_with_other_constants_is_left_alone() -> None:
    text = """g (float[2,5,8] x) => (float[2,5,8] y) <float root = {1.5}, float one = {1}, float half = {0.5}> {
        d = Div(x, root) e = Erf(d) s = Add(e, one) m = Mul(x, s) y = Mul(m, half) }"""
    check(text, "recognize-gelu", ["Div", "Erf", "Add", "Mul", "Mul"], {"x": X})


MEAN, SUM, DIVIDED = "m = ReduceMean(x, axis)", "t = ReduceSum(x, axis) m = Mul(t, part)", "t = ReduceSum(x, axis) m = Div(t, n)"
CENTERED = "d = Sub(x, m) p = Pow(d, two) v = ReduceMean(p, axis)"
PRODUCT = "d = Sub(x, m) p = Mul(d, d) q = ReduceSum(p, axis) v = Mul(q, part)"
MOMENTS = "p = Mul(x, x) q = ReduceSum(p, axis) s = Mul(q, part) o = Mul(m, m) u = Sub(s, o) v = Max(u, zero) d = Sub(x, m)"
ROOT, INVERSE = "e = Add(v, eps) r = Sqrt(e)", "e = Add(v, eps) w = Sqrt(e) r = Reciprocal(w)"
POWER, OVER = "e = Add(eps, v) r = Pow(e, minus)", "e = Add(v, eps) w = Sqrt(e) r = Div(one, w)"


@pytest.mark.parametrize(
    "body",
    [
        f"{MEAN} {CENTERED} {ROOT} a = Div(d, r) c = Mul(a, gamma) y = Add(c, beta)",
        f"{SUM} {PRODUCT} {INVERSE} a = Mul(r, gamma) c = Mul(d, a) y = Add(c, beta)",
        f"{DIVIDED} {MOMENTS} {INVERSE} a = Mul(r, row) c = Mul(d, a) y = Add(c, beta)",
        f"{MEAN} {CENTERED} {POWER} a = Mul(d, r) c = Mul(gamma, a) y = Add(beta, c)",
        f"{MEAN} {CENTERED} {OVER} a = Mul(r, gamma) c = Mul(x, a) f = Mul(m, a) g = Sub(beta, f) y = Add(c, g)",
        f"{MEAN} {MOMENTS} {ROOT} y = Div(d, r)",
        f"{MEAN} {CENTERED} {POWER} c = Mul(x, r) f = Mul(m, r) g = Sub(beta, f) y = Add(c, g)",
    ],
)
def test_layernorm(body: str) -> None:
    text = f"""g (float[2,5,8] x) => (float[2,5,8] y)
      <int64[1] axis = {{-1}}, float two = {{2}}, float eps = {{0.00001}}, float part = {{0.125}}, float n = {{8}},
       float zero = {{0}}, float one = {{1}}, float minus = {{-0.5}}, float[1,1,8] row = {{1,2,3,4,5,6,7,8}},
       float[8] gamma = {{1,2,3,4,5,6,7,8}}, float[8] beta = {{8,7,6,5,4,3,2,1}}> {{ {body} }}"""
    check(text, "recognize-layernorm", ["LayerNormalization"], {"x": X}, atol=1e-4)


@pytest.mark.parametrize(
    "body",
    [
        f"t = ReduceSum(x, axis) m = Mul(t, eps) {CENTERED} {ROOT} y = Div(d, r)",  # no mean
        f"{MEAN} d = Sub(x, m) p = Mul(x, x) v = ReduceMean(p, axis) {ROOT} y = Div(d, r)",  # of the squares, not the variance
        f"{MEAN} {CENTERED} {ROOT} y = Mul(d, r)",
    ],
)
def test_what_only_looks_like_a_layernorm(body: str) -> None:
    constants = "<int64[1] axis = {-1}, float two = {2}, float eps = {0.00001}>"
    text = f"g (float[2,5,8] x) => (float[2,5,8] y) {constants} {{ {body} }}"
    model = model_of(text)
    Pipeline("recognize-layernorm").run(model)
    assert "LayerNormalization" not in {n.op_type for n in model.graph}


def test_attention_scale_comes_to_one_place() -> None:
    text = """g (float[1,2,3,4] q, float[1,2,4,3] k, float[1,2,3,4] v) => (float[1,2,3,4] y) <float c = {0.7}, float d = {2}> {
        a = Mul(q, c) b = Mul(k, c) s = MatMul(a, b) t = Div(s, d) p = Softmax(t) y = MatMul(p, v) }"""
    rng = np.random.default_rng(0)
    feed = {
        n: rng.standard_normal(s).astype(np.float32) for n, s in (("q", (1, 2, 3, 4)), ("k", (1, 2, 4, 3)), ("v", (1, 2, 3, 4)))
    }
    model = check(text, "recognize-attention", ["MatMul", "Mul", "Softmax", "MatMul"], feed)
    scale = model.graph[1].inputs[1].const_value.numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(scale, 0.49 / 2, rtol=1e-6)


@pytest.mark.parametrize(("index", "ops"), [("2", ["Add"]), ("0", ["Shape", "Gather", "Cast", "Range", "Add"])])
def test_a_dim_that_is_known_beside_free_ones_becomes_a_number(index: str, ops: list[str]) -> None:
    """The anchors of a detector follow from the sizes of its maps, whatever the batch is."""
    text = f"""g (float[n,5,8] x) => (float[n,5,8] y) <int64 i = {{{index}}}, float zero = {{0}}, float one = {{1}}> {{
        s = Shape(x) d = Gather(s, i) f = Cast<to=1>(d) r = Range(zero, f, one) y = Add(x, r) }}"""
    x = np.random.default_rng(0).standard_normal((8, 5, 8)).astype(np.float32)
    check(text, "canonicalize", ops, {"x": x})


def test_shapes_of_symbolic_dims_become_constants() -> None:
    text = """g (float[b,l,12] x) => (float[b,l,3,4] y) <int64[1] minus = {-1}, int64[1] four = {4}> {
        s = Shape<start=0, end=2>(x) t = Concat<axis=0>(s, minus, four) y = Reshape(x, t) }"""
    model = check(text, "canonicalize", ["Reshape"], {"x": np.ones((2, 3, 12), np.float32)})
    assert model.graph[0].inputs[1].const_value.numpy().tolist() in ([0, 0, -1, 4], [0, 0, 3, 4])  # type: ignore[union-attr]


def test_fold_batchnorm_keeps_weight_names() -> None:
    text = """g (float[1,2,4,4] x) => (float[1,3,4,4] y) <float[3,2,1,1] w = {1,2,3,4,5,6}, float[3] s = {1,2,3},
        float[3] b = {1,0,-1}, float[3] m = {0.5,0,1}, float[3] v = {1,4,9}> {
        c = Conv<kernel_shape=[1,1]>(x, w) y = BatchNormalization(c, s, b, m, v) }"""
    feed = {"x": np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)}
    model = check(text, "fold-batchnorm", ["Conv"], feed)
    assert model.graph[0].inputs[1].name == "w"  # type: ignore[union-attr]


def test_batchnorm_without_a_producer_becomes_mul_add() -> None:
    text = """g (float[1,3,2,2] x) => (float[1,3,2,2] y) <float[3] s = {1,2,3}, float[3] b = {1,0,-1},
        float[3] m = {0.5,0,1}, float[3] v = {1,4,9}> { y = BatchNormalization(x, s, b, m, v) }"""
    check(text, "fold-batchnorm", ["Mul", "Add"], {"x": np.ones((1, 3, 2, 2), np.float32)})


def test_canonicalize_leaves_batchnorm_for_its_pass() -> None:
    text = """g (float[1,2,4,4] x) => (float[1,3,4,4] y) <float[3,2,1,1] w = {1,2,3,4,5,6}, float[3] s = {1,2,3},
        float[3] b = {1,0,-1}, float[3] m = {0.5,0,1}, float[3] v = {1,4,9}> {
        c = Conv<kernel_shape=[1,1]>(x, w) y = BatchNormalization(c, s, b, m, v) }"""
    check(text, "canonicalize", ["Conv", "BatchNormalization"], {"x": np.ones((1, 2, 4, 4), np.float32)})


def test_fuse_bias() -> None:
    text = """g (float[1,2,4,4] x) => (float[1,3,4,4] y) <float[3,2,1,1] w = {1,2,3,4,5,6}, float[1,3,1,1] b = {1,2,3}> {
        c = Conv<kernel_shape=[1,1]>(x, w) y = Add(c, b) }"""
    check(text, "fuse-bias", ["Conv"], {"x": np.ones((1, 2, 4, 4), np.float32)})
    text = """g (float[n,2] x) => (float[n,3] y) <float[2,3] w = {1,2,3,4,5,6}, float[3] b = {1,2,3}> {
        c = MatMul(x, w) y = Add(b, c) }"""
    check(text, "fuse-bias", ["Gemm"], {"x": np.ones((4, 2), np.float32)})


@pytest.mark.parametrize(
    ("x", "bias", "ops", "vector"),
    [
        ("n,2", "1,3", ["Gemm"], True),
        ("n,4,2", "1,3", ["MatMul", "Add"], True),
        ("n,4,2", "1,1,3", ["MatMul", "Add"], True),
        ("n,2", "1,1,3", ["MatMul", "Add"], False),  # the sum has a dim more
        ("3,2", "3,1", ["MatMul", "Add"], False),
    ],
)
def test_a_bias_with_dims_of_1(x: str, bias: str, ops: list[str], vector: bool) -> None:
    dims = ["s"] * max(x.count(","), bias.count(",")) + ["3"]
    text = f"g (float[{x}] x) => (float[{','.join(dims)}] y) <float[2,3] w = {{1,2,3,4,5,6}}, float[{bias}] b = {{1,2,3}}> "
    shape = [3 if d == "n" else int(d) for d in x.split(",")]
    model = check(text + "{ c = MatMul(x, w) y = Add(c, b) }", "fuse-bias", ops, {"x": np.ones(shape, np.float32)})
    assert any(v.shape == [3] for v in model.graph.initializers.values()) == vector


RELU = "c = Conv(x, w) d = Relu(c)"
SAME_VALUES = {  # nodes behind the hidden value d, and the outputs
    "identity": ("e = Identity(d)", ["y", "d", "e"]),
    "identity first": ("e = Identity(d)", ["e", "y", "d"]),
    "identity of the input": ("e = Identity(x) f = Identity(x)", ["e", "y", "f"]),
    "dropout": ("e = Dropout(d)", ["y", "d", "e"]),
    "reshape to the own shape": ("e = Reshape(d, own)", ["y", "d", "e"]),
    "transposed twice": ("t = Transpose<perm=[0,1,3,2]>(d) e = Transpose<perm=[0,1,3,2]>(t)", ["d", "e", "y"]),
    "equal nodes": ("e = Sigmoid(d) f = Sigmoid(d) g = Identity(f)", ["y", "g", "f", "e"]),
    "constants": ("e = Identity(own) f = Identity(own)", ["y", "f", "e"]),
}


@pytest.mark.parametrize("case", SAME_VALUES)
def test_outputs_that_are_one_value_keep_their_names(case: str) -> None:
    more, outputs = SAME_VALUES[case]
    kinds = {name: f"int64[4] {name}" if case == "constants" and name != "y" else f"float[1,1,2,2] {name}" for name in outputs}
    text = (
        f"g (float[1,1,2,2] x) => ({', '.join(kinds.values())}) "
        f"<float[1,1,1,1] w = {{2}}, int64[4] own = {{1, 1, 2, 2}}> {{ {RELU} {more} y = Conv(d, w) }}"
    )
    model, x = model_of(text), np.array([[[[1, -2], [3, 4]]]], np.float32)
    before = run_onnx(model, {"x": x})
    Pipeline("canonicalize,fold-batchnorm,fuse-bias").run(model)
    assert [v.name for v in model.graph.outputs] == outputs
    assert len(set(model.graph.outputs)) == len(outputs)
    for a, b in zip(before, run_onnx(model, {"x": x}), strict=True):
        np.testing.assert_array_equal(a, b)


C_OF_GEMM = {  # shape of C, and the ops of the canonical form
    "column": ("4,5", [4, 1], ["Gemm", "Add"]),
    "full": ("4,5", [4, 5], ["Gemm", "Add"]),
    "row": ("4,5", [1, 5], ["Gemm"]),
    "vector": ("4,5", [5], ["Gemm"]),
    "one": ("4,5", [1], ["Gemm"]),
}


@pytest.mark.parametrize("case", C_OF_GEMM)
@pytest.mark.parametrize("given", ["constant", "input"])
def test_a_c_that_is_no_bias_leaves_gemm(case: str, given: str) -> None:
    shape, dims, ops = C_OF_GEMM[case]
    rng = np.random.default_rng(1)
    feed = {"x": rng.standard_normal((4, 6)).astype(np.float32)}
    c = rng.standard_normal(dims).astype(np.float32)
    kind = f"float[{','.join(map(str, dims))}] c"
    flat = lambda a: ", ".join(map(repr, a.reshape(-1).tolist()))  # noqa: E731
    w = f"float[5,6] w = {{{flat(rng.standard_normal((5, 6)).astype(np.float32))}}}"
    if given == "input":
        feed["c"], ops, inputs, held = c, ["Gemm", "Add"], f", {kind}", w
    else:
        inputs, held = "", f"{w}, {kind} = {{{flat(c)}}}"
    check(f"g (float[4,6] x{inputs}) => (float[{shape}] y) <{held}> {{ y = Gemm<transB=1>(x, w, c) }}", "canonicalize", ops, feed)


@pytest.mark.parametrize("parameters", ["keep", "fold", "merge"])
@pytest.mark.parametrize(
    "body",
    [
        "v = Identity(w) h = MatMul(x, w)",
        "u = Identity(w) v = Identity(u) h = MatMul(x, u)",
        "t = Identity(w) u = Transpose(t) v = Transpose(w) h = MatMul(x, u)",
    ],
)
def test_a_weight_that_is_shared_through_identity_or_transposes_stays_one(body: str, parameters: str) -> None:
    """It is larger than the constants that are compared with each other."""
    model = model_of(
        f"g (float[1,300] x) => (float[1,300] y) {{ {body} y = MatMul(h, v) }}".replace("x) =>", "x, float[300,300] w) =>")
    )
    model.graph.inputs.pop()
    weight = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    value = next(v for n in model.graph for v in n.inputs if v is not None and v.name == "w")
    value.const_value = ir.tensor(weight, name="w")
    model.graph.initializers["w"] = value
    feed = {"x": np.ones((1, 300), np.float32)}
    want = run_onnx(model, feed)[0]
    Pipeline(f"canonicalize{{parameters={parameters}}}").run(model)
    assert [n.op_type for n in model.graph] == ["MatMul", "MatMul"] and list(model.graph.initializers) == ["w"]
    np.testing.assert_array_equal(run_onnx(model, feed)[0], want)


@pytest.mark.parametrize("parameters", ["keep", "merge"])
def test_two_flattens_of_one_value_keep_their_shapes(parameters: str) -> None:
    body = "a = Flatten<axis=1>(x) b = Flatten<axis=2>(x) p = MatMul(a, v) q = MatMul(b, w) y = Add(p, q)"
    weights = f"<float[40,1] v = {{{', '.join(['1.5'] * 40)}}}, float[8,1] w = {{{', '.join(['0.5'] * 8)}}}, float[1] z = {{1}}>"
    text = f"g (float[2,5,8] x) => (float[10,1] u, float[2,1] y) {weights} {{ {body.replace('y = Add(p, q)', '')}"
    text += " u = Neg(q) y = Neg(p) }"
    check(text, f"canonicalize{{parameters={parameters}}}", ["Reshape", "Reshape", "MatMul", "MatMul", "Neg", "Neg"], {"x": X})


def test_scores_that_are_an_output_stay_what_they_are() -> None:
    text = """g (float[2,5,8] x) => (float[2,5,5] s, float[2,5,5] y) <float half = {0.5}>
    { k = Transpose<perm=[0, 2, 1]>(x) q = Mul(x, half) s = MatMul(q, k) y = Softmax(s) }"""
    model = model_of(text)
    before = run_onnx(model, {"x": X})
    Pipeline("canonicalize").run(model)
    for a, b in zip(before, run_onnx(model, {"x": X}), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_an_output_that_is_declared_with_another_rank_has_that_of_its_value() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[2,5,8] x) => (float[1,2,3,4] y)
    <int64[1] zero = {0}, int64[1] last = {-1}, int64[1] rest = {-1}>
    { s = Shape(x) a = Slice(s, zero, last) b = Concat<axis=0>(a, rest) r = Reshape(x, b) y = Identity(r) }"""
    model = ir.from_onnx_text(text)
    Pipeline("canonicalize").run(model)
    assert model.graph.outputs[0].shape == ir.Shape([2, 5, 8])
    np.testing.assert_array_equal(run_onnx(model, {"x": X})[0], X)


def test_an_index_beyond_a_shape_is_left_to_who_runs_it() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[n,5,8] x) => (float[?] y)
    <int64[1] i = {3}> { s = Shape(x) d = Gather(s, i) r = Reshape(x, d) y = Relu(r) }"""
    model = ir.from_onnx_text(text)
    Pipeline("simplify-shapes").run(model)
    with pytest.raises(QGraphError, match="Gather"):
        run_onnx(model, {"x": X})


def test_constants_of_a_branch_that_nothing_reads_any_more_go() -> None:
    """A weight that was turned at run time is stored turned, once."""
    model = ir.from_onnx_text(
        """<ir_version: 10, opset_import: ["" : 21]> g (bool c, float[1,2] x) => (float[1,2] y) {
          y = If (c) <
            then_branch = a () => (float[1,2] p) <float[2,2] w = {1, 2, 3, 4}> { t = Transpose(w) p = MatMul(x, t) },
            else_branch = b () => (float[1,2] q) { q = Neg(x) }> }"""
    )
    feed = {"c": np.array(True), "x": np.array([[1, 10]], np.float32)}
    Pipeline("canonicalize").run(model)
    branch = next(g for g in model.graphs() if g.name == "a")
    (weight,) = branch.initializers.values()
    np.testing.assert_array_equal(weight.const_value.numpy(), [[1, 3], [2, 4]])  # type: ignore[union-attr]
    np.testing.assert_array_equal(run_onnx(model, feed)[0], [[21, 43]])


def test_quantizers_of_a_quantized_model_stay(tmp_path: Path) -> None:
    """They are functions for ONNX Runtime, and ops for all else: the model still compiles, to the same numbers."""
    text = "g (float[1,3,2] x) => (float[1,3,2] y) <float[2,2] w = {1, 2, 3, 4}> { h = MatMul(x, w) y = MatMul(h, w) }"
    model, feed = model_of(text), {"x": np.array([[[1, 2], [3, -4], [5, 6]]], np.float32)}
    Pipeline("quantize{activations=tokens placement=linear}").run(model)
    want = run_onnx(model, feed)[0]
    Pipeline("canonicalize{parameters=merge}").run(model)
    assert [n.op_type for n in model.graph].count("FakeQuantizeTokens") == 2
    np.testing.assert_array_equal(run_onnx(model, feed)[0], want)
    compile(model, tmp_path / "m.qgp")
    np.testing.assert_allclose(next(iter(Session(tmp_path / "m.qgp").run(feed).values())), want, rtol=1e-6)


@pytest.mark.parametrize("shape, axis", [((80, 1), 0), ((1, 80), 1), ((2, 3), 1), ((2, 80, 3), -2)])
def test_gathered_elements_are_folded_at_any_length(shape: tuple[int, ...], axis: int, caplog: pytest.LogCaptureFixture) -> None:
    picked = np.random.default_rng(0).integers(-shape[axis], shape[axis], shape).reshape(-1)
    dims, numbers = ",".join(map(str, shape)), ", ".join(map(str, range(picked.size)))
    model = model_of(
        f"""g (float[{dims}] x) => (float[{dims}] y)
          <float[{dims}] data = {{{numbers}}}, int64[{dims}] picked = {{{", ".join(map(str, picked))}}}> {{
            t = GatherElements<axis={axis}>(data, picked) y = Add(x, t) }}"""
    )
    feed = {"x": np.zeros(shape, np.float32)}
    before = run_onnx(model, feed)[0]
    Pipeline("canonicalize").run(model)
    assert [n.op_type for n in model.graph] == ["Add"] and not caplog.messages
    np.testing.assert_array_equal(run_onnx(model, feed)[0], before)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_only_the_neutral_element_itself_falls_out(op: str) -> None:
    neutral = 0.0 if op in ("Add", "Sub") else 1.0
    for number in (neutral, neutral + 1e-10, neutral * 1.000005 or 1e-38):
        value = float(np.float32(number))
        model = model_of(f"g (float[3] x) => (float[3] y) <float c = {{{value!r}}}> {{ z = {op}(x, c) y = Log(z) }}")
        x = {"x": np.array([0, 1e-10, 2], np.float32)}
        wanted = run_onnx(model, x)
        Pipeline("canonicalize").run(model)
        np.testing.assert_array_equal(run_onnx(model, x), wanted)
        assert len(model.graph) == (1 if value == neutral else 2)
