"""Inputs and outputs of a program: names, order and count are those of the float model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.workflow import transform
from tests.conftest import run_onnx
from tests.passes.graphs import model_of

OUTPUTS = {  # nodes beside y = Conv(x, w) and d = Relu(y), and the outputs
    "the input": ("", ["x", "y"]),
    "the input behind": ("", ["y", "x"]),
    "the input and a copy": ("e = Identity(x)", ["e", "y", "x"]),
    "a constant": ("", ["y", "k"]),
    "copies of a constant": ("e = Identity(k) f = Identity(k)", ["f", "y", "e", "k"]),
    "copies of a hidden value": ("e = Identity(d) f = Dropout(d)", ["y", "f", "e", "d"]),
    "copies of the result": ("e = Identity(y)", ["e", "y"]),
}


@pytest.mark.parametrize("case", OUTPUTS)
@pytest.mark.parametrize("passes", ["calibrate,quantize", "canonicalize,fold-batchnorm,fuse-bias,calibrate,quantize"])
def test_inputs_and_outputs_keep_their_names(case: str, passes: str, tmp_path: Path) -> None:
    more, outputs = OUTPUTS[case]
    listed = ", ".join(f"float[1,1,2,2] {name}" for name in outputs)
    model = model_of(
        f"g (float[1,1,2,2] x) => ({listed}) <float[1,1,1,1] w = {{2}}, float[1,1,2,2] k = {{1, 2, 3, 4}}> "
        f"{{ y = Conv(x, w) d = Relu(y) z = Add(d, k) {more} }}"
    )
    feed = {"x": np.array([[[[1, -2], [3, 4]]]], np.float32)}
    want = run_onnx(model, feed)
    transform(model, passes, data=[feed])
    assert [v.name for v in model.graph.inputs] == ["x"]
    assert [v.name for v in model.graph.outputs] == outputs
    compile(model, tmp_path / "m.qgp")
    program = Session(tmp_path / "m.qgp")
    assert list(program.inputs) == ["x"]
    assert program.outputs == outputs
    export(model, tmp_path / "m.onnx")
    made = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert [o.name for o in made.get_outputs()] == outputs
    for got in (run_onnx(model, feed), list(program.run(feed).values()), made.run(None, feed)):
        for a, b in zip(got, want, strict=True):
            assert np.abs(a - b).max() <= 0.05
