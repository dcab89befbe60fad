"""Files that contradict themselves: one sentence each, or put right where the meaning is clear."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from qgraph.capture import read
from qgraph.errors import QGraphError
from qgraph.ir import io
from tests.conftest import run_onnx

TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (float[n,4] x) => (float[n,2] y) <float[4,2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}>
{ [first] h = Relu(x) [second] y = MatMul(h, w) }"""
X = np.arange(12, dtype=np.float32).reshape(3, 4) - 5


def saved(path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    made = onnx.parser.parse_model(TEXT)
    change(made)
    path.write_bytes(made.SerializeToString())
    return path


def node(number: int, place: str, name: str) -> Callable[[onnx.ModelProto], object]:
    """Let a node read or make ``name``."""
    return lambda m: getattr(m.graph.node[number], place).__setitem__(0, name)


def set_dims(value: Callable[[onnx.ModelProto], onnx.ValueInfoProto], dim: str | int) -> Callable[[onnx.ModelProto], object]:
    place = "dim_param" if isinstance(dim, str) else "dim_value"
    return lambda m: setattr(value(m).type.tensor_type.shape.dim[0], place, dim)


def attribute(op: str, **attributes: object) -> Callable[[onnx.ModelProto], object]:
    """Make the first node an ``op`` with ``attributes``."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = op
        model.graph.node[0].attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())

    return change


def _quantizer(model: onnx.ModelProto, dtype: int) -> None:
    attribute("QuantizeLinear", output_dtype=dtype)(model)
    model.graph.node[0].input.append("w")


REFUSED: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "a circle": (node(0, "input", "y"), r"node '(first|second)' needs its own result; break the circle"),
    "a circle of one": (node(0, "input", "h"), r"Relu node 'first' needs its own result"),
    "a value made twice": (node(1, "output", "h"), r"'h' has two origins, the Relu node 'first' and the MatMul node 'second'"),
    "a node makes an input": (node(0, "output", "x"), r"'x' has two origins, a graph input and the Relu node 'first'"),
    "a node makes a weight": (node(0, "output", "w"), r"'w' has two origins, an initializer and the Relu node 'first'"),
    "nothing makes it": (node(0, "input", "z"), r"Relu node 'first' reads 'z', which nothing makes"),
    "no such output": (node(1, "output", "z"), r"nothing makes the output 'y'"),
    "two inputs of one name": (lambda m: m.graph.input.append(m.graph.input[0]), r"two graph inputs are called 'x'"),
    "dims of a weight": (
        lambda m: m.graph.initializer[0].dims.__setitem__(0, 3),
        r"'w' has the dims \[3, 2\] and data of another",
    ),
    "a dim below 0": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -4), r"'w' has the dims \[-4, 2\]; no dim is below 0"),
    "no type": (lambda m: setattr(m.graph.initializer[0], "data_type", 0), r"initializer 'w' has no type"),
    "two weights of one name": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), r"two initializers are called 'w'"),
    "two outputs of one name": (lambda m: m.graph.output.append(m.graph.output[0]), r"two graph outputs are called 'y'"),
    "an input without a type": (lambda m: m.graph.input[0].ClearField("type"), r"the graph input 'x' has no type"),
    "an input without a name": (lambda m: m.graph.input.add().type.CopyFrom(m.graph.input[0].type), r"graph inputs has no name"),
    "too many inputs": (lambda m: m.graph.node[0].input.append("w"), r"Relu node 'first' has 2 inputs, unlike ONNX's Relu"),
    "too few inputs": (lambda m: m.graph.node[1].input.pop(), r"MatMul node 'second' has 1 input, unlike"),
    "an input that is left out": (node(1, "input", ""), r"MatMul node 'second' lacks its input 'A'"),
    "no attribute": (lambda m: setattr(m.graph.node[0], "op_type", "Cast"), r"Cast node 'first' lacks the attribute 'to'"),
    "an attribute of another type": (attribute("Elu", alpha=1), r"Elu node 'first' has an attribute 'alpha' of another type"),
    "an axis beyond all dims": (
        attribute("Softmax", axis=1 << 31),
        r"'first' has the axis 2147483648, and its input 2 dims at most",
    ),
    "an attribute without a type": (
        attribute("Relu", more=onnx.TensorProto()),
        r"Relu node 'first': the tensor 'more' has no type",
    ),
    "a quantizer without a scale": (
        lambda m: setattr(m.graph.node[0], "op_type", "QuantizeLinear"),
        r"'first' has 1 input, unlike",
    ),
    "a constant of another attribute in a future opset": (
        lambda m: (attribute("Constant", pads=1)(m), m.graph.node[0].input.pop(), setattr(m.opset_import[0], "version", 99)),
        r"Constant node 'first' has the attributes pads, unlike",
    ),
    "codes of no type": (lambda m: _quantizer(m, -2), r"QuantizeLinear node 'first' makes a type that ONNX does not know"),
    "an attribute that is no text": (
        attribute("Gelu", approximate=b"\xff"),
        r"'first' has an attribute 'approximate' that is no UTF-8",
    ),
    "two opsets": (lambda m: m.opset_import.add(domain="ai.onnx", version=13), r"the opsets 21 and 13 of ONNX at once"),
}


@pytest.mark.parametrize("title", REFUSED)
def test_one_sentence_says_what_is_wrong(tmp_path: Path, title: str) -> None:
    change, message = REFUSED[title]
    file = saved(tmp_path / "m.onnx", change)
    with pytest.raises(QGraphError, match=rf"^cannot read \S+m.onnx: .*{message}"):
        io.load(file)


@pytest.mark.parametrize("name", ["h", "first"])
def test_names_that_are_no_text(tmp_path: Path, name: str) -> None:
    made = onnx.parser.parse_model(TEXT.replace(name, "NAME"))
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString().replace(b"NAME", b"N\xff\xfeE"))
    with pytest.raises(QGraphError, match=r"m.onnx: the name b'N\\xff\\xfeE' is no UTF-8 text"):
        io.load(tmp_path / "m.onnx")


def test_a_quantizer_without_a_scale_in_a_file_without_an_opset(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "DequantizeLinear"
        del model.opset_import[:]

    with pytest.raises(QGraphError, match="imports no ONNX opset; export it again"):
        read(saved(tmp_path / "m.onnx", change))


def test_a_long_name_that_is_no_text_is_cut(tmp_path: Path) -> None:
    made = onnx.parser.parse_model(TEXT.replace("first", "N" * 500))
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString().replace(b"N" * 500, b"\xff" * 500))
    with pytest.raises(QGraphError, match=r"xff'\.\.\. is no UTF-8 text") as caught:
        io.load(tmp_path / "m.onnx")
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def reverse(model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


PUT_RIGHT: dict[str, Callable[[onnx.ModelProto], object]] = {
    "order": reverse,
    "domain": lambda m: setattr(m.opset_import[0], "domain", "ai.onnx"),
    **{f"input {d!r}": set_dims(lambda m: m.graph.input[0], d) for d in ("", "?", "-1", -1, 0)},
    **{f"output {d!r}": set_dims(lambda m: m.graph.output[0], d) for d in ("", "?", -1, 0)},
}


@pytest.mark.parametrize("title", PUT_RIGHT)
def test_put_right(tmp_path: Path, title: str) -> None:
    model = io.load(saved(tmp_path / "m.onnx", PUT_RIGHT[title]))
    session = ort.InferenceSession(onnx.parser.parse_model(TEXT).SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(run_onnx(model, {"x": X})[0], session.run(None, {"x": X})[0])
    assert [n.name for n in model.graph] == ["first", "second"] and model.graph.opset_imports == {"": 21}
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.shape is not None and str(value.shape[0]) in ("n", "None")


def test_a_weight_that_is_an_input_without_a_shape_has_that_of_its_data(tmp_path: Path) -> None:
    kind = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    model = io.load(saved(tmp_path / "m.onnx", lambda m: m.graph.input.append(onnx.helper.make_value_info("w", kind))))
    assert model.graph.initializers["w"].shape == (4, 2)
