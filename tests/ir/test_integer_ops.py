"""The integer dialect: every row is well formed, the runtime has the same ops, and no other node gets into a program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from qgraph.passes.lower.builder import Builder

from qgraph import _runtime
from qgraph.deploy.program_file import write
from qgraph.errors import QGraphError
from qgraph.ir.bit_types import program_number
from qgraph.ir.dialects import INTEGER, is_standard, verify
from qgraph.ir.integer_ops import ENUMS, INTEGER_OPS, KINDS, OpSpec, check_node
from qgraph.ir.integer_ops.spec import FLOAT_MAX, FLOAT_TINY

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
ROWS = pytest.mark.parametrize("spec", KINDS.values(), ids=KINDS)


@ROWS
def test_a_row_is_well_formed(spec: OpSpec) -> None:
    assert spec.equation and spec.inputs and spec.outputs
    names = [row.name for row in spec.inputs]
    assert len(set(names)) == len(names)
    assert len({row.name for row in spec.attributes}) == len(spec.attributes)
    assert all(row.types for row in (*spec.inputs, *spec.outputs))
    assert not any(row.variadic for row in (*spec.inputs[:-1], *spec.outputs[:-1]))
    assert all(row.same_as in ("", *names) for row in (*spec.inputs, *spec.outputs))
    assert spec.domain == INTEGER or is_standard(spec.op_type, onnx.defs.onnx_opset_version())


@ROWS
def test_attributes_are_well_formed(spec: OpSpec) -> None:
    values = [row.name for row in (*spec.inputs, *spec.outputs)]
    for row in spec.attributes:
        assert row.low <= row.high, row
        assert not (row.required and row.default is not None), row
        assert row.default is None or row.low <= row.default <= row.high, row
        assert row.codes_of in ("", *values), row
        assert row.when in ("", *values, *(a.name for a in spec.attributes)), row
        assert row.kind != "float" or (row.high == FLOAT_MAX and row.low in (-FLOAT_MAX, 0.0, FLOAT_TINY)), row
        known = (
            [] if row.enum is None else [int(m) for m in row.enum if row.low <= m <= row.high]
        )  # a row may have the first of them
        assert row.enum is None or (row.enum in ENUMS and known == [*range(int(row.low), int(row.high) + 1)]), row


def test_a_kind_names_one_row() -> None:
    assert len(KINDS) == len(INTEGER_OPS)  # program files have no domains


@pytest.mark.parametrize("kind", KINDS)
def test_the_runtime_has_the_op(kind: str, tmp_path: Path) -> None:
    try:
        load(kind, tmp_path)
    except _runtime.RuntimeFailure as error:
        assert "has no op" not in str(error)


def test_the_runtime_has_no_other_ops(tmp_path: Path) -> None:
    with pytest.raises(_runtime.RuntimeFailure, match="has no op 'StringConcat'"):
        load("StringConcat", tmp_path)
    registered = set(re.findall(r'\{"([\w.]+)", make<', (RUNTIME / "ops/registry.cpp").read_text()))
    assert registered == set(KINDS)


def load(op: str, folder: Path) -> None:
    """Load a program of one ``op`` of a uint8 input, without attributes."""
    tensors = [("x", 5, [1], [""], None, 0), ("y", 5, [], [], None, 0)]
    _runtime.write_program(tensors, [(op, "op", [0], [1], [], [])], [0], [1], [], str(folder / "op.qgp"))
    _runtime.Session(str(folder / "op.qgp"))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [2, 3])
def test_parameters_that_are_no_numbers_are_refused(number: float, place: int, tmp_path: Path) -> None:
    """By the check of a node, and by the runtime where a file holds them all the same."""
    parameters = {2: np.ones(4, np.float32), 3: np.ones(4, np.float32)}
    parameters[place][1] = number
    weights = np.ones((4, 4), np.int8)
    constants = [("w", ir.DataType.INT8, weights), *((f"p{i}", F32, a) for i, a in parameters.items())]
    inputs = [value("x", U8), *(value(*row) for row in constants)]
    node = ir.Node("qgraph.integer", "Linear", inputs, [ir.AttrInt64("x_zero", 0), ir.AttrInt64("block", 4)], name="n")
    node.outputs[0].dtype = F32
    with pytest.raises(QGraphError, match=f"input {place}, (multiplier|bias), holds NaN or infinity"):
        check_node(node)
    tensors = [("x", 5, [1, 4], ["", ""], None, 0), ("w", program_number(ir.DataType.INT8), [4, 4], [], weights.tobytes(), 0)]
    tensors += [(f"p{i}", program_number(F32), [4], [], a.tobytes(), 0) for i, a in parameters.items()]
    op = ("Linear", "op", [0, 1, 2, 3], [4], [("x_zero", [0]), ("block", [4])], [])
    file = str(tmp_path / "op.qgp")
    _runtime.write_program([*tensors, ("y", program_number(F32), [], [], None, 0)], [op], [0], [4], [], file)
    with pytest.raises(_runtime.RuntimeFailure, match=f"input {place} holds NaN or infinity"):
        _runtime.Session(file)


def value(name: str, kind: ir.DataType, array: np.ndarray | None = None) -> ir.Value:
    tensor = None if array is None else ir.Tensor(array, name=name)
    return ir.Value(name=name, shape=ir.Shape([4]), type=ir.TensorType(kind), const_value=tensor)


U8, F32, I64 = ir.DataType.UINT8, ir.DataType.FLOAT, ir.DataType.INT64
BINARY = {"op": 0, "a_zero": 0, "b_zero": 0, "a_multiplier": 1.0, "b_multiplier": 1.0, "y_zero": 0}
BAD: dict[str, tuple[str, list[tuple[str, ir.DataType]], dict[str, Any], ir.DataType, str]] = {
    "unknown op": ("Binar", [("a", U8)], {}, U8, "Binar node 'y/Binar'.*no op of the integer dialect; did you mean 'Binary'"),
    "unknown attribute": (
        "Binary",
        [("a", U8), ("b", U8)],
        BINARY | {"a_zer": 0},
        U8,
        "'a_zer', which Binary has not",
    ),
    "above the range": ("Binary", [("a", U8), ("b", U8)], BINARY | {"op": 6}, U8, "'op' is 6; allowed: 0 ADD, 1 SUB"),
    "below the range": ("Binary", [("a", U8), ("b", U8)], BINARY | {"op": -1}, U8, "'op' is -1; allowed: 0 ADD"),
    "no code of y": ("Binary", [("a", U8), ("b", U8)], BINARY | {"y_zero": 256}, U8, r"0 to 255, the codes of y \(UINT8\)"),
    "no code of a": ("Binary", [("a", U8), ("b", U8)], BINARY | {"a_zero": -1}, U8, r"0 to 255, the codes of a \(UINT8\)"),
    "no number": ("Binary", [("a", U8), ("b", U8)], BINARY | {"a_multiplier": float("nan")}, U8, "'a_multiplier' is nan"),
    "too large": ("Quantize", [("x", F32)], {"scale": 1e39}, U8, "'scale' is 1e.39; allowed: finite, at least 1.17549e-38"),
    "too small for float32": ("Quantize", [("x", F32)], {"scale": 1e-46}, U8, "'scale' is 1e-46"),
    "flushed to zero": ("Quantize", [("x", F32)], {"scale": 1e-42}, U8, "'scale' is 1e-42"),
    "no scale": ("Dequantize", [("x", U8)], {"scale": -1.0, "x_zero": 0}, F32, "'scale' is -1.0; allowed: finite, at least"),
    "wrong attribute type": ("Quantize", [("x", F32)], {"scale": 1}, U8, "'scale' is of type INT; it must be float"),
    "missing attribute": ("Quantize", [("x", F32)], {}, U8, "misses the attribute 'scale'"),
    "missing input": ("Binary", [("a", U8)], BINARY, U8, "misses input b"),
    "extra input": ("Quantize", [("x", F32), ("z", F32)], {"scale": 1.0}, U8, "has 2 inputs; Quantize has no more than 1: x"),
    "wrong input type": ("Quantize", [("x", I64)], {"scale": 1.0}, U8, "input 0, x, 'x' is INT64; allowed are FLOAT"),
    "wrong output type": ("Quantize", [("x", F32)], {"scale": 1.0}, F32, "output 0, y, 'y' is FLOAT; allowed are UINT8, INT16"),
    "no constant": ("Lookup", [("x", U8), ("table", U8)], {}, U8, "computes input 1, table; it must be a constant"),
    "without its input": (
        "Linear",
        [("x", U8), ("weights", ir.DataType.INT8), ("multiplier", F32)],
        {"residual_zero": 0},
        U8,
        "'residual_zero', which means nothing without residual",
    ),
    "without its types": (
        "Linear",
        [("x", U8), ("weights", ir.DataType.INT8), ("multiplier", F32)],
        {"levels": [1] * 16},
        U8,
        "'levels', which means nothing without weights of type UINT4 or UINT2",
    ),
    "outputs": ("QuantizeTokens", [("x", F32)], {}, U8, "misses output row_scales"),
}
CONSTANT = {"weights": np.zeros(4, np.int8), "multiplier": np.zeros(4, np.float32)}


@pytest.mark.parametrize("case", BAD)
def test_the_builder_refuses(case: str) -> None:
    op, inputs, attributes, kind, says = BAD[case]
    values: list[ir.Value | None] = [value(name, t, CONSTANT.get(name)) for name, t in inputs]
    with pytest.raises(QGraphError, match=says):
        Builder().add(ir.Node("", "Relu", [], name="like"), op, values, attributes, name="y", type=kind, shape=None)


def test_types_that_go_together() -> None:
    build, like = Builder(), ir.Node("", "Relu", [], name="like")
    with pytest.raises(QGraphError, match="'b' is INT64; it goes with a and must be FLOAT"):
        build.add(like, "Add", [value("a", F32), value("b", I64)], name="y", type=F32, shape=None, domain="")
    with pytest.raises(QGraphError, match="'y_1' is INT64; it goes with data and must be UINT8"):
        build.add(like, "Identity", [value("a", U8)], name="y", type=I64, shape=None, domain="")
    with pytest.raises(QGraphError, match="has 3 inputs; Sub has no more than 2: a, b"):
        build.add(like, "Sub", [value(n, F32) for n in "abc"], name="y", type=F32, shape=None, domain="")


def test_what_has_no_form_yet_is_not_judged() -> None:
    build, like = Builder(), ir.Node("", "Relu", [], name="like")
    x = value("refused", ir.DataType.DOUBLE)
    build.unknown.add(x)
    y = build.add(like, "Quantize", [x], {"scale": 1.0}, name="y", type=U8, shape=None)
    assert y in build.unknown


@pytest.mark.parametrize("op", [7, -1])
def test_verify_and_the_program_file_refuse_it_too(op: int, tmp_path: Path) -> None:
    x = value("x", U8)
    attributes = [ir.convenience.convert_attribute(k, v) for k, v in (BINARY | {"op": op}).items()]
    node = ir.Node(INTEGER, "Binary", [x, x], attributes, name="sum")
    node.outputs[0].name, node.outputs[0].dtype = "y", U8
    graph = ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": 21, INTEGER: 1}, name="one")
    model = ir.Model(graph, ir_version=10)
    with pytest.raises(QGraphError, match=f"Binary node 'sum': attribute 'op' is {op}"):
        verify(model, "integer")
    with pytest.raises(QGraphError, match=f"Binary node 'sum': attribute 'op' is {op}"):
        write(model, tmp_path / "bad.qgp")
    assert list(tmp_path.iterdir()) == []
