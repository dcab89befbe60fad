"""Programs against the node tests that ONNX ships: every test of an op that a program has must pass."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

from qgraph.tools.node_tests import PASSED, cases, outcomes, run_program


def test_every_node_test_that_a_program_takes_passes() -> None:
    found = list(outcomes())
    assert [outcome for outcome in found if outcome.failed] == []
    counts = collections.Counter(outcome.reason for outcome in found)
    assert counts[PASSED] >= 226, counts


def test_a_wrong_answer_is_a_failure(tmp_path: Path) -> None:
    case = next(case for case in cases() if case.name == "test_add")
    (inputs, (output,)) = case.data_sets[0]
    changed = dataclasses.replace(case, data_sets=[(inputs, [output + 1])])
    assert run_program(case, tmp_path).reason == PASSED
    assert run_program(changed, tmp_path).failed
