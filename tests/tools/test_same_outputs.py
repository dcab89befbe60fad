"""Artifacts that are the same, and artifacts of which one thing is changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from qgraph.tools import artifacts, same_outputs

from qgraph import _runtime
from qgraph.deploy.session import Session

NAME = "digits_cnn"


@pytest.fixture
def sides(digits: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two equal folders with the artifacts of one job: an ONNX file, a program and its outputs."""
    old, new = tmp_path / "old", tmp_path / "new"
    place = old / NAME
    place.mkdir(parents=True)
    shutil.copy(digits / "digits_int8.onnx", place / "int8.onnx")
    shutil.copy(digits / "digits.qgp", place / "int8.qgp")
    feed = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    np.savez(place / "int8.qgp.npz", **Session(place / "int8.qgp").run({"input": feed}))
    shutil.copytree(old, new)
    return old, new


def compared(old: Path, new: Path) -> tuple[int, str]:
    """Exit code and text of the command."""
    result = CliRunner().invoke(same_outputs.main, [str(old), str(new), "--only", NAME], env={"COLUMNS": "250"})
    return result.exit_code, result.output


def rewrite(program: Path, change: Callable[[list[Any]], None]) -> None:
    """Write ``program`` anew with its parts changed."""
    parts = [list(part) for part in _runtime.read_program(str(program))]
    change(parts)
    _runtime.write_program(*parts, str(program))


def test_equal_folders_are_the_same(sides: tuple[Path, Path]) -> None:
    code, text = compared(*sides)
    assert code == 0
    assert "3 artifacts, 0 differ" in text


def test_one_byte_of_a_weight(sides: tuple[Path, Path]) -> None:
    program = sides[1] / NAME / "int8.qgp"
    content = bytearray(program.read_bytes())
    weight = next(t for t in _runtime.read_program(str(program))[0] if t[0] == "12.weight.codes")
    content[content.index(weight[4]) + 5] ^= 1
    program.write_bytes(content)
    code, text = compared(*sides)
    assert code == 1
    assert (
        f"tensors: first tensors[{_number(program, weight[0])}] '12.weight.codes': 1 of {len(weight[4])} bytes, first 5" in text
    )
    assert "3 artifacts, 1 differ" in text


def _number(program: Path, name: str) -> int:
    return [t[0] for t in _runtime.read_program(str(program))[0]].index(name)


def test_one_attribute_of_a_program(sides: tuple[Path, Path]) -> None:
    def change(parts: list[Any]) -> None:
        kind, name, sources, results, ints, floats, graphs = parts[1][2]
        assert ("clamp_min", [0]) in ints
        ints = [(k, [1] if k == "clamp_min" else v) for k, v in ints]
        parts[1][2] = (kind, name, sources, results, ints, floats, graphs)

    rewrite(sides[1] / NAME / "int8.qgp", change)
    code, text = compared(*sides)
    assert code == 1
    assert "attributes: first attributes[2] 'relu_channels_last/Conv'" in text
    assert "('clamp_min', [1])" in text


def test_metadata_of_a_program(sides: tuple[Path, Path]) -> None:
    rewrite(sides[1] / NAME / "int8.qgp", lambda parts: parts[4].append(("more", "text")))
    code, text = compared(*sides)
    assert code == 1
    assert "metadata: first 2 metadata and 3" in text


def test_a_program_that_cannot_be_read(sides: tuple[Path, Path]) -> None:
    (sides[1] / NAME / "int8.qgp").write_bytes(b"nothing")
    code, text = compared(*sides)
    assert code == 1
    assert "cannot be read" in text


def test_one_attribute_of_an_onnx_file(sides: tuple[Path, Path]) -> None:
    file = sides[1] / NAME / "int8.onnx"
    model = onnx.load(file)
    node = next(n for n in model.graph.node if n.op_type == "Conv")
    attribute = next(a for a in node.attribute if a.name == "group")
    attribute.i = 3
    onnx.save(model, file)
    code, text = compared(*sides)
    assert code == 1
    assert f"model.graph.node[{node.name}].attribute[group].i: 1, 3" in text


def test_renamed_metadata_is_the_same(sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file = sides[1] / NAME / "int8.onnx"
    model = onnx.load(file)
    for node in model.graph.node:
        for entry in node.metadata_props:
            entry.key = entry.key.replace("namespace", "scope")
    onnx.save(model, file)
    code, text = compared(*sides)
    assert code == 1
    assert "'namespace'" in text
    monkeypatch.setattr(same_outputs, "RENAMED", {"namespace": "scope"})
    assert compared(*sides)[0] == 0


def test_the_order_of_weights_means_nothing_and_their_values_do(sides: tuple[Path, Path]) -> None:
    file = sides[1] / NAME / "int8.onnx"
    model = onnx.load(file)
    model.graph.initializer.reverse()
    onnx.save(model, file)
    assert compared(*sides)[0] == 0
    weight = next(i for i in model.graph.initializer if len(i.raw_data) > 100)
    weight.raw_data = weight.raw_data[:50] + bytes([weight.raw_data[50] ^ 1]) + weight.raw_data[51:]
    onnx.save(model, file)
    code, text = compared(*sides)
    assert code == 1
    assert f"model.graph.initializer[{weight.name}].raw_data: 1 of {len(weight.raw_data)} bytes, first 50" in text


def test_one_output(sides: tuple[Path, Path]) -> None:
    file = sides[1] / NAME / "int8.qgp.npz"
    outputs = dict(np.load(file))
    (name, array), *_ = outputs.items()
    array[1, 4] = np.nextafter(array[1, 4], np.float32(np.inf))
    np.savez(file, **outputs)
    code, text = compared(*sides)
    assert code == 1
    assert f"{name}: 1 of 30 values, first [1, 4]" in text


def test_the_sign_of_zero_counts(tmp_path: Path) -> None:
    for name, value in (("a", 0.0), ("b", -0.0)):
        np.savez(tmp_path / f"{name}.npz", y=np.float32(value))
    found = same_outputs.difference(tmp_path / "a.npz", tmp_path / "b.npz")
    assert found == "y: 1 of 1 values, first []: 0.0, -0.0"


def test_what_one_side_lacks(sides: tuple[Path, Path]) -> None:
    (sides[1] / NAME / "int8.onnx").unlink()
    assert "the new side has none" in compared(*sides)[1]
    shutil.rmtree(sides[0] / NAME)
    shutil.rmtree(sides[1] / NAME)
    code, text = compared(*sides)
    assert code == 1
    assert "neither side has an artifact" in text


def test_every_model_of_the_zoo_and_every_recipe_has_a_job() -> None:
    import qgraph.zoo

    data = {"calibration", "digits_data", "noise_images", "sentences", "tokens"}
    names = artifacts.jobs()
    assert set(qgraph.zoo.__all__) - data <= set(names)
    assert "recipe-pqk" in names


def test_a_recipe_is_cut() -> None:
    recipe = {"data": {"source": "sentences"}, "stages": [{"name": "a"}, {"name": "b", "steps": 300}, {"name": "c", "steps": 9}]}
    cut = artifacts.short(recipe)
    assert [(stage["name"], stage["steps"]) for stage in cut["stages"]] == [("a", 0), ("b", artifacts.SLOW_STEPS)]


def test_a_job_that_fails_is_named(tmp_path: Path) -> None:
    assert artifacts.make("recipe-none", tmp_path).startswith("failed recipe-none: FileNotFoundError")
    assert "Traceback" in (tmp_path / "recipe-none/log.txt").read_text()
