"""Models that several tests share, captured once a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.capture import from_factory
from qgraph.ir import io
from qgraph.workflow import transform


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with digits.onnx (float), digits_int8.onnx and digits.qgp."""
    from qgraph.deploy.program import compile
    from qgraph.zoo import digits_data

    folder = tmp_path_factory.mktemp("digits")
    model = from_factory("qgraph.zoo:digits_cnn")
    io.save(model, folder / "digits.onnx")
    transform(model, preset="int8", data=list(digits_data()))
    io.save(model, folder / "digits_int8.onnx")
    compile(model, folder / "digits.qgp")
    return folder


def run_onnx(model: ir.Model, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    from qgraph.analyze.activations import session

    return session(model).run(None, feed)
