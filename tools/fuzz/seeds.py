"""What is mutated: small models of every kind, as ONNX files in bytes, and programs compiled of those that can be."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import onnx_ir as ir
from onnx.backend.test.case.node import collect_testcases

from qgraph.analyze.inputs import made_inputs
from qgraph.capture import read
from qgraph.deploy.program import compile
from qgraph.errors import QGraphError
from qgraph.workflow import transform

LARGEST = 20_000
"""Bytes of a file of ONNX's own tests that is taken."""


def _weights(name: str, *dims: int) -> str:
    """A float initializer in ONNX's text form."""
    values = ", ".join(f"{(i * 7 % 13) / 9 - 0.65:.3f}" for i in range(math.prod(dims)))
    return f"float[{', '.join(map(str, dims))}] {name} = {{{values}}}"


LAYER = f"<{_weights('w', 4, 6)}, float[4] b = {{1, 2, 3, 4}}>"
KERNEL = f"<{_weights('k', 4, 3, 3, 3)}, float[4] s = {{1, 2, 1, 1}}, float[4] v = {{1, 1, 2, 1}}, {_weights('w', 6, 4)}>"
TEXTS = {
    "mlp": f"""<ir_version: 10, opset_import: ["" : 21]> g (float[n, 6] x) => (float[n, 4] y) {LAYER}
        {{ h = Gemm<transB=1>(x, w, b) y = Relu(h) }}""",
    "old mlp": f"""<ir_version: 7, opset_import: ["" : 9]> g (float[2, 6] x) => (float[2, 4] y) {LAYER}
        {{ t = Transpose<perm=[1, 0]>(w)
        m = MatMul(x, t) h = Add(m, b) c = Clip<min=0.0, max=6.0>(h) y = Softmax<axis=1>(c) }}""",
    "cnn": f"""<ir_version: 10, opset_import: ["" : 21]> g (float[n, 3, 8, 8] x) => (float[n, 6] y) {KERNEL}
        {{ c = Conv<pads=[1, 1, 1, 1]>(x, k) m = BatchNormalization(c, s, s, s, v) r = Relu(m)
        p = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(r) a = AveragePool<kernel_shape=[2, 2]>(p) z = Sigmoid(a)
        q = Mul(a, z) g1 = GlobalAveragePool(q) f = Flatten(g1) y = Gemm<transB=1>(f, w) }}""",
    "attention": f"""<ir_version: 10, opset_import: ["" : 21]> g (int64[n, t] ids) => (float[n, t, 4] y)
        <{_weights("table", 9, 4)}, {_weights("w", 4, 4)}, float[4] s = {{1, 1, 1, 1}}, float half = {{0.5}}>
        {{ x = Gather(table, ids) q = MatMul(x, w) k = MatMul(x, w) kt = Transpose<perm=[0, 2, 1]>(k) d = MatMul(q, kt)
        e = Mul(d, half) a = Softmax(e) o = MatMul(a, x) r = Add(o, x) y = LayerNormalization(r, s, s) }}""",
    "shapes": """<ir_version: 10, opset_import: ["" : 21]> g (float[n, 4, 6] x) => (float[n, 2, 12] y, int64[3] z)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[2] rest = {2, 12}, int64[2] half = {3, 3}>
        { z = Shape(x) b = Gather(z, zero) s = Concat<axis=0>(b, rest) r = Reshape(x, s) p, q = Split<axis=2>(x, half)
        u = Unsqueeze(p, one) v = Squeeze(u, one) t = Concat<axis=2>(v, q) w = Reshape(t, s) y = Add(r, w) }""",
    "resize": """<ir_version: 8, opset_import: ["" : 13]> g (float[1, 2, 4, 4] x) => (float[1, 2, 8, 8] y)
        <float[4] scales = {1, 1, 2, 2}, int64[8] around = {0, 0, 1, 1, 0, 0, 1, 1}, float zero = {0}>
        { p = Pad(x, around, zero) m = MaxPool<kernel_shape=[3, 3]>(p) y = Resize<mode="nearest">(m, , scales) }""",
    "lstm": f"""<ir_version: 10, opset_import: ["" : 21]> g (float[5, 1, 2] x) => (float[5, 1, 1, 3] y)
        <{_weights("w", 1, 12, 2)}, {_weights("r", 1, 12, 3)}> {{ y, h, c = LSTM<hidden_size=3>(x, w, r) }}""",
    "if": """<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) <float zero = {0}>
        { s = ReduceSum<keepdims=0>(x) c = Greater(s, zero)
        y = If(c) <then_branch = a () => (float[2] p) { p = Relu(x) }, else_branch = b () => (float[2] q) { q = Neg(x) }> }""",
    "loop": """<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) <int64 count = {3}, bool yes = {1}>
        { y = Loop(count, yes, x) <body = b (int64 i, bool c, float[2] v) => (bool d, float[2] o)
        { d = Identity(c) o = Add(v, x) }> }""",
    "qdq": """<ir_version: 8, opset_import: ["" : 13]> g (float[1, 4] x) => (float[1, 3] y)
        <float s = {0.02}, uint8 z = {128}, int8[4, 3] w = {1,2,3,4,5,6,7,8,9,10,11,12}, float t = {0.01}, int8 o = {0}>
        { a = QuantizeLinear(x, s, z) b = DequantizeLinear(a, s, z) c = DequantizeLinear(w, t, o) m = MatMul(b, c)
        e = QuantizeLinear(m, s, z) y = DequantizeLinear(e, s, z) }""",
    "qoperator": """<ir_version: 8, opset_import: ["" : 13]> g (float[1, 4] x) => (float[1, 3] y)
        <float s = {0.02}, uint8 z = {128}, int8[4, 3] w = {1,2,3,4,5,6,7,8,9,10,11,12}, float t = {0.01}, int8 o = {0}>
        { a = QuantizeLinear(x, s, z) m = QLinearMatMul(a, s, z, w, t, o, s, z) y = DequantizeLinear(m, s, z) }""",
    "function": """<ir_version: 10, opset_import: ["" : 21, "my" : 1]> g (float[n, 4] x) => (float[n, 4] y) { y = my.twice(x) }
        <domain: "my", opset_import: ["" : 21]> twice (a) => (b) { c = Relu(a) b = Add(c, c) }""",
}


