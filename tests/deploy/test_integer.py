"""Quantized graphs against their integer programs: every ISA and thread count gives the bytes of the NumPy definitions, and
ONNX Runtime's integers are met within one step."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qgraph import _runtime
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.execute.integer import evaluate
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx

HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'
QUIET = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def quantized(
    text: str, feed: dict[str, np.ndarray], weights: dict[str, np.ndarray], options: str = "", context: PassContext | None = None
) -> ir.Model:
    model = ir.from_onnx_text(HEAD + text)
    for name, array in weights.items():
        value = model.graph.initializers.get(name)
        if value is None:
            value = next(v for v in model.graph.inputs if v.name == name)
            model.graph.inputs.remove(value)
            model.graph.initializers[name] = value
        value.const_value = ir.Tensor(array, name=name)
        value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
    common.ShapeInferencePass(data_prop=True)(model)
    Pipeline(f"calibrate,quantize{options}").run(model, context or PassContext(data=[feed]))
    return model


def agree(model: ir.Model, feed: dict[str, np.ndarray], folder: Path, steps: float = 1.01) -> None:
    """All variants give one answer; it is ONNX Runtime's within ``steps`` quantization steps of the output."""
    path = folder / "case.qgp"
    defined = evaluate(compile(model, path), feed)
    answers = []
    for isa, threads in itertools.product(_runtime.available_isas(), (1, 2)):
        session = Session(path, isa=isa, threads=threads)
        assert session.isa == isa
        answers.append(session.run(feed))
    for answer in answers:
        for name, array in answer.items():
            assert array.tobytes() == np.ascontiguousarray(defined[name]).tobytes(), name
    last = model.graph.outputs[0].producer()
    if last is not None and last.op_type in ("Neg", "Abs"):  # a function of slope 1 behind the op under test
        last = last.inputs[0].producer()  # type: ignore[union-attr]
    scale = 1e-4
    if last is not None and last.op_type == "DequantizeLinear":
        scale = float(last.inputs[1].const_value.numpy())  # type: ignore[union-attr]
    for got, want in zip(answers[0].values(), run_onnx(model, feed), strict=True):
        assert got.shape == want.shape
        if want.size:
            error = np.abs(got - want).max() / scale
            assert error <= steps or np.allclose(got, want, rtol=1e-4, atol=1e-4), error


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@QUIET
@given(
    st.integers(1, 3),
    st.integers(1, 19),
    st.integers(1, 35),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 2),
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_conv(
    tmp_path: Path,
    batch: int,
    channels: int,
    outputs: int,
    kernel: int,
    stride: int,
    dilation: int,
    pads: list[int],
    relu: bool,
    signed: bool,
) -> None:
    size = max(7, dilation * (kernel - 1) + 1)
    tail = "c = Conv<kernel_shape=[{k},{k}], strides=[{s},{s}], dilations=[{d},{d}], pads=[{p}]>(x, w, b) ".format(
        k=kernel, s=stride, d=dilation, p=",".join(map(str, pads))
    )
    end = "r = Relu(c) y = Abs(r)" if relu else "y = Neg(c)"
    text = f"g (float[n,{channels},h,v] x, float[o,i,k,k] w, float[o] b) => (float[n,{outputs},p,q] y) {{ {tail} {end} }}"
    feed = {"x": normal(batch, channels, size, size + 2)}
    weights = {"w": normal(outputs, channels, kernel, kernel, seed=1), "b": normal(outputs, seed=2)}
    agree(quantized(text, feed, weights, "{activations=int8}" if signed else ""), feed, tmp_path)


