"""A finished stage is taken up again only while everything that its result depends on is the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from qgraph.capture import from_factory
from qgraph.ir import io

HELPER = "SHIFT = 0\n"
CODE = """
import numpy as np
import torch
from torch import nn
import helper
from qgraph.train.data import Arrays, Dataset

def net(width=8):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), nn.Linear(width, 3)), (torch.randn(2, 4),), ({0: torch.export.Dim("batch")},)

def data(file=""):
    rng = np.random.default_rng(helper.SHIFT)
    x = np.load(file) if file else rng.standard_normal((20, 4)).astype(np.float32)
    samples = Arrays({"input": x, "label": rng.integers(0, 3, 20)})
    return Dataset(samples, samples)
"""


def stage(name: str, width: int = 8, **more: Any) -> dict[str, Any]:
    student = {"capture": "situation:net", "args": {"width": width}}
    return {"name": name, "student": student, "losses": [{"kind": "cross-entropy"}], "steps": 1, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "situation.py").write_text(CODE)
    return tmp_path


def run(folder: Path, *stages: dict[str, Any], metric: str = "accuracy", **data: Any) -> str:
    """Train in a process of its own; returns what it says on the standard error stream where it refuses, else nothing."""
    recipe = {
        "name": "t",
        "data": {"source": "situation:data", "args": data, "batch": 8},
        "metric": metric,
        "stages": list(stages),
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    line = [sys.executable, "-m", "qgraph", "train", "recipe.yaml", "--out", "out", "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "1000"}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2), done.stderr
    return " ".join(done.stderr.split()) if done.returncode else ""


def test_metric_and_code_of_the_data(folder: Path) -> None:
    assert not run(folder, stage("s"))
    assert not run(folder, stage("s"))
    assert "changed: metric)" in run(folder, stage("s"), metric="loss")
    (folder / "helper.py").write_text("SHIFT = 1\n")
    assert "changed: code of factories)" in run(folder, stage("s"))
    (folder / "helper.py").write_text(HELPER)
    assert not run(folder, stage("s"))


@pytest.mark.parametrize("external", [False, True])
def test_contents_of_the_teachers_file(folder: Path, external: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(width: int) -> None:
        model = from_factory("situation:net", width=width)
        io.save(model, folder / "teacher.onnx")
        if external:
            import onnx

            whole = onnx.load(str(folder / "teacher.onnx"))
            (folder / "teacher.data").unlink(missing_ok=True)
            options = {"save_as_external_data": True, "location": "teacher.data", "size_threshold": 0}
            onnx.save(whole, str(folder / "teacher.onnx"), **options)

    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    sys.modules.pop("situation", None)
    sys.modules.pop("helper", None)
    taught = stage("s", teachers=[{"file": "teacher.onnx"}], losses=[{"kind": "response"}])
    write(8)
    assert not run(folder, taught)
    if external:
        data = folder / "teacher.data"
        data.write_bytes(bytes(len(data.read_bytes())))  # the same names and sizes, other weights
        os.utime(folder / "teacher.onnx")
    else:
        write(16)
    assert "changed: contents of files)" in run(folder, taught)


def test_a_file_that_the_data_are_read_from(folder: Path) -> None:
    np.save(folder / "x.npy", np.zeros((20, 4), np.float32))
    assert not run(folder, stage("s"), file="x.npy")
    np.save(folder / "x.npy", np.ones((20, 4), np.float32))
    assert "changed: contents of files)" in run(folder, stage("s"), file="x.npy")


def test_an_earlier_stage_that_is_another(folder: Path) -> None:
    taught = stage("s", teachers=[{"stage": "t"}], losses=[{"kind": "response"}])
    assert not run(folder, stage("t"), taught)
    for file in (folder / "out" / "t").iterdir():
        file.unlink()
    assert "changed: earlier stages)" in run(folder, stage("t", 16), taught)
    assert not run(folder, stage("t"), taught)
