"""The numbers of types and encodings in a program file are those of its schema, in Python and in C++."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from qgraph.deploy import program_file
from qgraph.ir.bit_types import BIT_TYPES

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
    ours = {"Dense": program_file.DENSE, "Bitmap": program_file.BITMAP, "Groups": program_file.GROUPS}
    assert enum("Encoding") == ours


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
