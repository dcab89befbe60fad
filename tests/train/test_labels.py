"""Labels that are no class numbers end in a sentence before any step; those that are count as torch counts them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from qgraph.errors import QGraphError
from qgraph.train.data import Arrays, Dataset, make
from qgraph.train.losses import CrossEntropy
from qgraph.train.measure import score
from qgraph.train.recipe import Recipe
from qgraph.train.run import train

CLASSES, SAMPLES = 3, 40


def net() -> Any:
    torch.manual_seed(0)
    return nn.Linear(4, CLASSES), (torch.randn(2, 4),), ({0: torch.export.Dim("batch")},)


def data(form: str = "plain", dtype: str = "int64") -> Dataset:
    """Samples of three classes whose labels have the given form."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, SAMPLES).astype(dtype)
    arrays = {"input": rng.standard_normal((SAMPLES, 4)).astype(np.float32)}
    if form == "column":
        labels = labels[:, None]
    elif form == "one-hot":
        labels = np.eye(CLASSES, dtype=np.float32)[labels]
    elif form in ("nan", "half"):
        labels = labels.astype(np.float32)
        labels[5] = np.nan if form == "nan" else 0.5
    elif form in ("beyond", "below", "ignored"):
        labels[7] = {"beyond": CLASSES, "below": -1, "ignored": -100}[form]
    elif form == "text":
        labels = labels.astype(str)
    elif form == "weighted":
        arrays["weight"] = np.ones(SAMPLES, np.float32)
    samples = Arrays({**arrays, "label": labels})
    return Dataset(samples, samples)


def recipe(steps: int, arguments: Mapping[str, Any]) -> Recipe:
    where = f"{__name__}:"
    stage = {"name": "s", "student": {"capture": f"{where}net"}, "losses": [{"kind": "cross-entropy"}], "steps": steps}
    return Recipe(name="t", data={"source": f"{where}data", "args": arguments, "batch": 8}, stages=[stage])


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("column", r"labels of shape \[40, 1\] for scores of shape \[batch, 3\]; .*labels\[:, 0\]"),
        ("one-hot", r"one-hot, give labels.argmax\(-1\)"),
        ("nan", "has nan at sample 5; give class numbers as integers"),
        ("half", "has 0.5 at sample 5"),
        ("beyond", "has 3 at sample 7, and the model has classes 0 to 2"),
        ("below", "has -1 at sample 7"),
        ("text", "is of type <U"),
        ("weighted", "the data has 'weight', which no model of the recipe reads"),
    ],
)
def test_labels_that_are_no_classes_are_refused_before_any_step(form: str, says: str, steps: int, tmp_path: Path) -> None:
    with pytest.raises(QGraphError, match=says):
        train(recipe(steps, {"form": form}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_whole_numbers_of_every_type_are_classes(tmp_path: Path) -> None:
    reached = set()
    for dtype in ("int64", "int32", "uint8", "float32"):
        report = train(recipe(2, {"dtype": dtype}), tmp_path / dtype)
        assert report is not None
        reached.add(report.runs[0][0].measured.scores["graph"])
    assert len(reached) == 1


def test_ignored_labels_count_in_no_score() -> None:
    scores, samples = torch.randn(SAMPLES, CLASSES), data("ignored").test
    labels = torch.as_tensor(samples.batch(np.arange(SAMPLES))["label"])
    kept = labels != -100
    for metric, wanted in (
        ("accuracy", (scores.argmax(1) == labels)[kept].float().mean()),
        ("loss", -nn.functional.cross_entropy(scores, labels)),
    ):
        reached = score(lambda batch: {"y": scores}, None, samples, metric, torch.device("cpu"))
        assert reached == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("axis", [1, -1])
def test_scores_of_tokens_and_of_pixels(axis: int) -> None:
    scores, labels = torch.randn(SAMPLES, CLASSES, 5), torch.randint(0, CLASSES, (SAMPLES, 5))
    given = scores if axis == 1 else scores.transpose(1, 2)
    wanted = nn.functional.cross_entropy(scores, labels)
    torch.testing.assert_close(CrossEntropy()(given, labels), wanted)
    samples = Arrays({"label": labels.numpy()})
    reached = score(lambda batch: {"y": given}, None, samples, "accuracy", torch.device("cpu"))
    assert reached == pytest.approx(float((scores.argmax(1) == labels).float().mean()))


def triples() -> Any:
    batches = [(np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32), np.zeros(2, np.int64))]
    return batches, batches


def test_batches_with_more_arrays_than_the_model_has_inputs_are_refused() -> None:
    with pytest.raises(QGraphError, match=r"batch 1 holds 3 arrays, the model has 1 input \(input\)"):
        make(f"{__name__}:triples", {}, lambda: ["input"])


def loaders(kind: str) -> Any:
    """Two torch DataLoaders over the samples of ``data``, as (input, label) or as dicts."""
    arrays = data().train.batch(np.arange(SAMPLES))
    samples = [(torch.from_numpy(x), int(label)) for x, label in zip(arrays["input"], arrays["label"], strict=True)]
    if kind == "dicts":
        return tuple(DataLoader([{"input": x, "label": label} for x, label in samples], batch_size=7) for _ in range(2))
    return DataLoader(samples, batch_size=7), DataLoader(samples, batch_size=7)


def test_loaders_of_pairs_train_as_loaders_of_dicts(tmp_path: Path) -> None:
    results = []
    for kind in ("pairs", "dicts"):
        recipe_of = recipe(3, {"kind": kind})
        recipe_of.data.source = f"{__name__}:loaders"
        report = train(recipe_of, tmp_path / kind)
        assert report is not None
        results.append([(stage.measured.scores, stage.curves) for stage in report.runs[0]])
    assert results[0] == results[1]
