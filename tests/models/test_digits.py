"""The digits CNN from training to the integer program."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qgraph.analyze.compare import compare
from qgraph.deploy.session import Session
from qgraph.ir import io
from qgraph.zoo.digits import split
from tests.conftest import run_onnx, same_bytes


def test_accuracy_and_agreement(digits: Path) -> None:
    images, labels = split()[2:]
    feed = {"input": images}
    truth = run_onnx(io.load(digits / "digits.onnx"), feed)[0].argmax(1)
    ort = run_onnx(io.load(digits / "digits_int8.onnx"), feed)[0].argmax(1)
    (ours,) = Session(digits / "digits.qgp").run(feed).values()
    float_accuracy, int8_accuracy = (truth == labels).mean(), (ort == labels).mean()
    assert float_accuracy > 0.95
    assert int8_accuracy >= float_accuracy - 0.005
    assert (ours.argmax(1) == ort).mean() >= 0.999


def test_layers_agree_between_onnxruntime_and_our_runtime(digits: Path) -> None:
    result = compare(digits / "digits_int8.onnx", digits / "digits.qgp", [{"input": split()[2][:32]}])
    assert len(result.values) >= 6
    assert min(v.sqnr for v in result.values) > 40


def test_threads_and_isas_give_the_same_bytes(digits: Path) -> None:
    same_bytes(digits / "digits.qgp", {"input": np.ascontiguousarray(split()[2][:33])})
