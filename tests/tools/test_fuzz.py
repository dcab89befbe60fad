"""The fuzzer: a share of its files on every run of the tests, and that it sees what it looks for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from qgraph.tools.fuzz import pool
from qgraph.tools.fuzz.mutate import MUTATIONS, mutate
from qgraph.tools.fuzz.seeds import texts
from qgraph.tools.fuzz.walk import Outcome, walk

from qgraph.ir import io


def test_a_share_of_the_files_makes_no_fault(tmp_path: Path) -> None:
    words = ("--count", "200", "--quick", "--out", str(tmp_path), "--timeout", "60")
    command = (sys.executable, "-m", "qgraph.tools.fuzz", *words)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done at run" in done.stdout


@pytest.mark.parametrize("name", texts())
def test_the_files_that_are_mutated_go_all_the_way_or_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(texts()[name])
    io.load(tmp_path / "m.onnx")
    outcome = walk(tmp_path / "m.onnx", lambda step: None)
    assert outcome.kind == ("done" if name in ("mlp", "old mlp", "cnn", "attention", "qdq", "function") else outcome.kind)
    assert not outcome.fault, outcome


def test_mutations_change_files_and_are_the_same_again() -> None:
    data = texts()["cnn"]
    made = [mutate(data, np.random.default_rng(number)) for number in range(60)]
    assert made == [mutate(data, np.random.default_rng(number)) for number in range(60)]
    assert len(set(made)) > 50
    changed = 0
    for mutation in MUTATIONS:
        for number in range(8):
            model = onnx.load_from_string(data)
            try:
                mutation(model, np.random.default_rng(number))
            except (ValueError, TypeError, IndexError):
                continue
            changed += model.SerializeToString() != data
    assert changed > 4 * len(MUTATIONS)


def crash(file: Path, begun: Any) -> Outcome:
    begun("crashing")
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def hang(file: Path, begun: Any) -> Outcome:
    begun("hanging")
    time.sleep(60)
    raise AssertionError


def greedy(file: Path, begun: Any) -> Outcome:
    try:
        np.ones(1 << 40, np.uint8)
    except MemoryError:
        return Outcome("memory", "traceback", "memory")
    return Outcome("memory", "done")


@pytest.mark.parametrize(("does", "kind"), [(crash, "crash"), (hang, "hang"), (greedy, "traceback")])
def test_crashes_hangs_and_greed_are_told_and_the_next_file_is_taken(
    does: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "walk", does)
    found = list(pool.fuzz([texts()["mlp"]], [], range(3), seed=0, jobs=2, timeout=1.0))
    assert [outcome.kind for outcome, _ in found] == [kind] * 3
    assert all(data for _, data in found)


def test_tracebacks_and_bad_sentences_are_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qgraph.tools.fuzz import walk as steps

    from qgraph.errors import QGraphError

    def broken(file: Path) -> Any:
        yield "one", lambda: [][1]

    def talking(file: Path) -> Any:
        def step() -> None:
            raise QGraphError("first line\nsecond line")

        yield "two", step

    for made, kind in ((broken, "traceback"), (talking, "refused badly")):
        monkeypatch.setattr(steps, "model_steps", made)
        outcome = walk(tmp_path / "m.onnx", lambda step: None)
        assert outcome.fault and outcome.kind == kind


def test_the_smallest_file_of_a_fault_is_kept(tmp_path: Path) -> None:
    fault = pool.Fault(Outcome("run", "traceback", "run ValueError here"))
    for data, kept in ((b"four", b"four"), (b"longer", b"four"), (b"two", b"two")):
        if fault.add(data):
            fault.keep(tmp_path)
        assert fault.file is not None and fault.file.read_bytes() == kept
    assert fault.count == 3
