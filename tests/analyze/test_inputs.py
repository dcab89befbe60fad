"""Inputs that are made where none are given: every model takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from qgraph.analyze.inputs import input_names, made_inputs
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from tests.conftest import run_onnx


def parsed(inputs: str, body: str, constants: str = "") -> ir.Model:
    text = f'<ir_version: 10, opset_import: ["" : 21]> g ({inputs}) => (float[?] y) {constants} {{ {body} }}'
    return ir.from_proto(onnx.parser.parse_model(text))


def test_indices_stay_in_the_smallest_table_that_reads_them() -> None:
    model = parsed(
        "int64[n] ids, int64[n] mask",
        "c = Cast<to=6>(ids)\n u = Unsqueeze(c, axis)\n a = Gather(table, u)\n b = Gather<axis=1>(short, u)\n"
        " m = Cast<to=1>(mask)\n s = ReduceSum(a)\n t = ReduceSum(b)\n d = Add(s, t)\n y = Mul(d, m)",
        "<float[5, 2] table = {1,1,1,1,1,1,1,1,1,1}, float[2, 3] short = {1,1,1,1,1,1}, int64[1] axis = {0}>",
    )
    feed = made_inputs(model, {"ids": [200]})
    assert set(feed["ids"]) == {0, 1, 2}
    assert feed["mask"].tolist() == [1] * 200  # the symbol n has one size
    run_onnx(model, feed)


def test_free_dims_follow_their_symbols_and_given_shapes() -> None:
    model = parsed("float[batch, 3, h, w] x, int64[batch, past] p, int64[batch, total] q", "y = ReduceSum(x)")
    model.graph.inputs[2].shape = ir.Shape(["batch", "past + 1"])
    feed = made_inputs(model)
    assert feed["x"].shape == (1, 3, 64, 64) and feed["x"].dtype == np.float32
    assert feed["q"].shape[1] == feed["p"].shape[1] + 1
    feed = made_inputs(model, {"p": [2, 4]})
    assert feed["q"].shape == (2, 5) and feed["x"].shape[0] == 2
    with pytest.raises(QGraphError, match="no input 'r'"):
        made_inputs(model, {"r": [1]})


def test_types() -> None:
    model = parsed("uint8[1, 400] image, bool[2] b, double[2] d, float16[2] h", "y = Cast<to=1>(h)")
    feed = made_inputs(model)
    assert feed["image"].min() < 9 and feed["image"].max() > 246
    assert [feed[n].dtype.name for n in ("b", "d", "h")] == ["bool", "float64", "float16"]
    with pytest.raises(QGraphError, match="'t' of type STRING; give data"):
        made_inputs(parsed("string[2] t, float[1] x", "y = Identity(x)"))


def test_a_program_takes_its_own(digits: Path) -> None:
    file = digits / "digits.qgp"
    feed = made_inputs(file)
    assert feed["input"].min() >= 0 and 0.9 < feed["input"].max() <= 1  # what its quantizer was calibrated for
    assert (made_inputs(digits / "digits.onnx", others=[file])["input"] == feed["input"]).all()
    assert made_inputs(digits / "digits.onnx")["input"].min() < -1
    assert list(feed) == input_names(file) == ["input"]
    assert np.isfinite(Session(file).run(feed)["linear"]).all()
