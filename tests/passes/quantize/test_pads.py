"""Pads by values inside and outside of the range of their input, against ONNX Runtime's float result and the integer program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import run_onnx
from tests.passes.graphs import model_of

X = {"x": np.random.default_rng(0).uniform(-1, 3, (1, 2, 6, 6)).astype(np.float32)}


def padded(fill: float, after: str, shape: str = "1,2,9,8", mode: str = "constant") -> ir.Model:
    model = model_of(
        f"g (float[1,2,6,6] x) => (float[{shape}] y) <int64[8] p = {{0,0,1,2,0,0,2,0}}, float v = {{0}}> "
        f'{{ a = Relu(x) b = Pad<mode="{mode}">(a, p, v) {after} }}'
    )
    model.graph.initializers["v"].const_value = ir.Tensor(np.array(fill, np.float32), name="v")
    return model


def quantized(model: ir.Model, options: str, method: str = "minmax") -> tuple[ir.Model, dict[str, str]]:
    *_, report = Pipeline(f"calibrate{{method={method}}},quantize{{{options}}}").run(model, PassContext(data=[X]))
    return model, report.details["kept float"]


@pytest.mark.parametrize("fill", [0.0, 2.0, -0.4, -7.0, 20.0])
@pytest.mark.parametrize("options", ["", "activations=int8", "activations=uint4"])
@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_what_is_filled_in_has_a_code(fill: float, options: str, method: str, tmp_path: Path) -> None:
    want = run_onnx(padded(fill, "y = Neg(b)"), X)[0]
    model, kept = quantized(padded(fill, "y = Neg(b)"), options, method)
    assert not kept
    step = (max(3, fill) - min(0, fill)) / (15 if "uint4" in options else 255)
    got = run_onnx(model, X)[0]
    assert np.abs(got - want).max() < 1.5 * step
    compile(model, tmp_path / "m.qgp")
    assert np.abs(Session(tmp_path / "m.qgp").run(X)["y"] - got).max() < 1.01 * step


@pytest.mark.parametrize("fill", [-1.0, -1e3, -3e38, -np.inf])
@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_a_pad_in_front_of_a_maximum_takes_nothing_from_its_input(fill: float, method: str, tmp_path: Path) -> None:
    after = "c = MaxPool<kernel_shape=[3,3]>(b) y = Neg(c)"
    want = run_onnx(padded(fill, after, "1,2,7,6"), X)[0]
    model, _ = quantized(padded(fill, after, "1,2,7,6"), "", method)
    assert np.abs(run_onnx(model, X)[0] - want).max() < 0.02
    compile(model, tmp_path / "m.qgp")
    assert np.abs(Session(tmp_path / "m.qgp").run(X)["y"] - want).max() < 0.02


@pytest.mark.parametrize("fill", [-1e3, -1e5, -3e38, 1e3, 3e38, -np.inf])
def test_what_no_scale_holds_stays_float(fill: float) -> None:
    model = padded(fill, "y = Relu(b)" if fill < 0 else "c = Neg(b) y = Relu(c)")
    want = run_onnx(model, X)[0]
    model, kept = quantized(model, "")
    assert "which it fills with" in kept["b"]
    assert np.abs(run_onnx(model, X)[0] - want).max() < 0.02


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_other_modes_fill_with_their_input(mode: str) -> None:
    model, _ = quantized(padded(-7.0, "y = Neg(b)", mode=mode), "")
    want = run_onnx(padded(-7.0, "y = Neg(b)", mode=mode), X)[0]
    assert np.abs(run_onnx(model, X)[0] - want).max() < 0.015
