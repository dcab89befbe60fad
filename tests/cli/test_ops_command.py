"""``qgraph ops`` prints the integer dialect."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from qgraph.cli.ops_command import command
from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import KINDS


def test_every_op_is_listed_with_its_family() -> None:
    lines = CliRunner().invoke(command, []).output.splitlines()
    assert [line.split()[:2] for line in lines] == [[kind, s.family] for kind, s in KINDS.items()]
    assert any(line.endswith("x, weights, multiplier, [bias], [row_scales], [residual] -> y") for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_an_op_is_shown_with_all_that_its_row_says(kind: str) -> None:
    spec, output = KINDS[kind], CliRunner().invoke(command, ["show", kind]).output
    for row in (*spec.inputs, *spec.outputs, *spec.attributes):
        assert f"\n  {row.name}: " in output
    assert all(f"\n  {line}" in output for line in spec.equation.splitlines())
    assert all(row.range in output for row in spec.attributes)


def test_an_unknown_op_is_refused_with_a_suggestion() -> None:
    error = CliRunner().invoke(command, ["show", "Conf"]).exception
    assert isinstance(error, QGraphError) and "did you mean 'Conv'" in str(error)
    assert isinstance(CliRunner().invoke(command, ["print"]).exception, QGraphError)
