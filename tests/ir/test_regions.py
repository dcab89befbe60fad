"""Regions of functions of one value: what a table of that value can hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.ir.regions import Regions
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import model_of


@pytest.mark.parametrize(("dims", "is_region"), [("2,3,4", True), ("2,3,1", False), ("2,n,4", True)])
def test_a_constant_that_widens_a_value_makes_no_table_of_it(dims: str, is_region: bool, tmp_path: Path) -> None:
    model = model_of(f"g (float[{dims}] x) => (float[2,m,4] y) <float[4] f = {{1, 2, 3, 4}}> {{ y = Mul(x, f) }}")
    assert (model.graph.outputs[0] in Regions(model.graph).root) == is_region
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 1 if dims.endswith("1") else 4)).astype(np.float32)
    wanted = run_onnx(model, {"x": x})[0]
    Pipeline("calibrate,quantize").run(model, PassContext(data=[{"x": x}]))
    try:
        compile(model, tmp_path / "m.qgp")
    except QGraphError:
        assert not is_region
        return
    assert np.abs(Session(tmp_path / "m.qgp").run({"x": x})["y"] - wanted).max() < 0.05  # what compiles runs
