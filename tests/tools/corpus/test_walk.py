"""The small half of the corpus: models of a few hundred kilobytes through every command, where their registry can be reached."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from qgraph.tools.corpus import page, quality
from qgraph.tools.corpus.__main__ import main
from qgraph.tools.corpus.fetch import fetch
from qgraph.tools.corpus.models import Entry, entries

from qgraph import QGraphError

SMALL = [entry for entry in entries().values() if entry.small]


@pytest.mark.parametrize("entry", SMALL, ids=lambda entry: entry.name)
def test_walk(entry: Entry, tmp_path: Path) -> None:
    try:
        fetch(entry)
    except QGraphError as refusal:
        pytest.skip(str(refusal))
    out, table = tmp_path / "out", tmp_path / "page.md"
    result = CliRunner().invoke(main, [entry.name, "--out", str(out), "--no-times", "--table", str(table)])
    assert result.exit_code == 0, result.output
    walked = json.loads((out / entry.name / "result.json").read_text())
    assert walked["done"]
    ours = {step: row for step, row in walked["steps"].items() if "ONNX Runtime" not in step}
    assert not [f"{step}: {row['fault']}" for step, row in ours.items() if "fault" in row]
    for step in ("capture", "run float", "float to_torch", "int8 run elsewhere", "int8-dynamic run elsewhere", "int8 to_torch"):
        assert "ok" in ours[step], (step, ours[step])
    assert walked["quality"]["captured"]["outputs"][0]["sqnr"] > 70  # float16 weights leave 76 dB
    assert walked["quality"]["float to_torch"]["outputs"][0]["sqnr"] > 80
    assert walked["quality"]["int8"]["outputs"][0]["sqnr"] > 15
    assert walked["bytes"]["int8"] < 0.6 * walked["bytes"]["float"]
    assert f"| {entry.name} |" in table.read_text()
    assert "done before" in CliRunner().invoke(main, [entry.name, "--out", str(out), "--no-times"]).output


def test_the_parts_of_a_joined_output_are_judged_alone() -> None:
    boxes, scores = np.full((1, 4, 5), 300.0), np.full((1, 2, 5), 0.5)
    found = quality.differences(
        ["y"], [([np.concatenate([boxes, scores], 1)], [np.concatenate([boxes, 0 * scores], 1)])], {"y": (1, [4, 2])}
    )
    assert [row["name"] for row in found] == ["y", "y[0:4]", "y[4:6]"]
    assert found[0]["sqnr"] > 50
    assert found[1]["sqnr"] == np.inf
    assert found[2]["sqnr"] == 0


def test_an_output_of_another_length_has_no_distance() -> None:
    ones = np.ones(4)
    found = quality.differences(["y", "z"], [([ones, ones], [ones[:3], ones])], {})
    assert found == [{"name": "z", "sqnr": np.inf, "cosine": 1.0}, {"name": "y", "sqnr": None, "cosine": None}]


def test_nan_is_not_equal() -> None:
    ones = np.ones(4, np.float32)
    (row,) = quality.differences(["y"], [([ones], [np.array([1, np.nan, 1, 1], np.float32)])], {})
    assert row["sqnr"] == -np.inf


def test_a_page_says_what_was_refused() -> None:
    entry = SMALL[0]
    steps = {
        "capture": {"ok": 1},
        "int8 transform": {"refused": "/a/b/m.onnx: no | such"},
        "int8 export": {"fault": "KeyError: 1"},
    }
    result = {"steps": steps, "bytes": {"float": 2_000_000}, "quality": {}}
    text = page.page([entry], {entry.name: result}, "a machine")
    assert f"| {entry.name} | int8 transform | m.onnx: no / such |" in text
    assert f"| {entry.name} | int8 export | FAULT: KeyError: 1 |" in text
