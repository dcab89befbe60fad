"""Declared shapes that are wrong are not believed; those that are right, or say more than inference knows, stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from qgraph.capture import from_onnx
from qgraph.workflow import transform
from tests.conftest import run_onnx

RNG = np.random.default_rng(0)
W = RNG.normal(size=(6, 8)).astype(np.float32)
X = RNG.normal(size=(2, 3, 6)).astype(np.float32)
TO, COMPUTED = "s = Constant<value_ints = [2, 1, 24]>() ", "a = Shape(m) b = Slice(a, zero, one) s = Concat<axis = 0>(b, wide) "
PRODUCT, TAIL = "m = MatMul(x, w) ", "y = Reshape(m, s)"

# input, declared output, values declared inside, body, the output's shape
CASES = {
    "rank": ("[2,3,6]", "[1,48]", "", PRODUCT + TO + TAIL, [2, 1, 24]),
    "rank, computed": ("[n,3,6]", "[1,48]", "", PRODUCT + COMPUTED + TAIL, ["n", 1, None]),
    "dim": ("[2,3,6]", "[2,3,9]", "", PRODUCT + "y = Relu(m)", [2, 3, 8]),
    "inside": ("[2,3,6]", "[2,1,24]", "<float[2,7,8] m>", PRODUCT + TO + TAIL, [2, 1, 24]),
    "a free dim fixed": ("[n,3,6]", "[1,3,8]", "", PRODUCT + "y = Relu(m)", ["n", 3, 8]),
    "a name kept": ("[2,3,6]", "[batch,3,8]", "", "y = MatMul(x, w)", ["batch", 3, 8]),
    "more than is known": ("[n,3,6]", "[n,1,24]", "", PRODUCT + "a = Abs(v) s = Cast<to = 7>(a) " + TAIL, ["n", 1, 24]),
}


def saved(path: Path, title: str) -> Path:
    x, y, inner, body, _ = CASES[title]
    made = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> g (float{x} x) => (float{y} y) {inner} {{ {body} }}'
    )
    constants = {
        "w": W,
        "zero": np.array([0]),
        "one": np.array([1]),
        "wide": np.array([1, 24]),
        "v": np.array([2, 1, 24], np.int32),
    }
    if title == "rank, computed":
        constants["wide"] = np.array([1, -1])
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    onnx.save(made, path)
    return path


@pytest.mark.parametrize("title", CASES)
def test_the_shape_is_what_the_ops_compute(tmp_path: Path, title: str) -> None:
    file = saved(tmp_path / "m.onnx", title)
    model = from_onnx(file)
    (y,) = model.graph.outputs
    assert y.shape is not None
    for dim, wanted in zip(y.shape, CASES[title][4], strict=True):
        assert wanted is None or (dim if isinstance(dim, int) else dim.value) == wanted
    options = ort.SessionOptions()
    options.log_severity_level = 4
    (wanted,) = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"]).run(None, {"x": X})
    transform(model, preset="int8", data=[{"x": X}])
    (found,) = run_onnx(model, {"x": X})
    assert found.shape == wanted.shape
    assert np.square(found - wanted).mean() < 1e-2 * np.square(wanted).mean()


def test_a_vector_of_any_length_is_read_at_once(tmp_path: Path) -> None:
    text = '<ir_version: 10, opset_import: ["" : 17]> g (int32[2147483648] x) => (float[?] y) { a = Cast<to=1>(x) y = Neg(a) }'
    (tmp_path / "m.onnx").write_bytes(onnx.parser.parse_model(text).SerializeToString())
    model = from_onnx(tmp_path / "m.onnx")
    assert model.graph.outputs[0].producer().inputs[0].shape == ir.Shape([1 << 31])  # type: ignore[union-attr]