@pytest.mark.parametrize(("channels", "group", "outputs"), [(6, 6, 6), (6, 6, 12), (6, 2, 4), (8, 4, 8)])
def test_grouped_and_depthwise_conv(tmp_path: Path, channels: int, group: int, outputs: int) -> None:
    text = f"""g (float[n,{channels},9,11] x, float[o,i,3,3] w, float[o] b) => (float[n,{outputs},p,q] y) {{
        c = Conv<group={group}, kernel_shape=[3,3], strides=[2,1], pads=[1,0,0,2]>(x, w, b) y = Clip(c) }}"""
    feed = {"x": normal(2, channels, 9, 11)}
    agree(quantized(text, feed, {"w": normal(outputs, channels // group, 3, 3), "b": normal(outputs)}), feed, tmp_path)


def test_conv_of_one_axis_and_transposed(tmp_path: Path) -> None:
    text = """g (float[n,5,13] x, float[o,i,3] w, float[o] b) => (float[n,4,q] y) {
        c = Conv<kernel_shape=[3], strides=[2], pads=[2,1], dilations=[2]>(x, w, b) y = Abs(c) }"""
    feed = {"x": normal(2, 5, 13)}
    agree(quantized(text, feed, {"w": normal(4, 5, 3), "b": normal(4)}), feed, tmp_path)
    text = """g (float[n,4,5,6] x, float[i,o,3,3] w, float[o] b) => (float[n,3,p,q] y) {
        c = ConvTranspose<kernel_shape=[3,3], strides=[2,2], pads=[1,0,1,1], output_padding=[1,0]>(x, w, b) y = Abs(c) }"""
    feed = {"x": normal(2, 4, 5, 6)}
    agree(quantized(text, feed, {"w": normal(4, 3, 3, 3), "b": normal(3)}), feed, tmp_path)


@QUIET
@given(
    st.integers(0, 9),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["int8", "int4", "int2"]),
    st.sampled_from([0, 16, 32]),
)
def test_gemm_and_tokens(tmp_path: Path, rows: int, k: int, n: int, weights: str, block: int) -> None:
    options = f"{{weights={weights} weight-block={block}}}"
    text = f"g (float[m,{k}] x, float[k,n] w, float[n] b) => (float[m,{n}] y) {{ c = Gemm(x, w, b) y = Neg(c) }}"
    arrays = {"w": normal(k, n, seed=1), "b": normal(n, seed=2)}
    model = quantized(text, {"x": normal(9, k)}, arrays, options)
    agree(model, {"x": normal(rows, k)}, tmp_path, steps=1.01 if not block else 2.01)
    text = f"g (float[a,m,{k}] x, float[k,n] w, float[n] b) => (float[a,m,{n}] y) {{ c = MatMul(x, w) y = Add(c, b) }}"
    model = quantized(text, {"x": normal(2, 9, k)}, arrays, options)
    agree(model, {"x": normal(2, rows, k)}, tmp_path)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shapes", [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1)), ((2, 1, 4), (5, 1)), ((1,), (4, 4))])
def test_binary(tmp_path: Path, op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    dims = [",".join(map(str, s)) for s in shapes]
    out = ",".join(map(str, np.broadcast_shapes(*shapes)))
    text = f"g (float[{dims[0]}] a, float[{dims[1]}] b) => (float[{out}] y) {{ y = {op}(a, b) }}"
    feed = {"a": normal(*shapes[0]), "b": np.abs(normal(*shapes[1], seed=3)) + 1}
    agree(quantized(text, feed, {}), feed, tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        "y = Sigmoid(x)",
        "y = Tanh(x)",
        "y = Gelu(x)",
        "y = HardSwish(x)",
        "y = HardSigmoid(x)",
        "y = LeakyRelu<alpha=0.1>(x)",
        "s = Sigmoid(x) y = Mul(x, s)",
        "y = Relu(x)",
        "y = PRelu(x, slope)",
        "m = Mul(x, slope) y = Add(m, slope)",
    ],
)
def test_pointwise_tables(tmp_path: Path, body: str) -> None:
    text = f"g (float[2,3,4,5] x, float[3,1,1] slope) => (float[2,3,4,5] y) {{ {body} }}"
    feed = {"x": normal(2, 3, 4, 5) * 3}
    agree(quantized(text, feed, {"slope": np.array([0.1, -0.5, 2], np.float32).reshape(3, 1, 1)}), feed, tmp_path)


@pytest.mark.parametrize("planes", [1, 2, 3, 4, 5])
def test_planes_side_by_side(tmp_path: Path, planes: int) -> None:
    text = f"g (float[2,{planes},70,63] x) => (float[2,70,63,{planes}] y) {{ r = Sigmoid(x) y = Transpose<perm=[0,2,3,1]>(r) }}"
    feed = {"x": normal(2, planes, 70, 63)}
    model = quantized(text, feed, {})
    agree(model, feed, tmp_path)
    turned = next(n for n in compile(model, tmp_path / "planes.qgp").graph if n.op_type == "Transpose")
    assert turned.inputs[0] is not None and turned.inputs[0].dtype == ir.DataType.UINT8


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pools_that_integer_kernels_lack(tmp_path: Path, op: str) -> None:
    """Three spatial axes, and padding that follows from a size that is not known."""
    text = f"g (float[2,3,6,7,6] x) => (float[2,3,p,q,r] y) {{ h = Relu(x) y = {op}<kernel_shape=[2,2,3], strides=[2,1,2]>(h) }}"
    feed = {"x": normal(2, 3, 6, 7, 6)}
    agree(quantized(text, feed, {}), feed, tmp_path)
    window = '<kernel_shape=[2,3], auto_pad="SAME_LOWER">'
    text = f"g (float[2,3,h,w] x) => (float[2,3,p,q] y) {{ h = Relu(x) y = {op}{window}(h) }}"
    feed = {"x": normal(2, 3, 6, 7)}
    agree(quantized(text, feed, {}), feed, tmp_path)


@pytest.mark.parametrize(
    ("body", "out"),
    [
        ("y = MaxPool<kernel_shape=[3,2], strides=[2,1], pads=[1,0,0,1]>(x)", "2,3,p,q"),
        ("y = MaxPool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(x)", "2,3,p,q"),
        ("y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", "2,3,p,q"),
        ("y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(x)", "2,3,p,q"),
        ("y = GlobalAveragePool(x)", "2,3,1,1"),
        ("y = GlobalMaxPool(x)", "2,3,1,1"),
        ("y = ReduceMean<keepdims=0>(x, axes)", "2,3"),
        ("y = ReduceMax<keepdims=0>(x, axes)", "2,3"),
        ("y = ReduceMin<keepdims=0>(x, axes)", "2,3"),
        ('y = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, , scales)', "2,3,p,q"),
        ('y = Resize<mode="linear">(x, , scales)', "2,3,p,q"),
        ('y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , scales)', "2,3,p,q"),
        ("y = Pad(x, pads)", "2,3,p,q"),
        ('y = Pad<mode="reflect">(x, pads)', "2,3,p,q"),
        ("a = Transpose<perm=[0,2,3,1]>(x) y = Reshape(a, target)", "2,c"),
        ("a, b = Split<axis=2, num_outputs=2>(x) y = Concat<axis=1>(b, a)", "2,6,p,q"),
        ("y = Slice(x, starts, ends, last, steps)", "2,3,p,q"),
        ("y = InstanceNormalization(x, gamma, gamma)", "2,3,6,8"),
        ("y = LRN<size=3, alpha=0.5>(x)", "2,3,6,8"),
        ("y = Softmax<axis=1>(x)", "2,3,6,8"),
        ("s = DepthToSpace<blocksize=2>(z) y = Relu(s)", "2,1,p,q"),
        ('y = Resize<mode="cubic", antialias=1>(x, , scales)', "2,3,p,q"),
        ("y = ReverseSequence<batch_axis=0, time_axis=1>(x, lengths)", "2,3,6,8"),
        ("c = Compress<axis=3>(x, some) y = Relu(c)", "2,3,6,4"),
    ],
)
def test_other_kernels(tmp_path: Path, body: str, out: str) -> None:
    body = body.replace("(z)", "(t)")
    if "(t)" in body:
        body = "t = Concat<axis=1>(x, x, x, x) " + body
        out = "2,3,p,q"
    text = f"g (float[2,3,6,8] x) => (float[{out}] y) {{ {body} }}"
    constants = {
        "axes": np.array([2, 3]),
        "lengths": np.array([2, 3]),
        "some": np.array([True, False, True, True, False, False, True]),
        "scales": np.array([1, 1, 2, 1.5], np.float32),
        "pads": np.array([0, 0, 1, 2, 0, 0, 3, 0]),
        "target": np.array([2, -1]),
        "starts": np.array([7]),
        "ends": np.array([-100]),
        "last": np.array([3]),
        "steps": np.array([-2]),
        "gamma": np.array([1, 2, -1], np.float32),
    }
    used = {k: v for k, v in constants.items() if k in body}
    kinds = {np.float32: "float", np.bool_: "bool"}
    declared = "".join(f", {kinds.get(v.dtype.type, 'int64')}[d] {k}" for k, v in used.items())
    text = text.replace(" x) =>", f" x{declared}) =>")
    feed = {"x": normal(2, 3, 6, 8) * 2}
    agree(quantized(text, feed, used), feed, tmp_path)


def test_attention_with_a_mask(tmp_path: Path) -> None:
    text = """g (float[b,h,l,d] q, float[b,h,d,s] k, float[b,h,s,d] v, bool[b,1,1,s] m) => (float[b,h,l,d] y)
      <float c = {0.35}, float zero = {0}, float low = {-10000}> {
        w = Where(m, zero, low) s = MatMul(q, k) t = Mul(s, c) u = Add(t, w) p = Softmax(u) o = MatMul(p, v) y = Neg(o) }"""
    feed = {
        "q": normal(2, 3, 7, 8),
        "k": normal(2, 3, 8, 9),
        "v": normal(2, 3, 9, 8),
        "m": np.random.default_rng(1).random((2, 1, 1, 9)) < 0.7,
    }
    context = PassContext(data=[feed])
    model = quantized(text, feed, {}, context=context)
    agree(model, feed, tmp_path, steps=2.01)
    assert any(n.op_type == "Attention" for n in compile(model, tmp_path / "a.qgp").graph)
    ranges = context.state.ranges
    assert {"s", "o", "y"} <= set(ranges) and not any("10000" in f"{r.low!r},{r.high!r}" for r in ranges.values())


def test_a_graph_that_would_overflow_is_refused(tmp_path: Path) -> None:
    from qgraph.errors import QGraphError

    text = "g (float[m,70000] x, float[k,n] w) => (float[m,2] y) { c = MatMul(x, w) y = Neg(c) }"
    feed = {"x": normal(1, 70000)}
    model = quantized(text, feed, {"w": np.ones((70000, 2), np.float32)}, "{activations=uint8}")
    with pytest.raises(QGraphError, match="overflow its 32-bit accumulator"):
        compile(model, tmp_path / "big.qgp")


def test_unknown_ops_are_refused_by_name(tmp_path: Path) -> None:
    from qgraph.errors import QGraphError

    model = quantized("g (float[2,3] x) => (float[2,3] y) { a = Relu(x) y = Bernoulli(a) }", {"x": normal(2, 3)}, {})
    with pytest.raises(QGraphError, match="Bernoulli node"):
        compile(model, tmp_path / "no.qgp")


def test_empty_batch(tmp_path: Path, digits: Path) -> None:
    session = Session(digits / "digits.qgp")
    (result,) = session.run({"input": np.zeros((0, 1, 8, 8), np.float32)}).values()
    assert result.shape == (0, 10)
