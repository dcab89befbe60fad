"""The numbers of types and encodings in a program file are those of its schema, in Python and in C++."""

from __future__ import annotations

import re
from pathlib import Path

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
