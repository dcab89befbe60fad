"""Arithmetic of ai.onnx.ml in standard ops: the captured model against ONNX Runtime's run of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from qgraph.capture import from_onnx
from qgraph.errors import QGraphError
from qgraph.execute.onnxruntime import session

RNG = np.random.default_rng(0)
X = np.where(RNG.random((7, 4)) < 0.3, 0, RNG.standard_normal((7, 4))).astype(np.float32)
HOLES = np.where(RNG.random((7, 4)) < 0.3, np.nan, X).astype(np.float32)
CASES: list[tuple[str, dict[str, Any], list[np.ndarray]]] = [
    ("Scaler", {"offset": [0.5], "scale": [2.0]}, [X]),
    ("Scaler", {"offset": [0.5, -1, 0, 2], "scale": [2.0, 0.1, 3, -1]}, [X]),
    ("Scaler", {"offset": [0.5, -1, 0, 2], "scale": [2.0, 0.1, 3, -1]}, [(10 * X).astype(np.int64)]),
    ("Binarizer", {"threshold": 0.25}, [X]),
    ("Binarizer", {}, [X]),
    ("Imputer", {"imputed_value_floats": [1.0, 2, 3, 4], "replaced_value_float": 0.0}, [X]),
    ("Imputer", {"imputed_value_floats": [-1.0], "replaced_value_float": float("nan")}, [HOLES]),
    ("LinearRegressor", {"coefficients": list(RNG.random(4)), "intercepts": [0.3]}, [X]),
    ("LinearRegressor", {"coefficients": list(RNG.random(8)), "intercepts": [0.3, 2], "targets": 2}, [X]),
    ("ArrayFeatureExtractor", {}, [X, np.array([[2, 0, 2]])]),
]


def saved(path: Path, op: str, attributes: dict[str, Any], arrays: list[np.ndarray], version: int) -> Path:
    names = ["x", "i"][: len(arrays)]
    kinds = [helper.np_dtype_to_tensor_dtype(array.dtype) for array in arrays]
    inputs = [
        helper.make_tensor_value_info(n, k, ["n", 4][-a.ndim :] if n == "x" else a.shape)
        for n, k, a in zip(names, kinds, arrays, strict=True)
    ]
    node = helper.make_node(op, names, ["s"], domain="ai.onnx.ml", **attributes)
    last = helper.make_node("Cast", ["s"], ["y"], to=TensorProto.FLOAT)
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])]
    graph = helper.make_graph([node, last], "g", inputs, outputs)
    onnx.save(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", version), helper.make_opsetid("ai.onnx.ml", 1)], ir_version=8
        ),
        path,
    )
    return path


@pytest.mark.parametrize("version", [11, 17, 21])
@pytest.mark.parametrize(("op", "attributes", "arrays"), CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)])
def test_op(op: str, attributes: dict[str, Any], arrays: list[np.ndarray], version: int, tmp_path: Path) -> None:
    file = saved(tmp_path / "m.onnx", op, attributes, arrays, version)
    feed = dict(zip(["x", "i"], arrays, strict=False))
    (wanted,) = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, feed)
    model = from_onnx(file)
    assert {node.domain for node in model.graph} == {""}
    assert [v.name for v in model.graph.outputs] == ["y"]
    (got,) = session(model).run(None, feed)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


def test_what_is_no_arithmetic_is_refused_by_name(tmp_path: Path) -> None:
    attributes = {"coefficients": [1.0, 2, 3, 4], "intercepts": [0.0], "post_transform": "LOGISTIC"}
    file = saved(tmp_path / "m.onnx", "LinearRegressor", attributes, [X], 17)
    with pytest.raises(QGraphError, match=r"LinearRegressor node .*\(domain 'ai.onnx.ml'\) does not belong to the float dialect"):
        from_onnx(file)
