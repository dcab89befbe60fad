"""The C++ header of the integer dialect is what the dialect says now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from qgraph.tools import generate_dialect

from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import ENUMS, INTEGER_OPS


def test_the_committed_header_is_the_generated_one() -> None:
    assert generate_dialect.HEADER.read_text() == generate_dialect.text()


def test_the_header_names_every_enum_op_and_range() -> None:
    text = generate_dialect.text()
    for kind in ENUMS:
        members = re.search(rf"enum class {kind.__name__} : int {{ (.*) }};", text)
        assert members is not None
        found = dict(m.split(" = ") for m in members[1].split(", "))
        assert {k.upper(): int(v) for k, v in found.items()} == {m.name.replace("_", ""): int(m) for m in kind}
    assert re.findall(r'{"(\w+)", "(\w+)"}', text) == [(s.op_type, s.family) for s in INTEGER_OPS.values()]
    ranges = [(s.op_type, a.name, a.kind, a.low, a.high) for s in INTEGER_OPS.values() for a in s.attributes]
    rows = re.findall(r'{"(\w+)", "(\w+)", AttributeKind::(\w+), ([^,]+), ([^}]+)}', text)
    assert [(op, name, kind.lower(), float(low), float(high)) for op, name, kind, low, high in rows] == ranges


def test_check_sees_a_header_that_does_not_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_dialect, "HEADER", tmp_path / "ops" / "dialect_generated.h")
    run = CliRunner().invoke(generate_dialect.main, ["--check"])
    assert isinstance(run.exception, QGraphError)
    assert CliRunner().invoke(generate_dialect.main, []).exit_code == 0
    assert CliRunner().invoke(generate_dialect.main, ["--check"]).exit_code == 0
    generate_dialect.HEADER.write_text(generate_dialect.text().replace("Wrap = 3", "Wrap = 4"))
    assert isinstance(CliRunner().invoke(generate_dialect.main, ["--check"]).exception, QGraphError)
