"""Programs against the node tests that ONNX ships: every test of an op that a program has must pass; docs/ops.md says so."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

import pytest
from qgraph.tools import ops_table
from qgraph.tools.node_tests import PASSED, Outcome, cases, outcomes, run_program


@pytest.fixture(scope="module")
def found() -> list[Outcome]:
    return list(outcomes())


def test_every_node_test_that_a_program_takes_passes(found: list[Outcome]) -> None:
    assert [outcome for outcome in found if outcome.failed] == []
    counts = collections.Counter(outcome.reason for outcome in found)
    assert counts[PASSED] >= 226, counts


def test_the_page_of_ops_is_up_to_date(found: list[Outcome]) -> None:
    assert ops_table.PAGE.read_text() == ops_table.page(found), "run 'python -m qgraph.tools.ops_table'"


def test_a_wrong_answer_is_a_failure(tmp_path: Path) -> None:
    case = next(case for case in cases() if case.name == "test_add")
    (inputs, (output,)) = case.data_sets[0]
    changed = dataclasses.replace(case, data_sets=[(inputs, [output + 1])])
    assert run_program(case, tmp_path).reason == PASSED
    assert run_program(changed, tmp_path).failed