def texts() -> dict[str, bytes]:
    """The models above and their weights in raw bytes, which exporters write."""
    made = {}
    for name, text in TEXTS.items():
        model = onnx.parser.parse_model(text)
        for tensor in model.graph.initializer:
            array = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(array), tensor.name))
        made[name] = model.SerializeToString()
    return made


def onnx_tests() -> dict[str, bytes]:
    """The small models that come with the onnx package for tests of backends."""
    folder = Path(onnx.backend.test.__file__).parent / "data"
    files = sorted(folder.glob("*/*/model.onnx"))
    return {f"{f.parts[-3]}/{f.parts[-2]}": f.read_bytes() for f in files if f.stat().st_size < LARGEST}


def node_tests(every: int = 1) -> dict[str, bytes]:
    """ONNX's tests of single ops; one of ``every``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [(case.name, case.model) for case in collect_testcases(None) if case.model is not None]
    files = {f"node/{name}": model.SerializeToString() for name, model in cases[::every]}
    return {name: data for name, data in files.items() if len(data) < LARGEST}


def quantized(models: dict[str, bytes]) -> Iterator[tuple[str, bytes, bytes]]:
    """(name, ONNX file, program) of those that come out in int8 as integer programs."""
    with tempfile.TemporaryDirectory() as folder:
        file, program = Path(folder) / "model.onnx", Path(folder) / "model.qgp"
        for name, data in models.items():
            file.write_bytes(data)
            try:
                model = read(file)
                transform(model, preset="int8", data=[made_inputs(model)], force=True)
                compile(model, program)
            except QGraphError:
                continue
            yield name, ir.to_proto(model).SerializeToString(), program.read_bytes()
