"""Each quantized op of another tool gives the codes that ONNX Runtime gives for the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from qgraph.capture import from_onnx, read
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.ir.dialects import dialect_of, verify
from tests.capture.files import run, sqnr

RNG = np.random.default_rng(0)
U8, I8, F32 = np.uint8, np.int8, np.float32


def codes(shape: tuple[int, ...], dtype: type = U8) -> np.ndarray:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max + 1, shape).astype(dtype)


TENSORS = {
    "sx": F32(0.0213), "zx": U8(120), "sa": F32(0.0507), "za": U8(3), "sy": F32(0.0619), "zy": U8(110),
    "sp": F32(1 / 256), "zp": U8(0),
    "w": codes((6, 4, 3, 3), I8), "sw": F32(0.01), "zw": I8(0), "zws": np.zeros(6, I8),
    "sws": RNG.uniform(0.005, 0.02, 6).astype(F32),
    "wu": codes((6, 4, 3, 3)), "zwu": U8(101), "b": RNG.integers(-9000, 9000, 6).astype(np.int32),
    "m": codes((8, 5), I8), "sm": F32(0.01), "zm": I8(0), "sms": RNG.uniform(0.005, 0.02, 5).astype(F32), "zms": np.zeros(5, I8),
    "mu": codes((8, 5)), "zmu": U8(90), "mt": codes((5, 8), I8), "c": RNG.integers(-9000, 9000, 5).astype(np.int32),
    "d": codes((2, 4, 6, 6)), "shape": np.array((2, 4, 36), np.int64), "axes": np.array((2,), np.int64),
    "pads": np.array((0, 0, 1, 1, 0, 0, 1, 1), np.int64), "fill": U8(7), "cond": RNG.random((2, 4, 6, 6)) > 0.5,
    "fb": RNG.normal(size=5).astype(F32), "sizes": np.array((2, 4, 12, 12), np.int64),
}  # fmt: skip
X4, X2, X3, X = "uint8[2,4,6,6] x", "uint8[3,8] x", "uint8[2,3,8] x", "float[2,3,8] x"
EXACT = [
    ("conv", X4, "y = QLinearConv<pads=[1,1,1,1]>(x, sx, zx, w, sw, zw, sy, zy, b)"),
    ("conv, a scale a channel", X4, "y = QLinearConv<strides=[2,2]>(x, sx, zx, w, sws, zws, sy, zy, b)"),
    ("conv, asymmetric weight", X4, "y = QLinearConv(x, sx, zx, wu, sw, zwu, sy, zy)"),
    ("matmul", X3, "y = QLinearMatMul(x, sx, zx, m, sm, zm, sy, zy)"),
    ("matmul, a scale a column", X2, "y = QLinearMatMul(x, sx, zx, m, sms, zms, sy, zy)"),
    ("matmul, asymmetric", X2, "y = QLinearMatMul(x, sx, zx, mu, sm, zmu, sy, zy)"),
    ("gemm", X2, "y = com.microsoft.QGemm<alpha=0.5, transB=1>(x, sx, zx, mt, sm, zm, c, sy, zy)"),
    ("gemm, a scale a column", X2, "y = com.microsoft.QGemm(x, sx, zx, m, sms, zms, c, sy, zy)"),
    ("add", X4, "y = com.microsoft.QLinearAdd(x, sx, zx, d, sa, za, sy, zy)"),
    ("mul", X4, "y = com.microsoft.QLinearMul(x, sx, zx, d, sa, za, sy, zy)"),
    ("sigmoid", X4, "y = com.microsoft.QLinearSigmoid(x, sx, zx, sp, zp)"),
    ("leaky relu", X4, "y = com.microsoft.QLinearLeakyRelu<alpha=0.2>(x, sx, zx, sy, zy)"),
    ("average pool", X4, "y = com.microsoft.QLinearAveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x, sx, zx, sa, zx)"),
    ("global pool", X4, "y = com.microsoft.QLinearGlobalAveragePool(x, sx, zx, sx, zx)"),
    ("global pool, channels last", X4, "y = com.microsoft.QLinearGlobalAveragePool<channels_last=1>(x, sx, zx, sx, zx)"),
    ("concat", X4, "y = com.microsoft.QLinearConcat<axis=1>(sy, zy, x, sx, zx, d, sa, za)"),
    ("softmax", X2, "y = com.microsoft.QLinearSoftmax<axis=-1, opset=13>(x, sx, zx, sp, zp)"),
    ("softmax of opset 11", X4, "y = com.microsoft.QLinearSoftmax<axis=1, opset=11>(x, sx, zx, sp, zp)"),
    ("softmax of opset 11, two axes", X4, "y = com.microsoft.QLinearSoftmax<axis=2, opset=11>(x, sx, zx, sp, zp)"),
    ("softmax of opset 12, last axis", X2, "y = com.microsoft.QLinearSoftmax<axis=1, opset=12>(x, sx, zx, sp, zp)"),
    ("where", X4, "y = com.microsoft.QLinearWhere(cond, x, sx, zx, d, sa, za, sy, zy)"),
    ("moved codes", X4, "a = com.microsoft.QLinearAdd(x, sx, zx, d, sa, za, sy, zy) p = MaxPool<kernel_shape=[2,2]>(a) "
     "t = Transpose<perm=[0,2,3,1]>(p) y = com.microsoft.QLinearLeakyRelu<alpha=0.2>(t, sy, zy, sy, zy)"),
    ("a filled pad", X4, "a = com.microsoft.QLinearAdd(x, sx, zx, d, sa, za, sy, zy) p = Pad(a, pads, fill) "
     "y = com.microsoft.QLinearLeakyRelu<alpha=0.2>(p, sy, zy, sy, zy)"),
    ("a Pad of code 0", X4, "a = com.microsoft.QLinearAdd(x, sx, zx, d, sa, za, sy, zy) y = Pad(a, pads)"),
    ("nearest resize", X4, 'a = com.microsoft.QLinearAdd(x, sx, zx, d, sa, za, sy, zy) y = Resize<mode="nearest">(a, , , sizes)'),
    ("codes that only their reader explains", X4, "r = Reshape(x, shape) y = com.microsoft.QLinearSigmoid(r, sx, zx, sp, zp)"),
    ("two readers", X4, "a = com.microsoft.QLinearSigmoid(x, sx, zx, sp, zp) "
     "b_ = com.microsoft.QLinearMul(a, sp, zp, x, sx, zx, sy, zy) y = com.microsoft.QLinearAdd(a, sp, zp, b_, sy, zy, sy, zy)"),
]  # fmt: skip
DYNAMIC = "q, s, z = DynamicQuantizeLinear(x) "
FLOATS = [
    ("own Q and DQ", X, "q = com.microsoft.QuantizeLinear(x, sx, zx) y = com.microsoft.DequantizeLinear(q, sx, zx)"),
    ("own DQ, a scale a channel", X, "q = com.microsoft.DequantizeLinear<axis=1>(m, sms, zms) y = MatMul(x, q)"),
    ("dynamic matmul", X, "y = com.microsoft.DynamicQuantizeMatMul(x, m, sm, zm, fb)"),
    ("dynamic matmul, a scale a column", X, "y = com.microsoft.DynamicQuantizeMatMul(x, m, sms, zms)"),
    ("to float", X, DYNAMIC + "y = com.microsoft.MatMulIntegerToFloat(q, m, s, sm, z, zm, fb)"),
    ("gemm to float", "float[3,8] x", "q = QuantizeLinear(x, sx, zx) y = com.microsoft.QGemm(q, sx, zx, m, sm, zm)"),
    ("integer product", "float[3,8] x", DYNAMIC + "i = MatMulInteger(q, m, z, zm) f = Cast<to=1>(i) y = Mul(f, s)"),
    ("integer conv", "float[1,4,6,6] x", DYNAMIC + "i = ConvInteger(q, w, z, zw) f = Cast<to=1>(i) y = Mul(f, s)"),
]  # fmt: skip


def file_of(path: Path, inputs: str, body: str, *, version: int = 13, output: str = "", **others: np.ndarray) -> Path:
    output = output or ("float" if "float" in inputs else "uint8")
    head = f'<ir_version: 8, opset_import: ["" : {version}, "com.microsoft" : 1]>'
    model = onnx.parser.parse_model(f"{head} g ({inputs}) => ({output} y) {{ {body} }}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    words = set(body.replace("(", " ").replace(")", " ").replace(",", " ").split())
    tensors = {**TENSORS, **others}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in tensors.items() if n in words)
    onnx.save(model, path)
    return path


def fed(inputs: str) -> dict[str, np.ndarray]:
    kind, dims = inputs.split("[")
    shape = tuple(int(d) for d in dims.split("]")[0].split(","))
    return {"x": codes(shape) if kind == "uint8" else RNG.normal(size=shape).astype(F32)}


def both(file: Path, feed: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What ONNX Runtime computes for the file, and for what is read from it."""
    model = from_onnx(file)
    assert dialect_of(model) == "quantized"
    verify(model, "quantized")
    made = file.with_name("read.onnx")
    io.save(model, made)
    return run(file, feed), run(made, feed)


