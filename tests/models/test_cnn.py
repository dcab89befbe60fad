"""MobileNetV2 and light models of the onnx package, through both engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from qgraph.analyze.compare import compare
from qgraph.capture import from_factory, from_onnx
from qgraph.deploy.program import compile
from qgraph.workflow import transform
from qgraph.zoo import noise_images

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def test_mobilenet(tmp_path: Path) -> None:
    model = from_factory("qgraph.zoo:mobilenet_v2")
    reference = model.clone()
    data = list(noise_images())[:3]
    report = transform(model, preset="int8", data=data)
    assert min(report.output_sqnr.values()) >= 15
    compile(model, tmp_path / "m.qgp")
    result = compare(reference, tmp_path / "m.qgp", data[:1], layers=False)
    assert result.outputs[0].sqnr >= 15


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "inception_v1", "resnet50"])
def test_light_models(name: str, tmp_path: Path) -> None:
    model = from_onnx(LIGHT / f"light_{name}.onnx")
    reference = model.clone()
    rng = np.random.default_rng(0)
    shape = [int(d) for d in model.graph.inputs[0].shape or ()]
    data = [{model.graph.inputs[0].name or "": rng.standard_normal(shape).astype(np.float32)}]
    transform(model, preset="int8", data=data)
    compile(model, tmp_path / "l.qgp")
    for other in (model, tmp_path / "l.qgp"):
        assert compare(reference, other, data, layers=False).outputs[0].sqnr > 30
