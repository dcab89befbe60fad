"""ResNet-50, MobileNetV2 and light models of the onnx package, through both engines."""

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
from tests.conftest import agrees_with_onnxruntime, same_bytes

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


@pytest.mark.parametrize(("name", "least", "ops"), [("mobilenet_v2", 15, 50), ("resnet50", 25, 50)])
def test_networks_of_the_zoo(name: str, least: float, ops: int, tmp_path: Path) -> None:
    model = from_factory(f"qgraph.zoo:{name}")
    reference = model.clone()
    data = list(noise_images())[:3]
    report = transform(model, preset="int8", data=data)
    assert min(report.output_sqnr.values()) >= least
    compile(model, tmp_path / "m.qgp")
    result = compare(reference, tmp_path / "m.qgp", data[:1], layers=False)
    assert result.outputs[0].sqnr >= least
    one = {k: v[:1] for k, v in data[0].items()}
    same_bytes(tmp_path / "m.qgp", one)
    agrees_with_onnxruntime(model, one, ops)


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
    same_bytes(tmp_path / "l.qgp", data[0])
