"""Implied padding written down gives what ONNX Runtime makes of the implied one."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from qgraph.pipeline import Pipeline

RNG = np.random.default_rng(0)


def model(op: str, shape: list[int | str], weight: tuple[int, ...] | None, **attributes: object) -> onnx.ModelProto:
    inputs = ["x"] if weight is None else ["x", "w"]
    node = helper.make_node(op, inputs, ["y"], name="n", **attributes)
    weights = [] if weight is None else [numpy_helper.from_array(RNG.standard_normal(weight).astype(np.float32), "w")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def rewritten(proto: onnx.ModelProto) -> onnx.ModelProto:
    made = ir.from_proto(proto)
    Pipeline("explicit-pads").run(made)
    return ir.to_proto(made)


def names(proto: onnx.ModelProto) -> set[str]:
    return {a.name for a in proto.graph.node[0].attribute}


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool"])
def test_windows_of_known_sizes(op: str, auto_pad: str) -> None:
    for size, kernel, stride in itertools.product((5, 8, 9), (1, 2, 3, 4), (1, 2, 3)):
        if op != "Conv" and kernel < stride:
            continue  # ONNX Runtime refuses the padding that it computes itself
        attributes = {"auto_pad": auto_pad, "strides": [stride, 1], "kernel_shape": [kernel, 3]}
        proto = model(op, [1, 3, size, 7], (4, 3, kernel, 3) if op == "Conv" else None, **attributes)
        x = RNG.standard_normal((1, 3, size, 7)).astype(np.float32)
        new = rewritten(proto)
        assert "auto_pad" not in names(new)
        np.testing.assert_allclose(run(new, x), run(proto, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_free_sizes(auto_pad: str) -> None:
    free = model("Conv", ["n", 3, "h", "w"], (4, 3, 4, 3), auto_pad=auto_pad)
    new = rewritten(free)
    assert "auto_pad" not in names(new)
    for size in (6, 7):
        x = RNG.standard_normal((2, 3, size, 5)).astype(np.float32)
        np.testing.assert_allclose(run(new, x), run(free, x), rtol=1e-5, atol=1e-6)
    strided = model("Conv", ["n", 3, "h", 8], (4, 3, 3, 3), auto_pad=auto_pad, strides=[2, 2])
    assert rewritten(strided) == ir.to_proto(ir.from_proto(strided))


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "NOTSET"])
def test_transposed(auto_pad: str) -> None:
    x = RNG.standard_normal((1, 3, 5, 6)).astype(np.float32)
    for stride, kernel, wanted in itertools.product((1, 2, 3), (2, 3, 4), (None, 9, 10, 11)):
        more = {} if wanted is None else {"output_shape": [wanted, 12]}
        proto = model("ConvTranspose", [1, 3, 5, 6], (3, 2, kernel, 3), auto_pad=auto_pad, strides=[stride, 2], **more)
        try:
            right = run(proto, x)
        except Exception:  # a shape that ONNX Runtime does not make of these strides
            continue
        new = rewritten(proto)
        assert run(new, x).shape == right.shape
        np.testing.assert_allclose(run(new, x), right, rtol=1e-5, atol=1e-6)
