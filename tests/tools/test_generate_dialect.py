"""The C++ header of the integer dialect is what the dialect says now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from qgraph.tools import generate_dialect

from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import ENUMS, KINDS


def test_the_committed_headers_are_the_generated_ones() -> None:
    assert {path: path.read_text() for path in generate_dialect.headers()} == generate_dialect.headers()


def test_the_headers_name_every_enum_op_and_range() -> None:
    text = "\n".join(generate_dialect.headers().values())
    for kind in ENUMS:
        members = re.search(rf"enum class {kind.__name__} : int {{\s+(.*?),?\s+}};", text, re.DOTALL)
        assert members is not None
        found = dict(m.split(" = ") for m in re.split(r",\s+", members[1]))
        assert {k.upper(): int(v) for k, v in found.items()} == {m.name.replace("_", ""): int(m) for m in kind}
    assert re.findall(r'{"([\w.]+)", "(\w+)"}', text) == [(kind, s.family) for kind, s in KINDS.items()]
    ranges = [(kind, a.name, a.kind, a.low, a.high) for kind, s in KINDS.items() for a in s.attributes]
    rows = re.findall(r'{"([\w.]+)", "(\w+)", AttributeKind::(\w+), ([^,]+), ([^}]+)}', text)
    assert [(op, name, kind.lower(), float(low), float(high)) for op, name, kind, low, high in rows] == ranges


def test_check_sees_a_header_that_does_not_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_dialect, "FOLDER", tmp_path)
    run = CliRunner().invoke(generate_dialect.main, ["--check"])
    assert isinstance(run.exception, QGraphError)
    assert CliRunner().invoke(generate_dialect.main, []).exit_code == 0
    assert CliRunner().invoke(generate_dialect.main, ["--check"]).exit_code == 0
    header = tmp_path / "dialect_generated.h"
    header.write_text(header.read_text().replace("Wrap = 3", "Wrap = 4"))
    assert isinstance(CliRunner().invoke(generate_dialect.main, ["--check"]).exception, QGraphError)
