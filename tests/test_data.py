"""Batches in every form that users have them in, and errors of their code told as theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from qgraph.data import LABEL, Batches, Data, as_type, first_batch
from qgraph.errors import QGraphError

X, Y = np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4)


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=2)


def generator() -> Iterator[np.ndarray]:
    yield X[:2]
    yield X[2:]


ONE_INPUT = {
    "a loader": (loader, True),
    "a list of dicts": (lambda: [{"x": X[:2]}, {"x": torch.from_numpy(X[2:])}], False),
    "a list of arrays": (lambda: [X[:2], torch.from_numpy(X[2:])], False),
    "a generator": (generator, False),
    "tuples of one": (lambda: [(X[:2],), (X[2:],)], False),
    "lists": (lambda: [[X[:2]], [X[2:]]], False),
    "a dict and its label": (lambda: [({"x": X[:2]}, Y[:2]), ({"x": X[2:]}, Y[2:])], True),
    "unnamed": (lambda: [{"arr_0": X[:2]}, {"arr_0": X[2:]}], False),
    "numbers": (lambda: [X[:2].tolist(), X[2:].tolist()], False),
}


@pytest.mark.parametrize("form", ONE_INPUT)
def test_every_form_is_read_twice(form: str) -> None:
    make, labelled = ONE_INPUT[form]
    batches = Batches(make(), ["x"])
    for _ in range(2):
        read = list(batches)
        assert len(read) == 2
        np.testing.assert_array_equal(np.concatenate([b["x"] for b in read]), X)
        assert labelled == all(LABEL in b for b in read)
        if labelled:
            np.testing.assert_array_equal(np.concatenate([b[LABEL] for b in read]), Y)


@pytest.mark.parametrize("data", [{"a": X, "b": Y}, (X, Y), [(X, Y)], [((X, Y), Y)], [[X, Y, Y]]], ids=str)
def test_two_inputs_go_by_their_order(data: Any) -> None:
    (batch,) = Batches(data, ["a", "b"])
    np.testing.assert_array_equal(batch["a"], X)
    np.testing.assert_array_equal(batch["b"], Y)


def test_files(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", X)
    np.savez(tmp_path / "a.npz", x=2 * X)
    for source, wanted in ((tmp_path, [2 * X, X]), (tmp_path / "b.npy", [X]), (str(tmp_path / "a.npz"), [2 * X])):
        np.testing.assert_array_equal([b["x"] for b in Batches(source, ["x"])], wanted)
    (tmp_path / "c.npy").write_bytes((tmp_path / "b.npy").read_bytes()[:20])
    with pytest.raises(QGraphError, match=r"cannot read data .*c\.npy"):
        list(Data(str(tmp_path)))


def test_bfloat16_tensors_become_float32() -> None:
    (batch,) = Batches(torch.ones(2, dtype=torch.bfloat16), ["x"])
    assert batch["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([X], r"batch 1 holds 1 array, the model has 2 inputs \(a, b\)"),
        ([(X, X), "text"], "batch 2 is str"),
        (3, "gives int, which holds no batches"),
        ([{"a": X}], r"no input 'b' \(it holds 'a'\)"),
        ([], "no batch"),
    ],
)
def test_what_does_not_fit_is_refused(data: Any, says: str) -> None:
    with pytest.raises(QGraphError, match=says):
        first_batch(data, ["a", "b"])
        list(Batches(data, ["a", "b"]))


THEIRS = """
import torch
class Bad:
    def __getitem__(self, i): return [1][i + 1]
    def __len__(self): return 4
def loader():
    return torch.utils.data.DataLoader(Bad())
def generator():
    yield {"x": 1}
    raise OSError("disk gone")
def factory():
    return 1 / 0
number = 3
"""


def test_errors_of_the_users_code_are_called_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_data.py").write_text(THEIRS)
    (tmp_path / "their_syntax.py").write_text("def f(:\n")
    (tmp_path / "their_import.py").write_text("x = {}\ny = x['k']\n")
    monkeypatch.chdir(tmp_path)
    cases = {
        "their_data:loader": r"their_data:loader fails: IndexError: list index out of range \(at .*their_data.py:4\)",
        "their_data:generator": r"their_data:generator fails: OSError: disk gone \(at .*their_data.py:10\)",
        "their_data:factory": r"their_data:factory fails: ZeroDivisionError: division by zero \(at .*their_data.py:12\)",
        "their_data:number": "is int, not a function",
        "their_syntax:f": r"importing 'their_syntax' .* fails: SyntaxError: .*their_syntax.py:1\)",
        "their_import:f": r"importing 'their_import' .* fails: KeyError: 'k' \(at .*their_import.py:2\)",
    }
    for spec, says in cases.items():
        with pytest.raises(QGraphError, match=says):
            list(Batches(spec, ["x"]))


def test_types_are_converted_where_nothing_is_lost() -> None:
    assert as_type(np.ones(2), np.dtype(np.float32)) is not None
    assert as_type(np.array([2**40]), np.dtype(np.int32)) is None
    assert as_type(np.array([5]), np.dtype(np.int32)) == 5
    assert as_type(np.array([5]), np.dtype(np.float32)) is None


class NoSample(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> Any:
        raise KeyError("no sample")


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_workers_name_their_line(workers: int) -> None:
    with pytest.raises(QGraphError, match=r"the data fails: KeyError: .*no sample.* \(at \S*test_data.py:\d+\)"):
        list(Batches(DataLoader(NoSample(), num_workers=workers), ["x"]))
