"""Codes and scales of weights and biases against plain loops in NumPy, and what is restored from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import array, model_of

RNG = np.random.default_rng(0)
TOP = {"int8": 127, "int4": 7, "int2": 1}


def initializer(name: str, values: np.ndarray) -> str:
    shape, flat = ",".join(map(str, values.shape)), ", ".join(map(repr, values.astype(np.float32).reshape(-1).tolist()))
    return f"float[{shape}] {name} = {{{flat}}}"


def quantized(text: str, feed: dict[str, np.ndarray], options: str) -> ir.Model:
    model = model_of(text)
    Pipeline(f"calibrate,quantize{{{options}}}").run(model, PassContext(data=[feed]))
    return model


def restored(model: ir.Model, name: str) -> np.ndarray:
    """What ONNX says DequantizeLinear makes of the codes of a weight, float64."""
    (node,) = [n for n in model.graph if n.op_type == "DequantizeLinear" and n.inputs[0].name == f"{name}.codes"]  # type: ignore[union-attr]
    codes, scale = array(node.inputs[0]).astype(float), array(node.inputs[1]).astype(float)
    axis, block = (node.attributes[k].as_int() if k in node.attributes else 0 for k in ("axis", "block_size"))
    found = np.empty_like(codes)
    for place in np.ndindex(codes.shape):
        if block:
            at = tuple(i // block if a == axis else i for a, i in enumerate(place))
        else:
            at = (place[axis],) if scale.ndim else ()
        found[place] = codes[place] * scale[at]
    return found


CASES = {  # the op, the shapes of its input and weight, the axis of the output channels
    "matmul": ("MatMul(x, w)", (4, 6), (6, 5), 1),
    "gemm": ("Gemm(x, w)", (4, 6), (6, 5), 1),
    "gemm transposed": ("Gemm<transB=1>(x, w)", (4, 6), (5, 6), 0),
    "conv": ("Conv(x, w)", (1, 3, 5, 5), (4, 3, 2, 2), 0),
    "depthwise": ("Conv<group=3>(x, w)", (1, 3, 5, 5), (3, 1, 2, 2), 0),
    "transposed": ("ConvTranspose(x, w)", (1, 3, 5, 5), (3, 4, 2, 2), 1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", TOP)
def test_one_scale_an_output_channel(case: str, kind: str) -> None:
    call, x_shape, w_shape, axis = CASES[case]
    w = (RNG.standard_normal(w_shape) * 10.0 ** RNG.integers(-3, 3, w_shape)).astype(np.float32)
    rank = ",".join("abcd"[i] for i in range(len(x_shape)))
    text = f"g (float[{','.join(map(str, x_shape))}] x) => (float[{rank}] y) <{initializer('w', w)}> {{ y = {call} }}"
    x = RNG.standard_normal(x_shape).astype(np.float32)
    model = quantized(text, {"x": x}, f"weights={kind} activations=uint8")
    codes, scales = (array(model.graph.initializers[n]) for n in ("w.codes", "w_scale"))
    assert codes.dtype.name == kind and codes.shape == w.shape
    for channel in range(w_shape[axis]):
        part = np.take(w, channel, axis).astype(float)
        scale = np.float32(max(abs(v) for v in part.flat) / TOP[kind])
        assert scales[channel] == scale
        np.testing.assert_array_equal(np.take(codes, channel, axis).astype(float), np.rint(part.astype(np.float32) / scale))
    assert np.abs(codes.astype(int)).max() == TOP[kind]  # symmetric: the least code is never used
    error = np.abs(restored(model, "w") - w)
    assert (error <= scales.reshape([-1 if i == axis else 1 for i in range(w.ndim)]) * 0.5001).all()


def test_transposed_convolutions_with_groups_share_one_scale() -> None:
    w = RNG.standard_normal((4, 3, 2, 2)).astype(np.float32)
    text = f"g (float[1,4,3,3] x) => (float[a,b,c,d] y) <{initializer('w', w)}> {{ y = ConvTranspose<group=2>(x, w) }}"
    model = quantized(text, {"x": RNG.standard_normal((1, 4, 3, 3)).astype(np.float32)}, "activations=uint8")
    assert array(model.graph.initializers["w_scale"]) == np.float32(np.abs(w).max() / np.float64(127))


@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize(("call", "shape", "axis"), [("MatMul(x, w)", (10, 3), 0), ("Gemm<transB=1>(x, w)", (3, 10), 1)])
def test_blocks_of_the_input_axis_have_scales_of_their_own(kind: str, call: str, shape: tuple[int, int], axis: int) -> None:
    w = (
        RNG.standard_normal(shape) * np.where(np.arange(10) < 5, 1, 20).reshape([-1 if a == axis else 1 for a in (0, 1)])
    ).astype(np.float32)
    text = f"g (float[4,10] x) => (float[4,3] y) <{initializer('w', w)}> {{ y = {call} }}"
    x = RNG.standard_normal((4, 10)).astype(np.float32)
    model = quantized(text, {"x": x}, f"weights={kind} weight-block=4 activations=tokens placement=linear")
    scales = np.moveaxis(array(model.graph.initializers["w_scale"]), axis, 0)
    rows = np.moveaxis(w, axis, 0)
    assert scales.shape == (3, 3)  # 4 + 4 + 2 inputs, 3 outputs
    for block, start in enumerate((0, 4, 8)):
        for channel in range(3):
            assert scales[block, channel] == np.float32(max(abs(float(v)) for v in rows[start : start + 4, channel]) / TOP[kind])
    assert np.abs(restored(model, "w") - w).max() <= scales.max() * 0.5001


def test_a_block_as_long_as_the_axis_is_a_channel() -> None:
    w = RNG.standard_normal((8, 3)).astype(np.float32)
    text = f"g (float[4,8] x) => (float[4,3] y) <{initializer('w', w)}> {{ y = MatMul(x, w) }}"
    model = quantized(text, {"x": np.ones((4, 8), np.float32)}, "weight-block=8 activations=uint8")
    assert array(model.graph.initializers["w_scale"]).shape == (3,)


def test_onnx_runtime_restores_the_same_weights() -> None:
    w = RNG.standard_normal((8, 3)).astype(np.float32)
    text = f"g (float[8,8] x) => (float[8,3] y) <{initializer('w', w)}> {{ y = MatMul(x, w) }}"
    eye = np.eye(8, dtype=np.float32)
    for options in ("weights=int8", "weights=int4", "weights=int4 weight-block=2", "weights=int2"):
        model = quantized(text, {"x": eye * 255}, f"{options} activations=uint8")  # a scale of 1, so that eye is exact
        np.testing.assert_allclose(run_onnx(model, {"x": eye})[0], restored(model, "w"), rtol=1e-6, err_msg=options)


def test_a_shared_weight_is_quantized_once() -> None:
    w = RNG.standard_normal((3, 3)).astype(np.float32)
    text = f"""g (float[2,3] x) => (float[2,3] y) <{initializer("w", w)}> {{
        a = MatMul(x, w) b = Relu(a) c = MatMul(b, w) y = Add(c, x) }}"""
    model = quantized(text, {"x": RNG.standard_normal((2, 3)).astype(np.float32)}, "activations=uint8")
    products = [n for n in model.graph if n.op_type == "MatMul"]
    assert products[0].inputs[1] is products[1].inputs[1]
    assert [n for n in model.graph.initializers if n.endswith(".codes")] == ["w.codes"]


def test_a_weight_read_along_both_axes_has_scales_for_each() -> None:
    w = RNG.standard_normal((3, 3)).astype(np.float32)
    text = f"""g (float[2,3] x) => (float[2,3] y) <{initializer("w", w)}> {{ a = MatMul(x, w) y = Gemm<transB=1>(a, w) }}"""
    model = quantized(text, {"x": RNG.standard_normal((2, 3)).astype(np.float32)}, "activations=uint8")
    sources = [n.inputs[1].producer() for n in model.graph if n.op_type in ("MatMul", "Gemm")]  # type: ignore[union-attr]
    assert [n.attributes["axis"].as_int() for n in sources if n is not None] == [1, 0]
    scales = [array(n.inputs[1]) for n in sources if n is not None]
    np.testing.assert_array_equal(scales[0], (np.abs(w).max(0) / np.float64(127)).astype(np.float32))
    np.testing.assert_array_equal(scales[1], (np.abs(w).max(1) / np.float64(127)).astype(np.float32))


def biased(w: np.ndarray, b: np.ndarray, x: np.ndarray) -> tuple[ir.Model, np.ndarray, np.ndarray]:
    """The quantized model, codes of its bias, and the values that these stand for."""
    text = f"""g (float[n,{w.shape[0]}] x) => (float[n,{w.shape[1]}] y) <{initializer("w", w)}, {initializer("b", b)}> {{
        y = Gemm(x, w, b) }}"""
    model = quantized(text, {"x": x}, "activations=uint8")
    codes, scale = (array(model.graph.initializers[n]) for n in ("b.codes", "b_scale"))
    product = array(model.graph.initializers["x_scale"]).astype(float) * array(model.graph.initializers["w_scale"])
    np.testing.assert_array_equal(scale, product.astype(np.float32))  # that of the accumulator
    return model, codes, codes.astype(float) * scale


def test_biases_are_int32_at_the_scale_of_the_accumulator() -> None:
    b = np.array([0.3, -2, 1000, 0, 7], np.float32)
    _, codes, values = biased(RNG.standard_normal((6, 5)), b, RNG.standard_normal((4, 6)).astype(np.float32))
    assert codes.dtype == np.int32
    np.testing.assert_allclose(values, b, rtol=1e-6, atol=1e-3)


def test_a_channel_of_zeros_keeps_its_bias() -> None:
    w = np.array([[1, 0, 0], [2, 0, 0]], np.float32)
    x = RNG.uniform(-1, 1, (4, 2)).astype(np.float32)
    model, _, values = biased(w, np.array([1, 0.4, 0], np.float32), x)
    np.testing.assert_allclose(values, [1, 0.4, 0], rtol=1e-4, atol=1e-6)
    assert array(model.graph.initializers["w_scale"])[2] == 1  # nothing to carry
    assert not array(model.graph.initializers["w.codes"])[:, 1:].any()
    np.testing.assert_allclose(run_onnx(model, {"x": x})[0][:, 1:], [[0.4, 0]] * 4, rtol=1e-4, atol=1e-6)


def test_a_channel_whose_scale_is_one_is_not_taken_for_one_of_zeros() -> None:
    w = np.array([[127, 1], [-64, 0]], np.float32)
    x = np.array([[-1, 1], [127, 2], [-128, 0]], np.float32)  # a scale of 1 too, so that nothing is rounded
    model, _, values = biased(w, np.array([1, 127], np.float32), x)
    np.testing.assert_array_equal(array(model.graph.initializers["w_scale"])[0], 1)
    np.testing.assert_allclose(values, [1, 127], rtol=1e-6)
    np.testing.assert_allclose(run_onnx(model, {"x": x})[0], x @ w + [1, 127], rtol=1e-6)


def test_a_bias_beyond_int32_raises_the_scale_of_its_channel() -> None:
    w = np.array([[1, 1e-9], [-1, 2e-9]], np.float32)
    x = RNG.uniform(-1, 1, (4, 2)).astype(np.float32)
    _, codes, values = biased(w, np.array([1, 1000], np.float32), x)
    assert abs(int(codes[1])) < 2**31 - 1
    np.testing.assert_allclose(values, [1, 1000], rtol=1e-4)


TABLE = RNG.standard_normal((5, 4)).astype(np.float32) * np.array([1, 10, 0.1, 3], np.float32)
LOOKUP = f"g (int64[2,3] ids) => (float[2,3,4] y) <{initializer('table', TABLE)}> {{ y = Gather(table, ids) }}"
IDS = np.array([[0, 1, 2], [4, 3, 0]], np.int64)


@pytest.mark.parametrize(("kind", "stored"), [("int8", "int8"), ("int4", "int4"), ("int2", "int8")])
def test_embeddings_have_a_scale_a_column(kind: str, stored: str) -> None:
    model = quantized(LOOKUP, {"ids": IDS}, f"weights={kind}")
    codes, scale = (array(model.graph.initializers[n]) for n in ("table.codes", "table_scale"))
    np.testing.assert_array_equal(scale, (np.abs(TABLE).max(0) / np.float64(TOP[stored])).astype(np.float32))
    assert codes.dtype.name == stored
    wanted = (np.rint(TABLE / scale).astype(np.float32) * scale)[IDS]
    found = run_onnx(model, {"ids": IDS})[0]
    order = [n.op_type for n in model.graph if n.op_type in ("Gather", "DequantizeLinear")][:2]
    assert order == (["DequantizeLinear", "Gather"] if stored == "int4" else ["Gather", "DequantizeLinear"])
    np.testing.assert_allclose(found, wanted, atol=np.abs(TABLE).max() / 255)  # what is looked up may be quantized once more


def test_latent_weights_stay_float_and_bake_makes_the_same_codes() -> None:
    w, b = RNG.standard_normal((6, 5)), np.arange(5, dtype=np.float32)
    text = f"g (float[n,6] x) => (float[n,5] y) <{initializer('w', w)}, {initializer('b', b)}> {{ y = Gemm(x, w, b) }}"
    x = RNG.standard_normal((4, 6)).astype(np.float32)
    latent, stored = (quantized(text, {"x": x}, f"weights=int4 activations=uint8 latent={v}") for v in ("true", "false"))
    np.testing.assert_array_equal(array(latent.graph.initializers["w"]), w.astype(np.float32))
    assert "w.codes" not in latent.graph.initializers and "b" in latent.graph.initializers
    Pipeline("bake").run(latent)
    for name in ("w.codes", "w_scale", "b.codes", "b_scale"):
        np.testing.assert_array_equal(array(latent.graph.initializers[name]), array(stored.graph.initializers[name]))


def test_the_report_counts_bytes() -> None:
    w = RNG.standard_normal((16, 8))
    text = f"g (float[n,16] x) => (float[n,8] y) <{initializer('w', w)}> {{ y = MatMul(x, w) }}"
    for kind, bytes_saved in (("int8", 128 * 3), ("int4", 128 * 3.5), ("int2", 128 * 3.75)):
        model = model_of(text)
        reports = Pipeline(f"calibrate,quantize{{weights={kind}}}").run(
            model, PassContext(data=[{"x": np.ones((1, 16), np.float32)}])
        )
        assert reports[-1].counts["weight bytes saved"] == bytes_saved
        assert reports[-1].counts["weights quantized"] == 1


@pytest.mark.parametrize("shape", [(), (1,), (5,), (1, 5), (4, 1), (4, 5)])
@pytest.mark.parametrize("options", ["", "weights=int4 weight-block=2"])
def test_every_c_of_gemm_is_added(shape: tuple[int, ...], options: str) -> None:
    w, c, x = (RNG.standard_normal(dims).astype(np.float32) for dims in ((6, 5), shape, (4, 6)))
    c = np.asarray(c * 20, np.float32)
    text = f"g (float[4,6] x) => (float[4,5] y) <{initializer('w', w)}, {initializer('c', c)}> {{ y = Gemm(x, w, c) }}"
    got = run_onnx(quantized(text.replace("float[]", "float"), {"x": x}, options), {"x": x})[0]
    assert np.abs(got - (x @ w + c)).max() < 0.02 * np.abs(x @ w + c).max() + (0.5 if options else 0)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("channel", [0.0, 1e-9, 1e-38])
@pytest.mark.parametrize("biases", [(None, [0, 5, 1]), ([0, 1e-6, 1], [0, 9, 1]), ([0, 0, 1], [-3, -8, 1])])
def test_a_shared_weight_carries_the_biases_of_all_readers(
    order: int, channel: float, biases: tuple[list[float] | None, list[float]]
) -> None:
    w = RNG.standard_normal((3, 2, 1, 1)).astype(np.float32)
    w[1] = channel
    held = [initializer("w", w)] + [initializer(f"b{i}", np.array(b)) for i, b in enumerate(biases) if b is not None]
    calls = [f"y{i} = Conv(x{i}, w{f', b{i}' if b is not None else ''})" for i, b in enumerate(biases)]
    text = (
        "g (float[1,2,4,4] x0, float[1,2,4,4] x1) => (float[1,3,4,4] y0, float[1,3,4,4] y1) "
        f"<{', '.join(held)}> {{ {' '.join(calls[::-1] if order else calls)} }}"
    )
    feed = {f"x{i}": (RNG.standard_normal((1, 2, 4, 4)) * 50**i).astype(np.float32) for i in (0, 1)}
    model = quantized(text, feed, "")
    for i, got in enumerate(run_onnx(model, feed)):
        want = np.einsum("oihw,bihw->bohw", w[..., :1, :1].repeat(4, 2).repeat(4, 3), feed[f"x{i}"])
        want += np.reshape(biases[i] or [0, 0, 0], (1, 3, 1, 1))
        for c in range(3):
            assert np.abs(got[:, c] - want[:, c]).max() <= 0.02 * np.abs(want).max()


def test_a_bias_behind_a_matmul_is_carried_by_a_tiny_column(tmp_path: Path) -> None:
    w = RNG.standard_normal((6, 4)).astype(np.float32)
    w[:, 2] = 1e-9
    b = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    text = (
        f"g (float[4,6] x) => (float[4,4] y) <{initializer('w', w)}, {initializer('b', b)}> {{ p = MatMul(x, w) y = Add(p, b) }}"
    )
    x = RNG.standard_normal((4, 6)).astype(np.float32)
    compile(quantized(text, {"x": x}, "activations=uint8"), tmp_path / "m.qgp")
    assert np.abs(Session(tmp_path / "m.qgp").run({"x": x})["y"] - (x @ w + b)).max() < 0.1
