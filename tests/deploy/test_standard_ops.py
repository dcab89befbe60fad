"""Ops of the standard domain, compiled and run by programs, against ONNX Runtime on the examples that kernels are tested with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import HealthCheck, assume, given, settings

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import KINDS
from tests.conftest import opset_of, run_onnx
from tests.runtime.examples import EXAMPLES, Example

E = onnxruntime.capi.onnxruntime_pybind11_state
REFUSED = (E.InvalidArgument, E.Fail, E.RuntimeException, E.NotImplemented, E.InvalidGraph)
"""What ONNX Runtime has no kernel for, or none with these attributes."""
OPS = [
    "ai.onnx.Pad", "CenterCropPad", "Trilu", "ReverseSequence", "ScatterElements", "ScatterND", "ai.onnx.Resize",
    "Compress", "TopK", "OneHot", "EyeLike", "Range", "Unique",
    "GridSample", "AffineGrid", "RoiAlign", "NonMaxSuppression", "Split", "Concat",
    "Gather", "GatherElements", "GatherND", "Expand", "Tile", "Slice", "Transpose", "SpaceToDepth",
]  # fmt: skip

PACKED = ("Gather", 1)
"""Tables of int4, which ONNX Runtime does not gather from."""


def model_of(op: str, x: Example) -> tuple[ir.Model, dict[str, np.ndarray]]:
    """A model of one node as ONNX has it, and what it is to be fed."""
    spec = KINDS[op]
    values: list[ir.Value | None] = []
    for i, array in enumerate(x.inputs):
        known = None if array is None or i not in x.constants else ir.Tensor(array, name=f"x{i}")
        kind = None if array is None else ir.TensorType(ir.DataType.from_numpy(array.dtype))
        values.append(kind and ir.Value(name=f"x{i}", shape=ir.Shape(array.shape), type=kind, const_value=known))  # type: ignore[union-attr]
    enums = {row.name: row.enum for row in spec.attributes if row.enum is not None}
    given_attributes = {k: enums[k](v).name.lower() if k in enums else v for k, v in x.attributes.items()}
    if op == "EyeLike":  # the type of its output says it in a program
        given_attributes["dtype"] = int(ir.DataType.from_numpy(np.dtype(x.outputs[0])))
    attributes = [ir.convenience.convert_attribute(k, v) for k, v in given_attributes.items()]
    node = ir.Node("", spec.op_type, values, attributes, num_outputs=len(x.outputs), name="op")
    for i, (value, dtype) in enumerate(zip(node.outputs, x.outputs, strict=True)):
        value.name, value.dtype = f"y{i}", ir.DataType.from_numpy(np.dtype(dtype))
    inputs = [v for v in values if v is not None and v.const_value is None]
    constants = [v for v in values if v is not None and v.const_value is not None]
    opset = opset_of(spec.op_type)
    graph = ir.Graph(inputs, node.outputs, nodes=[node], initializers=constants, opset_imports={"": opset}, name="one")
    feed = {f"x{i}": array for i, array in enumerate(x.inputs) if array is not None and i not in x.constants}
    return ir.Model(graph, ir_version=10), feed


@pytest.mark.parametrize(("op", "which"), [(op, i) for op in OPS for i in range(len(EXAMPLES[op])) if (op, i) != PACKED])
def test_a_program_computes_what_onnx_runtime_does(op: str, which: int, tmp_path: Path) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXAMPLES[op][which]())
    def run(x: Example) -> None:
        assume(not is_open(op, x) and all(v is None or v.dtype != np.int8 for v in x.inputs))  # programs take no int8
        model, feed = model_of(op, x)
        try:
            wanted = run_onnx(model, feed)
        except (QGraphError, *REFUSED):
            assume(False)
        compile(model, tmp_path / "op.qgp", sparse=False)
        for got, want in zip(Session(tmp_path / "op.qgp").run(feed).values(), wanted, strict=True):
            assert got.shape == want.shape and got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * max(1.0, size_of(feed)))

    run()


def size_of(feed: dict[str, np.ndarray]) -> float:
    """The largest magnitude of what is fed in float32; what it was computed from has errors of this size."""
    floats = [np.abs(v[np.isfinite(v)]).max(initial=0) for v in feed.values() if v.dtype == np.float32]
    return float(max(floats, default=0))


def is_open(op: str, x: Example) -> bool:
    """Whether ONNX Runtime does something of its own: it copies what a Resize leaves as long as it was, whatever its scale or
    its part of the image, and takes no part of axes in front of the last two; TopK has any order unless it is to sort, and Unique
    takes NaN for equal to any number."""
    if op == "TopK":
        return not x.attributes["sorted"]
    if op == "Unique":
        return bool(np.isnan(x.inputs[0]).any())
    if op != "ai.onnx.Resize":
        return False
    data, roi, scales, sizes = (*x.inputs, None)[:4]
    assert data is not None
    axes = x.attributes.get("axes", range(data.ndim))
    if sizes is not None:
        return roi is not None or bool(x.attributes["keep_aspect_ratio_policy"])
    assert scales is not None
    old = np.array([data.shape[axis] for axis in axes], np.float32)
    return roi is not None or bool(np.any((np.floor(old * scales) == old) & (scales != 1)))
