"""``qgraph ops`` prints the integer dialect."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from qgraph.cli.ops_command import command
from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import INTEGER_OPS, OpSpec


def test_every_op_is_listed_with_its_family() -> None:
    lines = CliRunner().invoke(command, []).output.splitlines()
    assert [line.split()[:2] for line in lines] == [[s.op_type, s.family] for s in INTEGER_OPS.values()]
    assert any(line.endswith("x, weights, multiplier, [bias], [row_scales], [residual] -> y") for line in lines)


@pytest.mark.parametrize("spec", INTEGER_OPS.values(), ids=lambda spec: spec.op_type)
def test_an_op_is_shown_with_all_that_its_row_says(spec: OpSpec) -> None:
    output = CliRunner().invoke(command, ["show", spec.op_type]).output
    for row in (*spec.inputs, *spec.outputs, *spec.attributes):
        assert f"\n  {row.name}: " in output
    assert all(f"\n  {line}" in output for line in spec.equation.splitlines())
    assert all(row.range in output for row in spec.attributes)


def test_an_unknown_op_is_refused_with_a_suggestion() -> None:
    error = CliRunner().invoke(command, ["show", "Conf"]).exception
    assert isinstance(error, QGraphError) and "did you mean 'Conv'" in str(error)
    assert isinstance(CliRunner().invoke(command, ["print"]).exception, QGraphError)
