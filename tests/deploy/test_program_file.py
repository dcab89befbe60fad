"""The numbers of types and encodings in a program file are those of its schema, in Python and in C++."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.capture.onnx_file import prepare
from qgraph.deploy import program_file
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.ir.bit_types import BIT_TYPES
from qgraph.ir.weights import MULTIPLE_OF, store_codes, store_params
from qgraph.numerics.affine import INT_TYPES, QParams, dequantize
from qgraph.workflow import transform

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
SCHEMA = RUNTIME / "schema" / "program.fbs"
SHORT = {"F": "FLOAT", "I": "INT", "U": "UINT"}


def enum(name: str) -> dict[str, int]:
    found = re.search(rf"enum {name} : byte {{ (.*?) }}", SCHEMA.read_text())
    assert found is not None
    return {key: int(number) for key, number in (entry.split(" = ") for entry in found[1].split(", "))}


def test_types_have_the_numbers_of_the_schema() -> None:
    ours = {r.onnx.name.replace("FLOAT", "FLOAT32"): r.program for r in BIT_TYPES if r.program is not None}
    assert {name.upper(): number for name, number in enum("Type").items()} == ours


def test_the_types_of_the_runtime_have_the_numbers_of_the_schema() -> None:
    header = (RUNTIME / "include" / "qgraph" / "runtime.h").read_text()
    found = re.search(r"enum class DType : int8_t { (.*?) }", header)
    assert found is not None
    members = dict(entry.split(" = ") for entry in found[1].split(", "))
    theirs = {re.sub(r"^[FIU](?=\d)", lambda m: SHORT[m[0]], name).upper(): int(number) for name, number in members.items()}
    assert {name.upper(): number for name, number in enum("Type").items()} == theirs


def test_encodings_have_the_numbers_of_the_schema() -> None:
    ours = {name: getattr(program_file, name.upper()) for name in ("Dense", "Bitmap", "Groups", "Scaled", "Dequantized")}
    assert enum("Encoding") == ours


@pytest.mark.parametrize("preset", ["int8", "w4a8"])
def test_scales_of_a_weight_that_many_ops_read_are_stored_once(preset: str, tmp_path: Path) -> None:
    """Each op multiplies them by its own factor; what a session has in memory is what a file with all of them gives."""
    weight = np.random.default_rng(0).normal(0, 0.06, (256, 256)).astype(np.float32)
    w, steps = ir.Value(name="w", const_value=ir.tensor(weight, name="w")), 6
    x = value = ir.Value(name="x", shape=ir.Shape([4, 256]), type=ir.TensorType(ir.DataType.FLOAT))
    nodes = []
    for _ in range(steps):
        nodes += [ir.node("MatMul", [value, w]), ir.node("Tanh", [None])]
        nodes[-1].replace_input_with(0, nodes[-2].outputs[0])
        value = nodes[-1].outputs[0]
    value.name = "y"
    graph = ir.Graph([x], [value], nodes=nodes, initializers=[w], opset_imports={"": 21}, name="g")
    model, feed = ir.Model(graph, ir_version=10), {"x": np.random.default_rng(1).normal(size=(4, 256)).astype(np.float32)}
    prepare(model, "test")
    transform(model, preset=preset, data=[feed], force=True)
    lowered = compile(model, tmp_path / "shared.qgp")
    for constant in lowered.graph.initializers.values():
        constant.meta.pop(MULTIPLE_OF, None)
    program_file.write(lowered, tmp_path / "whole.qgp")
    small, large = ((tmp_path / name).stat().st_size for name in ("shared.qgp", "whole.qgp"))
    blocks = lowered.graph.initializers[next(n for n in lowered.graph if n.op_type == "Linear").inputs[2].name].const_value.nbytes
    assert large - small > 0.9 * (steps - 1) * blocks
    outputs = [Session(tmp_path / name).run(feed)["y"] for name in ("shared.qgp", "whole.qgp")]
    np.testing.assert_array_equal(*outputs)
    constants = [program_file.read(tmp_path / name)[0].values for name in ("shared.qgp", "whole.qgp")]
    assert constants[0] == constants[1]


def test_neither_exported_files_nor_programs_tell_of_the_machine_that_made_them(digits: Path, tmp_path: Path) -> None:
    from qgraph.deploy.onnxruntime import export
    from qgraph.deploy.program import compile
    from qgraph.deploy.program_file import read
    from qgraph.ir import io
    from qgraph.ir.scopes import STACK, module_path

    model = io.load(digits / "digits_int8.onnx")
    assert any(STACK in node.metadata_props for node in model.graph)
    here = os.path.dirname(__file__)
    for node in model.graph:  # as older exporters have it
        node.doc_string = f'File "{here}/net.py", line 7'
        node.outputs[0].metadata_props["pkg.note"] = here
    model.metadata_props["task"] = "digits"
    exported = export(model, tmp_path / "deploy.onnx")
    compile(model, tmp_path / "digits.qgp")
    for file in ("deploy.onnx", "digits.qgp"):
        content = (tmp_path / file).read_bytes()
        for told in (b"File ", b".py", here.encode(), b"call_function", b"num_users"):
            assert told not in content, (file, told)
        assert b"digits" in content
    assert {"12"} <= {module_path(node) for node in exported.graph}
    assert {"12"} <= {node.scope for node in read(tmp_path / "digits.qgp")[0].nodes}
    assert any(STACK in node.metadata_props for node in model.graph)  # the caller's model keeps them


def test_a_session_takes_arrays_of_every_kind(digits: Path) -> None:
    import torch

    from qgraph.deploy.session import Session

    program, x = Session(digits / "digits.qgp"), np.random.default_rng(0).random((2, 1, 8, 8)).astype(np.float32)
    wanted = program.run({"input": x})["linear"].copy()
    tensor = torch.from_numpy(x).requires_grad_()
    for given in (x, (x,), {"input": tensor}, {"input": x.astype(np.float64)}, {"input": x.tolist()}):
        np.testing.assert_array_equal(program.run(given)["linear"], wanted)
    empty = program.run({"input": x[:0]})["linear"]
    assert empty.shape == (0, 10)


@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize(
    ("kind", "axis", "block"), [("int8", None, 0), ("uint8", 1, 0), ("int4", 0, 3), ("uint4", 2, 4), ("int2", 1, 0)]
)
def test_codes_that_run_in_float_stay_codes_in_the_file(
    kind: str, axis: int | None, block: int, zero: int, tmp_path: Path
) -> None:
    rng, shape, code = np.random.default_rng(0), (7, 24, 10), INT_TYPES[kind]
    scales: tuple[int, ...] = () if axis is None else (shape[axis],)
    if block and axis is not None:
        scales = (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :])
    zeros = np.full(scales, min(zero, code.qmax), code.container)
    params = QParams(code, rng.uniform(1e-3, 1, scales).astype(np.float32), zeros, axis, block)
    codes = rng.integers(code.qmin, code.qmax + 1, shape).astype(code.container)
    x = ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 23}, name="g")
    model = ir.Model(graph, ir_version=10)
    w = ir.Value(name="w")
    stored = store_codes(model, w, codes, params)
    attributes = {} if axis is None else {"axis": axis, **({"block_size": block} if block else {})}
    back = ir.node("DequantizeLinear", [stored, *store_params(model, "w", params)], attributes, num_outputs=1)
    add = ir.node("Add", [x, back.outputs[0]])
    for name, node in (("b", back), ("y", add)):
        node.outputs[0].name, node.outputs[0].dtype, node.outputs[0].shape = name, ir.DataType.FLOAT, x.shape
        graph.append(node)
    graph.outputs.append(add.outputs[0])
    compile(model, tmp_path / "m.qgp")
    found = Session(tmp_path / "m.qgp").run({"x": np.zeros(shape, np.float32)})["y"]
    np.testing.assert_array_equal(found, dequantize(codes, params) + np.float32(0))
    assert (tmp_path / "m.qgp").stat().st_size < 2500 + codes.size * code.bits // 8 + 6 * params.scale.size
