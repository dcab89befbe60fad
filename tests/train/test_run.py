"""Recipes from end to end: results, resume after a kill, several processes, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

from qgraph.capture import from_factory
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.train.data import make, numbers_of
from qgraph.train.recipe import SHIPPED, load
from qgraph.train.report import interval
from qgraph.train.run import train
from qgraph.train.schedules import factor
from qgraph.train.teacher_cache import TeacherCache

RECIPE = Path(__file__).parent / "recipe.yaml"


def command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "qgraph", "train", str(RECIPE), "--out", str(out), *more]


def weights(file: Path) -> dict[str, np.ndarray]:
    return {name: v.const_value.numpy() for name, v in io.load(file).graph.initializers.items()}  # type: ignore[union-attr]


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    subprocess.run(command(out), check=True, env=ENVIRONMENT, capture_output=True)
    return out


def test_report_has_every_stage_its_program_and_its_control(whole: Path) -> None:
    report = json.loads((whole / "report.json").read_text())
    assert [r["stage"] for r in report["rows"]] == ["teacher", "student", "student-control"]
    student = report["rows"][1]
    assert student["score"] > 0.5 and abs(student["program"] - student["score"]) <= 0.005
    assert [(d["first"], d["second"]) for d in report["differences"]] == [("student", "teacher"), ("student", "student-control")]
    assert "one seed" in report["differences"][0]["says"]
    curves = report["runs"][0][1]["curves"]
    assert {"response", "cross-entropy", "total", "accuracy"} <= set(curves) and curves["total"][-1][1] < curves["total"][0][1]
    page = (whole / "report.html").read_text()
    assert "<svg" in page and "student-control" in page
    assert (whole / "student" / "model.qgp").is_file() and not list(whole.glob("*/checkpoint*"))


def test_a_killed_run_goes_on_to_the_same_bits(whole: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not (tmp_path / "student" / "checkpoint.safetensors").is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "student" / "model.onnx").is_file()
    done = subprocess.run(command(tmp_path), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for stage in ("teacher", "student", "student-control"):
        wanted, found = (weights(f / stage / "model.onnx") for f in (whole, tmp_path))
        assert wanted.keys() == found.keys()
        for name, array in wanted.items():
            assert array.tobytes() == found[name].tobytes(), (stage, name)


def test_results_of_another_recipe_are_not_taken(whole: Path) -> None:
    with pytest.raises(QGraphError, match="is of another recipe, data or seed"):
        train(load(RECIPE, ("stages.teacher.steps=41",)), whole)
    report = train(load(RECIPE), whole)  # nothing is left to do
    assert report is not None and [r.steps for r in report.runs[0]] == [40, 120, 120]


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "qgraph"]
SHORT = ["--set", "stages.teacher.steps=12", "--set", "stages.student.steps=40", "--set", "stages.student.control=false"]


def two(out: Path) -> list[str]:
    return [*TORCHRUN, "train", str(RECIPE), "--out", str(out), "--device", "cpu", *SHORT]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pair")
    done = subprocess.run(two(out), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def test_two_processes_reach_what_one_reaches(pair: Path, tmp_path: Path) -> None:
    subprocess.run(command(tmp_path, *SHORT, "--set", "stages.student.steps=0"), check=True, env=ENVIRONMENT, capture_output=True)
    wanted, found = (weights(f / "teacher" / "model.onnx") for f in (tmp_path, pair))
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-5)


def test_two_killed_processes_go_on_to_the_same_bits(pair: Path, tmp_path: Path) -> None:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(two(tmp_path), env=ENVIRONMENT, stdout=quiet, stderr=quiet, start_new_session=True)
    deadline = time.monotonic() + 240
    while not (tmp_path / "student" / "checkpoint.safetensors").is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    subprocess.run(["pkill", "-KILL", "-f", str(tmp_path)], check=True)  # the launcher starts sessions of its own
    process.wait()
    assert not (tmp_path / "student" / "model.onnx").is_file()
    done = subprocess.run(two(tmp_path), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for stage in ("teacher", "student"):
        wanted, found = (weights(f / stage / "model.onnx") for f in (pair, tmp_path))
        assert wanted.keys() == found.keys() and all(wanted[n].tobytes() == found[n].tobytes() for n in wanted), stage


def test_cached_teachers_teach_the_same(whole: Path, tmp_path: Path) -> None:
    cache, data = tmp_path / "cache", make("digits", {"fraction": 0.3, "noise": 0.1})
    settings = ("stages.teacher.steps=40", f"stages.student.cache={cache}", "stages.student.control=false")
    for out in (tmp_path / "first", tmp_path / "second"):
        more = [word for setting in settings for word in ("--set", setting)]
        subprocess.run(command(out, *more), check=True, env=ENVIRONMENT, capture_output=True)
        scores = [json.loads((f / "student" / "result.json").read_text())["measured"]["scores"]["graph"] for f in (whole, out)]
        assert scores[0] == pytest.approx(scores[1], abs=0.02)  # rows of other batches may be summed in another order
    assert len(list(cache.glob("*/*.safetensors"))) == len(data.train)


def test_a_teacher_runs_once_for_each_sample(tmp_path: Path) -> None:
    calls: list[int] = []
    graph = from_factory("qgraph.zoo:digits_mlp")
    cache = TeacherCache(tmp_path, graph)
    x = torch.randn(6, 64)

    def run() -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"y": x * 2}

    for order in ([0, 1, 2, 3, 4, 5], [5, 1, 3, 0, 2, 4]):
        torch.testing.assert_close(cache(run, {"input": x[order]})["y"], x[order] * 2, rtol=0, atol=0)
    assert len(calls) == 1 and (cache.hits, cache.misses) == (1, 1)
    next(tmp_path.glob("*/*.safetensors")).write_bytes(b"damaged")
    assert cache(run, {"input": x})["y"].shape == (6, 64) and len(calls) == 2
    value = next(v for v in graph.graph.initializers.values() if v.const_value.dtype == ir.DataType.FLOAT)  # type: ignore[union-attr]
    value.const_value = ir.Tensor(value.const_value.numpy() * 2, name=value.name)  # type: ignore[union-attr]
    TeacherCache(tmp_path, graph)(run, {"input": x})
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("stages.student.stepz=3",), "did you mean 'steps'"),
        (("stages.student.optimizer.lr=-1",), "greater than 0"),
        (("stages.student.losses.response.temprature=3",), "did you mean 'temperature'"),
        (("stages.student.losses.0.kind=respons",), "did you mean 'response'"),
        (("stages.student.teachers=[]",), "needs a teacher"),
        (("stages.student.teachers=[{file: nowhere.onnx}]",), "there is no file nowhere.onnx"),
        (("stages.student.teachers=[{stage: later}]",), "does not come before it"),
        (("stages.student.student={}",), "exactly one of file, capture and stage"),
        (("stages.student.student.args={hiden: 3}",), "cannot be called with hiden"),
        (("stages.student.losses.0={kind: attention-scores}",), "has no attention to tap"),
        (("stages.student.losses.0={kind: feature}", "stages.student.taps.map='0:9'"), "wants layer 9"),
        (("stages.student.taps.map=sideways",), "map must be"),
        (("data.source=nowhere:data",), "cannot import"),
        (("data.args={fraktion: 1}",), "cannot be called with fraktion"),
        (("stages.student.teachers=[{capture: 'qgraph.zoo:digits_cnn'}]",), "takes 4 dims"),
        (("metric=acuracy",), "accuracy"),
        (("stages.nobody.steps=1",), "there is no 'nobody'"),
    ],
)  # fmt: skip
def test_bad_recipes_end_in_a_sentence_before_training(tmp_path: Path, settings: tuple[str, ...], says: str) -> None:
    with pytest.raises(QGraphError, match=says):
        train(load(RECIPE, settings), tmp_path)
    assert not list(tmp_path.glob("*/model.onnx"))


def test_features_of_other_widths_get_regressors_and_leave_no_trace(tmp_path: Path) -> None:
    settings = ("stages.student.losses.0={kind: feature}", "stages.student.steps=2", "stages.teacher.steps=1", "evaluate_every=0")
    report = train(load(RECIPE, settings), tmp_path)
    assert report is not None and "feature" in report.runs[0][1].curves
    model = io.load(tmp_path / "student" / "model.onnx")
    assert len(model.graph.outputs) == 1 and not any("regressor" in n or "tap." in n for n in model.graph.initializers)


def test_patience_keeps_the_best_state(tmp_path: Path) -> None:
    settings = ("stages.teacher.patience=2", "stages.teacher.steps=200", "evaluate_every=5", "stages.student.steps=0")
    more = ("stages.teacher.optimizer={kind: sgd, lr: 0.9, schedule: constant}", "stages.student.control=false", "compare=[]")
    report = train(load(RECIPE, (*settings, *more)), tmp_path)
    assert report is not None
    teacher = report.runs[0][0]
    scores = [v for _, v in teacher.curves["accuracy"]]
    assert len(scores) < 40 and scores[-1] < max(scores)
    assert teacher.measured.scores["graph"] == pytest.approx(max(scores), abs=1e-6)


def test_a_loss_that_is_not_finite_names_it(tmp_path: Path) -> None:
    settings = ("stages.teacher.optimizer={kind: sgd, lr: 1.0e+30, schedule: constant}",)
    with pytest.raises(QGraphError, match="'cross-entropy' is not finite at step"):
        train(load(RECIPE, settings), tmp_path)


@pytest.mark.parametrize("name", sorted(p.stem for p in SHIPPED.glob("*.yaml")))
def test_shipped_recipes_are_valid(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name and recipe.about


def test_samples_are_drawn_once_an_epoch() -> None:
    drawn = np.concatenate([numbers_of(step, 7, 23, 5) for step in range(46)])
    assert len(drawn) == 7 * 46 == 23 * 14
    assert np.array_equal(np.bincount(drawn), np.full(23, 14))
    assert not np.array_equal(drawn[:23], drawn[23:46])


def test_schedules_and_intervals() -> None:
    assert factor("cosine", 0, 100, 0.0) == 1 and factor("cosine", 50, 100, 0.0) == pytest.approx(0.5)
    assert factor("linear", 4, 100, 0.1) == pytest.approx(5 / 11) and factor("linear", 55, 100, 0.1) == pytest.approx(0.5)
    assert [factor("step", s, 100, 0.0) for s in (0, 60, 90)] == [1, 0.1, 0.01]
    mean, half = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3 and half == pytest.approx(1.9634, abs=1e-3)  # scipy.stats.t.interval(0.95, 4, 3, sem)