@pytest.mark.parametrize(("name", "inputs", "body"), EXACT, ids=[e[0] for e in EXACT])
def test_codes_are_those_of_the_file(tmp_path: Path, name: str, inputs: str, body: str) -> None:
    file = file_of(tmp_path / "m.onnx", inputs, body)
    wanted, found = both(file, fed(inputs))
    assert wanted.dtype == found.dtype and wanted.shape == found.shape and len(np.unique(wanted)) > 4
    distance = np.abs(wanted.astype(int) - found.astype(int))
    assert distance.max() <= 1 and (distance > 0).mean() <= 0.02, (
        distance.max(),
        (distance > 0).mean(),
    )  # float steps of ONNX Runtime's own


@pytest.mark.parametrize(("name", "inputs", "body"), FLOATS, ids=[e[0] for e in FLOATS])
def test_numbers_are_those_of_the_file(tmp_path: Path, name: str, inputs: str, body: str) -> None:
    file = file_of(tmp_path / "m.onnx", inputs, body)
    wanted, found = both(file, fed(inputs))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def packed(values: np.ndarray, bits: int) -> np.ndarray:
    """Codes [..., n] as bytes, low bits first."""
    each = 8 // bits
    grouped = values.reshape(*values.shape[:-1], -1, each).astype(np.uint16) << (np.arange(each) * bits).astype(np.uint16)
    return grouped.sum(-1).astype(U8)


