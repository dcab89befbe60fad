"""Files as ONNX Runtime's own quantizers write them: the whole way through qgraph keeps their scales and their outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from qgraph.capture import read
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.workflow import transform
from tests.capture.files import run, sqnr

RNG = np.random.default_rng(0)
IMAGES = [{"x": RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)} for _ in range(3)]
TOKENS = [{"x": RNG.normal(size=(2, 6, 16)).astype(np.float32)} for _ in range(3)]
CNN = """<ir_version: 8, opset_import: ["" : 13]> g (float[2,3,8,8] x) => (float[2,5] y)
<float[8,3,3,3] w1, float[8] b1, float[8,1,3,3] w2, float[8,8,1,1] w3, float[8,5] w4, float[5] b4> {
  c1 = Conv<pads=[1,1,1,1]>(x, w1, b1) r1 = Relu(c1) p1 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r1)
  c2 = Conv<pads=[1,1,1,1], group=8>(p1, w2) s2 = Sigmoid(c2) m2 = Mul(c2, s2) a2 = Add(m2, p1)
  c3 = Conv(a2, w3) k3 = Concat<axis=1>(c3, a2) g3 = GlobalAveragePool(c3) f3 = Flatten(g3) y = Gemm(f3, w4, b4) }"""
ATTENTION = """<ir_version: 8, opset_import: ["" : 17]> g (float[2,6,16] x) => (float[2,6,16] y)
<float[16,16] wq, float[16,16] wk, float[16,16] wv, float[16] g, float[16] b, float[16,16] wo,
 int64[4] split, int64[3] join, float s> {
  q0 = MatMul(x, wq) q1 = Reshape(q0, split) q = Transpose<perm=[0,2,1,3]>(q1)
  k0 = MatMul(x, wk) k1 = Reshape(k0, split) k = Transpose<perm=[0,2,3,1]>(k1)
  v0 = MatMul(x, wv) v1 = Reshape(v0, split) v = Transpose<perm=[0,2,1,3]>(v1)
  d = MatMul(q, k) e = Mul(d, s) p = Softmax<axis=-1>(e) c = MatMul(p, v) c1 = Transpose<perm=[0,2,1,3]>(c) c2 = Reshape(c1, join)
  o = MatMul(c2, wo) r = Add(o, x) y = LayerNormalization<axis=-1>(r, g, b) }"""
OTHERS = {"split": np.array((2, 6, 2, 8)), "join": np.array((2, 6, 16)), "s": np.array(0.35, np.float32)}


def float_file(path: Path, text: str) -> Path:
    """The model of ``text``; what it declares beside its inputs and outputs are random weights."""
    model = onnx.parser.parse_model(text)
    for value in [*model.graph.value_info]:
        shape = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        array = OTHERS.get(value.name, RNG.normal(0, 0.3, shape).astype(np.float32))
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        model.graph.value_info.remove(value)
    onnx.save(model, path)
    return path


class Reader(CalibrationDataReader):
    def __init__(self, batches: list[dict[str, np.ndarray]]) -> None:
        self.batches = iter(batches)

    def get_next(self) -> Any:
        return next(self.batches, None)


def ran(model: ir.Model, folder: Path, feed: dict[str, np.ndarray]) -> np.ndarray:
    io.save(model, folder / "ran.onnx")
    return run(folder / "ran.onnx", feed)


def scales(model: ir.Model) -> list[float]:
    """All scales of activations, sorted."""
    found = [n.inputs[1].const_value.numpy() for n in model.graph if n.op_type == "QuantizeLinear"]  # type: ignore[union-attr]
    return sorted(float(s) for s in found)


STATIC = [
    (text, form, channels, activations, weights)
    for text in (CNN, ATTENTION)
    for form in (QuantFormat.QDQ, QuantFormat.QOperator)
    for channels, activations, weights in (
        (False, QuantType.QUInt8, QuantType.QUInt8),
        (True, QuantType.QUInt8, QuantType.QInt8),
        (False, QuantType.QInt8, QuantType.QInt8),
    )
]


@pytest.mark.parametrize(("text", "form", "channels", "activations", "weights"), STATIC)
def test_static(tmp_path: Path, text: str, form: QuantFormat, channels: bool, activations: QuantType, weights: QuantType) -> None:
    """Read, canonical, with a preset and exported: the outputs of the file. Compiled: within two codes of them."""
    batches = IMAGES if text is CNN else TOKENS
    file = tmp_path / "quantized.onnx"
    options = {"quant_format": form, "per_channel": channels, "activation_type": activations, "weight_type": weights}
    quantize_static(float_file(tmp_path / "float.onnx", text), file, Reader(batches), **options)
    feed, model = batches[0], read(file)
    wanted = run(file, feed)
    np.testing.assert_array_equal(ran(model, tmp_path, feed), wanted)
    before = scales(model)
    for preset in ("int8", "int8-dynamic"):
        again = model.clone()
        transform(again, preset=preset, data=batches, force=True)
        assert set(scales(again)) <= set(before) or form == QuantFormat.QOperator  # its float parts may be quantized
        if form == QuantFormat.QDQ:
            np.testing.assert_array_equal(ran(again, tmp_path, feed), wanted)
    canonical = model.clone()
    transform(canonical, "canonicalize")
    np.testing.assert_array_equal(ran(canonical, tmp_path, feed), wanted)
    export(model, tmp_path / "exported.onnx")
    np.testing.assert_array_equal(run(tmp_path / "exported.onnx", feed, optimize=True), run(file, feed, optimize=True))
    compile(model, tmp_path / "m.qgp", sparse=False)
    (found,) = Session(tmp_path / "m.qgp", threads=1).run(feed).values()
    step = max(before[-1], np.ptp(wanted) / 255)
    assert np.abs(found - wanted).max() <= 2 * step


@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8])
@pytest.mark.parametrize("text", [CNN, ATTENTION])
def test_dynamic(tmp_path: Path, text: str, kind: QuantType) -> None:
    """The integer ops stay; a program, which has none of them, is refused with what to do."""
    feed = (IMAGES if text is CNN else TOKENS)[0]
    file = tmp_path / "dynamic.onnx"
    quantize_dynamic(
        float_file(tmp_path / "float.onnx", text), file, weight_type=kind, op_types_to_quantize=["MatMul", "Conv", "Gemm"]
    )
    model = read(file)
    np.testing.assert_allclose(ran(model, tmp_path, feed), run(file, feed), rtol=1e-5, atol=1e-6)
    export(model, tmp_path / "exported.onnx")
    np.testing.assert_allclose(
        run(tmp_path / "exported.onnx", feed, optimize=True), run(file, feed, optimize=True), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(QGraphError, match=r"measured in every run.*start from the float model"):
        compile(model, tmp_path / "m.qgp", sparse=False)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_packed_weights_keep_their_codes_through_the_preset(tmp_path: Path, bits: int, symmetric: bool) -> None:
    """The preset quantizes the activations only; ONNX Runtime and the program agree."""
    quantizer = MatMulNBitsQuantizer(
        onnx.load(float_file(tmp_path / "float.onnx", ATTENTION)),
        block_size=16,
        is_symmetric=symmetric,
        accuracy_level=1,
        bits=bits,
    )
    quantizer.process()
    quantizer.model.save_model_to_file(str(tmp_path / "packed.onnx"))
    feed, model = TOKENS[0], read(tmp_path / "packed.onnx")
    wanted = run(tmp_path / "packed.onnx", feed)
    np.testing.assert_allclose(ran(model, tmp_path, feed), wanted, rtol=1e-4, atol=1e-5)
    stored = {n: v.const_value for n, v in model.graph.initializers.items() if ".codes" in n}
    assert len(stored) == 4
    transform(model, preset="int8", data=TOKENS)
    assert all(model.graph.initializers[n].const_value.tobytes() == t.tobytes() for n, t in stored.items())  # type: ignore[union-attr]
    quantized = ran(model, tmp_path, feed)
    compile(model, tmp_path / "m.qgp", sparse=False)
    (found,) = Session(tmp_path / "m.qgp", threads=1).run(feed).values()
    for one in (quantized, found):
        assert sqnr(wanted, one) > 30
