"""Sequences in ONNX files and torch modules become Split and Concat with the same numbers; the rest is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import helper
from torch import nn

import qgraph
from qgraph.capture import from_onnx
from qgraph.errors import QGraphError
from qgraph.ir import io
from tests.capture.test_torch_module import Calls, assert_equals_torch
from tests.conftest import run_onnx

ONE, LAST = "i = Constant<value_int=1>()", "l = Constant<value_int=-1>()"
GRAPHS = {
    "one by one": f"{ONE} s = SplitToSequence<axis=1>(x) y = SequenceAt(s, i)",
    "without the axis": f"{LAST} s = SplitToSequence<axis=-1, keepdims=0>(x) y = SequenceAt(s, l)",
    "equal sizes and a rest": f"{LAST} n = Constant<value_int=4>() s = SplitToSequence<axis=1>(x, n) y = SequenceAt(s, l)",
    "given sizes": f"{ONE} n = Constant<value_ints=[1,2,3]>() s = SplitToSequence<axis=1>(x, n) y = SequenceAt(s, i)",
    "constructed and joined": "a = Relu(x) s = SequenceConstruct(a, x) y = ConcatFromSequence<axis=-1>(s)",
    "stacked": "a = Relu(x) s = SequenceConstruct(a, x) y = ConcatFromSequence<axis=-1, new_axis=1>(s)",
    "inserted and erased": f"{ONE} a = Relu(x) b = Neg(x) e = SequenceEmpty() s = SequenceInsert(e, a) t = SequenceInsert(s, b) "
    "z = Constant<value_int=0>() u = SequenceInsert(t, x, z) v = SequenceErase(u, i) y = ConcatFromSequence<axis=0>(v)",
    "its length": "s = SplitToSequence<axis=1>(x) n = SequenceLength(s) f = Cast<to=1>(n) y = Mul(x, f)",
    "copied": f"{ONE} s = SplitToSequence<axis=0>(x) t = Identity(s) p = SequenceAt(t, i) y = Relu(p)",
    "a part that is read twice": f"{ONE} s = SplitToSequence<axis=1>(x) p = SequenceAt(s, i) q = SequenceAt(s, i) y = Sub(p, q)",
}


def saved(path: Path, body: str, result: str = "float y", opset: int = 21) -> Path:
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[2,6] x) => ({result}) {{ {body} }}'
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.mark.parametrize("opset", [16, 21])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_sequence_becomes_tensors(tmp_path: Path, name: str, opset: int) -> None:
    path = saved(tmp_path / "m.onnx", GRAPHS[name], opset=opset)
    x = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    model = from_onnx(path)
    assert not any("Sequence" in n.op_type for n in model.graph)
    assert [v.name for v in model.graph.outputs] == ["y"]
    np.testing.assert_array_equal(run_onnx(model, {"x": x})[0], run_onnx(io.load(path), {"x": x})[0])


@pytest.mark.parametrize(
    ("body", "result", "message"),
    [
        ("y = SplitToSequence<axis=1>(x)", "seq(float) y", "output 'y' is a sequence, no tensor; export the model with tensors"),
        (
            "s = SplitToSequence(x) i = Size(x) y = SequenceAt(s, i)",
            "float y",
            "SequenceAt node .* takes its position from the data",
        ),
        (
            "s = SplitToSequence(x) i = Constant<value_int=7>() y = SequenceAt(s, i)",
            "float y",
            "asks for part 7 of a sequence of 2",
        ),
        (
            "z = NonZero(x) s = SplitToSequence<axis=1>(z) i = Constant<value_int=0>() y = SequenceAt(s, i)",
            "int64 y",
            "axis 1, whose",
        ),
        (
            "n = Shape(x) m = Abs(n) s = SplitToSequence(x, m) y = ConcatFromSequence<axis=0>(s)",
            "float y",
            "sizes of its parts from",
        ),
    ],
)
def test_what_depends_on_the_data_is_refused(tmp_path: Path, body: str, result: str, message: str) -> None:
    with pytest.raises(QGraphError, match=message) as caught:
        from_onnx(saved(tmp_path / "m.onnx", body, result))
    assert "m.onnx" in str(caught.value)


def test_a_sequence_as_input_is_refused(tmp_path: Path) -> None:
    value = helper.make_tensor_sequence_value_info("parts", onnx.TensorProto.FLOAT, None)
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("ConcatFromSequence", ["parts"], ["y"], axis=0)], "g", [value], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), tmp_path / "m.onnx")
    with pytest.raises(QGraphError, match="input 'parts' is a sequence, no tensor"):
        from_onnx(tmp_path / "m.onnx")


class Attends(nn.Module):
    """Cross-attention with masked keys."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, q: torch.Tensor, kv: torch.Tensor, pad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        made: tuple[torch.Tensor, torch.Tensor] = self.attention(q, kv, kv, key_padding_mask=pad, need_weights=True)
        return made


SPLITS = {
    "split": lambda linear, x: (lambda p: p[0] * p[1].sum(1, keepdim=True))(torch.split(linear(x), [6, 2], 1)),
    "chunk with a rest": lambda linear, x: torch.cat(torch.chunk(linear(x), 3, -1)[::-1], 1),
    "chunk, stack, unbind": lambda linear, x: torch.stack(torch.chunk(linear(x), 2, 1), 1).unbind(1)[1],
    "unbind": lambda linear, x: torch.stack([v.relu() for v in linear(x).unbind(0)], 1),
    "split_with_sizes": lambda linear, x: torch.split_with_sizes(linear(x), [1, 3, 4], dim=-1)[2],
    "tensor_split": lambda linear, x: torch.tensor_split(linear(x), 3, dim=1)[1],
}


@pytest.mark.parametrize("name", SPLITS)
def test_modules_that_split_are_captured(name: str) -> None:
    model = assert_equals_torch(Calls(SPLITS[name]), torch.randn(4, 8))
    assert not any(isinstance(v.type, ir.SequenceType) for n in model.graph for v in n.outputs)


def test_cross_attention_is_captured_and_quantized(tmp_path: Path) -> None:
    pad = torch.zeros(2, 7, dtype=torch.bool)
    pad[1, 4:] = True
    args = torch.randn(2, 5, 16), torch.randn(2, 7, 16), pad
    model = assert_equals_torch(Attends(), *args)
    feed = {v.name or "": t.numpy() for v, t in zip(model.graph.inputs, args, strict=True)}
    wanted = run_onnx(model, feed)
    qgraph.transform(model, preset="int8", data=[feed])
    for found, expected in zip(run_onnx(model, feed), wanted, strict=True):
        np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())