@pytest.mark.parametrize("signs", ["positive", "both"])
@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_packed_weights(tmp_path: Path, bits: int, points: bool, signs: str) -> None:
    """MatMulNBits of 48 inputs in blocks of 32: the last block is half full."""
    k, n, block, blocks = 48, 8, 32, 2
    given = RNG.integers(0, 1 << bits, (n, blocks * block))
    scales = RNG.uniform(0.01, 0.05, n * blocks).astype(F32)
    if signs == "both":
        scales *= RNG.choice((-1, 1), n * blocks).astype(F32)
    zeros = RNG.integers(0, 1 << bits, (n, blocks))
    tensors = {
        "B": packed(given, bits).reshape(n, blocks, -1),
        "S": scales,
        "Z": packed(zeros, bits).reshape(-1),
        "bias": codes((n,)).astype(F32),
    }
    attributes = f"K={k}, N={n}, bits={bits}, block_size={block}, accuracy_level=1"
    body = f"y = com.microsoft.MatMulNBits<{attributes}>(x, B, S, {'Z' if points else ''}, , bias)"
    file = file_of(tmp_path / "m.onnx", f"float[2,3,{k}] x", body, **tensors)
    feed = {"x": RNG.normal(size=(2, 3, k)).astype(F32)}
    wanted, found = both(file, feed)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("points", [True, False])
def test_packed_table(tmp_path: Path, points: bool) -> None:
    import ml_dtypes

    table = RNG.integers(0, 16, (10, 32)).astype(ml_dtypes.uint4)
    zeros = RNG.integers(0, 16, (10, 2)).astype(ml_dtypes.uint4)
    inputs = "table, x, S, Z" if points else "table, x, S"
    body = f"y = com.microsoft.GatherBlockQuantized<block_size=16, quantize_axis=1, gather_axis=0>({inputs})"
    tensors = {"table": table, "S": RNG.uniform(-0.1, 0.1, (10, 2)).astype(F32), "Z": zeros}
    file = file_of(tmp_path / "m.onnx", "int64[3] x", body, version=21, output="float", **tensors)
    wanted, found = both(file, {"x": np.array((1, 9, 1))})
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("per", ["tensor", "row"])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_weights_stay_codes(tmp_path: Path, directions: int, per: str) -> None:
    """ONNX Runtime quantizes the activations too, so the outputs agree within their quantization."""
    hidden, inputs = 6, 5
    scales = (directions,) if per == "tensor" else (directions, 4 * hidden)
    tensors = {
        "W": codes((directions, inputs, 4 * hidden), I8), "R": codes((directions, hidden, 4 * hidden), I8),
        "B": RNG.normal(size=(directions, 8 * hidden)).astype(F32) * F32(0.1),
        "Ws": RNG.uniform(0.003, 0.006, scales).astype(F32), "Wz": np.zeros(scales, I8),
        "Rs": RNG.uniform(0.003, 0.006, scales).astype(F32), "Rz": np.zeros(scales, I8),
    }  # fmt: skip
    way = "bidirectional" if directions == 2 else "forward"
    body = (
        f'y, h = com.microsoft.DynamicQuantizeLSTM<hidden_size={hidden}, direction="{way}">(x, W, R, B, , , , , Ws, Wz, Rs, Rz)'
    )
    file = file_of(tmp_path / "m.onnx", f"float[7,2,{inputs}] x", body, **tensors)
    feed = {"x": RNG.normal(size=(7, 2, inputs)).astype(F32)}
    wanted, found = both(file, feed)
    assert sqnr(wanted, found) > 30
    stored = {v.const_value.dtype.name for v in read(file).graph.initializers.values() if v.const_value.size > 100}  # type: ignore[union-attr]
    assert stored == {"INT8"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("y = com.microsoft.QAttention<num_heads=2>(q, m, fb, sx, sm, , zx, zm)", "QAttention node 'y' holds several layers"),
        ("y = com.microsoft.MatMulNBits<K=8, N=5, bits=4, block_size=16>(x, mt, sms, sms)", "integer zero points"),
    ],
)
def test_what_has_no_form_is_refused_by_name(tmp_path: Path, body: str, said: str) -> None:
    file = file_of(tmp_path / "m.onnx", "float[2,3,8] x", f"q = QuantizeLinear(x, sx, zx) {body}")
    with pytest.raises(QGraphError, match=said):
        read(file)
