"""Every op of the integer dialect, on random shapes, codes, zero points and scales: the reference, every ISA, 1 and 2 threads
give the bytes of the NumPy definition; with every attribute at both ends of its range too. What lies beyond is refused."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qgraph import _runtime
from qgraph.deploy import program_file
from qgraph.deploy.session import Session
from qgraph.execute.integer import evaluate
from qgraph.ir.dialects import INTEGER
from qgraph.ir.integer_ops import KINDS, AttributeSpec, OpSpec, kind_of
from qgraph.ir.integer_ops.recurrent import GATES
from qgraph.ir.integer_ops.spec import LIMITS
from tests.conftest import opset_of
from tests.runtime.examples import EXAMPLES, Example

QUIET: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}
THOROUGH, BRIEF, FEW = settings(max_examples=40, **QUIET), settings(max_examples=15, **QUIET), settings(max_examples=3, **QUIET)
SPECS = KINDS
SIGNED = {4: ir.DataType.INT4, 2: ir.DataType.INT2}
INDICES = {4: ir.DataType.UINT4, 2: ir.DataType.UINT2}


def model_of(op: str, x: Example) -> tuple[ir.Model, dict[str, np.ndarray]]:
    """A model of one node, and what it is to be fed."""
    values: list[ir.Value | None] = []
    feed, initializers = {}, []
    for i, array in enumerate(x.inputs):
        if array is None:
            values.append(None)
            continue
        packed = INDICES if "levels" in x.attributes else SIGNED
        kind = packed.get(x.bits if i == x.packed else 8) or ir.DataType.from_numpy(array.dtype)
        value = ir.Value(name=f"x{i}", shape=ir.Shape(array.shape), type=ir.TensorType(kind))
        values.append(value)
        if i in x.constants:
            value.const_value = ir.Tensor(array.astype(kind.numpy()), dtype=kind, name=f"x{i}")
            initializers.append(value)
        else:
            feed[f"x{i}"] = array
    attributes = [ir.convenience.convert_attribute(k, v) for k, v in x.attributes.items()]
    node = ir.Node(SPECS[op].domain, SPECS[op].op_type, values, attributes, num_outputs=len(x.outputs), name="op")
    for i, (value, dtype) in enumerate(zip(node.outputs, x.outputs, strict=True)):
        value.name, value.dtype = f"y{i}", ir.DataType.from_numpy(np.dtype(dtype))
    inputs = [v for v in values if v is not None and v.name in feed]
    opset = opset_of(node.op_type)
    graph = ir.Graph(
        inputs, node.outputs, nodes=[node], initializers=initializers, opset_imports={"": opset, INTEGER: 1}, name="one"
    )
    return ir.Model(graph, ir_version=10), feed


def check(folder: Path, op: str, x: Example) -> None:
    """Run one op in every variant of the runtime and in NumPy; all bytes must be equal."""
    model, feed = model_of(op, x)
    path = folder / "op.qgp"
    program_file.write(model, path)
    wanted = evaluate(model, feed)
    for isa, threads in itertools.product(_runtime.available_isas(), (1, 2)):
        found = Session(path, isa=isa, threads=threads).run(feed)
        for name, array in found.items():
            want = wanted[name]
            assert array.shape == want.shape and array.dtype == want.dtype, (isa, threads, array.shape, want.shape)
            assert plain(array).tobytes() == plain(want).tobytes(), (isa, threads, name)


def plain(array: np.ndarray) -> np.ndarray:
    """The array with one form of NaN, whose sign and payload mean nothing."""
    return np.where(np.isnan(array), np.float32(np.nan), array) if array.dtype == np.float32 else np.ascontiguousarray(array)


def test_every_op_has_examples() -> None:
    assert [op for op in SPECS if op not in EXAMPLES] == []
    assert [op for op in EXAMPLES if op not in SPECS] == []


@pytest.mark.parametrize(("op", "which"), [(op, i) for op in EXAMPLES for i in range(len(EXAMPLES[op]))])
def test_op(op: str, which: int, tmp_path: Path) -> None:
    @(THOROUGH if SPECS[op].domain else BRIEF)
    @given(EXAMPLES[op][which]())
    def run(x: Example) -> None:
        check(tmp_path, op, x)

    run()


FLOAT_CONVOLUTIONS = ("ai.onnx.Conv", "FusedConv", "ai.onnx.ConvTranspose", "DeformConv")
CONVOLUTIONS = ("Conv", "ConvTranspose", *FLOAT_CONVOLUTIONS)
DRAWN = {
    ("Linear", "block"): "2^30 columns",
    ("Linear", "sparse"): "weights must have the form; all forms are drawn",
    ("Attention", "token_major"): "says how the inputs lie; both are drawn",
    ("ai.onnx.Resize", "mode"): "linear and cubic need float32; all are drawn",
    ("ai.onnx.Resize", "axes"): "axes of the input; all are drawn",
    ("Resize", "linear"): "says the type of y; both are drawn",
    ("Pad", "mode"): "modes differ in the pads that they take; all are drawn",
    ("Pad", "axes"): "axes of the input",
    ("ai.onnx.Pad", "mode"): "modes differ in the pads that they take; all are drawn",
    **{(op, "axis"): "axes of the input; all are drawn" for op in ("TopK", "OneHot", "Unique", "Compress")},
    ("RoiAlign", "output_height"): "2^16 lines",
    ("RoiAlign", "output_width"): "2^16 columns",
    ("RoiAlign", "sampling_ratio"): "2^20 points a bin",
    ("RoiAlign", "spatial_scale"): "it scales regions; some are too large then",
    ("GridSample", "mode"): "cubic has two axes; all are drawn",
    ("CenterCropPad", "axes"): "axes of the input; all are drawn",
    **{("ReverseSequence", name): "two axes; both are drawn" for name in ("batch_axis", "time_axis")},
    ("ScatterElements", "axis"): "axes of the input; all are drawn",
    ("TensorScatter", "axis"): "axes of the input; all are drawn",
    ("TensorScatter", "mode"): "says where updates may lie; both are drawn",
    **{(op, "axes"): "axes of the input" for op in ("ReduceMean", "ReduceMax")},
    **{(op, "axis"): "axes of the input" for op in ("Softmax", "ai.onnx.Softmax", "LogSoftmax", "Hardmax", "LpNormalization")},
    **{(op, "axis"): "axes of the input; all are drawn" for op in ("LayerNormalization", "RMSNormalization")},
    ("MeanVarianceNormalization", "axes"): "axes of the input",
    ("GroupNormalization", "num_groups"): "2^24 channels",
    **{(op, "axis"): "axes of the input; all are drawn" for op in ("ArgMax", "ArgMin")},
    ("Lookup", "axis"): "the axis of the channels",
    ("Flatten", "axis"): "axes of the input; all are drawn",
    ("Split", "axis"): "axes of the input; all are drawn",
    ("Concat", "axis"): "axes of the input; all are drawn",
    ("Gather", "axis"): "axes of the input; all are drawn",
    ("GatherElements", "axis"): "axes of the input; all are drawn",
    ("GatherND", "batch_dims"): "axes of the input",
    ("Transpose", "perm"): "axes of the input; all are drawn",
    ("Reshape", "allowzero"): "says what the shape means; both are drawn",
    ("DepthToSpace", "blocksize"): "2^32 channels",
    ("SpaceToDepth", "blocksize"): "2^16 lines",
    ("GroupNorm", "groups"): "2^24 channels",
    **{(op, "group"): "2^24 channels" for op in CONVOLUTIONS},
    **{(op, "output_padding"): "2^20 places an axis" for op in ("ConvTranspose", "ai.onnx.ConvTranspose")},
    ("ai.onnx.ConvTranspose", "output_shape"): "2^20 places an axis",
    **{(op, "kernel_shape"): "that of the weights" for op in FLOAT_CONVOLUTIONS},
    **{(op, "auto_pad"): "says what the output's places are; all are drawn" for op in FLOAT_CONVOLUTIONS[:3]},
    ("DeformConv", "offset_group"): "2^24 channels",
    **{
        (op, name): "2^20 places an axis"
        for op in (*CONVOLUTIONS, "MaxPool", "AveragePool")
        for name in ("strides", "dilations", "pads")
    },
    **{(op, "kernel"): "2^20 places an axis" for op in ("MaxPool", "AveragePool")},
    **{
        (op, name): "2^20 places an axis"
        for op in ("ai.onnx.MaxPool", "ai.onnx.AveragePool", "LpPool")
        for name in ("kernel_shape", "strides", "dilations", "pads")
    },
    **{(op, "auto_pad"): "goes with the size; all are drawn" for op in ("ai.onnx.MaxPool", "ai.onnx.AveragePool", "LpPool")},
    **{("MaxUnpool", name): "says how many places there are" for name in ("kernel_shape", "strides", "pads")},
    **{("DFT", name): "says which x there may be; both are drawn" for name in ("inverse", "onesided")},
    ("MaxRoiPool", "pooled_shape"): "2^40 places",
    **{(op, "staged"): "comes with the attributes of its codes; both are drawn" for op in ("Linear", "Conv")},
    **{(op, name): "says how an operand lies; both are drawn" for op in ("Gemm", "FusedMatMul") for name in ("transA", "transB")},
    **{("Col2Im", name): "go with the shapes" for name in ("strides", "dilations", "pads")},
    ("Einsum", "equation"): "labels of the axes; all forms are drawn",
    ("Split", "num_outputs"): "as many as there are outputs",
    **{
        (kind_of(d, op), name): "goes with the shapes; all are drawn"
        for d in ("", INTEGER)
        for op in GATES
        for name in ("direction", "layout", "activations")
    },
    **{(kind_of("", op), "hidden_size"): "goes with the shapes" for op in GATES},
    **{(op, "carried"): "as many as the body takes" for op in ("Loop", "Scan")},
    ("Scan", "scanned"): "as many as the body takes",
    **{
        ("Scan", f"scan_{way}put_{what}"): "one a sequence; all are drawn"
        for way in ("in", "out")
        for what in ("axes", "directions")
    },
}
"""Attributes that are not put to the ends of their ranges, and why: they go with the shapes."""


def example_with(op: str, row: AttributeSpec) -> st.SearchStrategy[Example]:
    """Examples that have a value for ``row``."""
    spec = SPECS[op]
    names = [i.name for i in spec.inputs]

    def fits(x: Example) -> bool:
        if row.when == "y":
            return ir.DataType.from_numpy(np.dtype(x.outputs[0])) in row.when_types
        if row.when in names:
            given_inputs = {n for n, v in zip(names, x.inputs, strict=False) if v is not None}
            return row.when in given_inputs and (not row.when_types or row.name in x.attributes)
        return not row.when or bool(x.attributes.get(row.when))

    return st.one_of(*(make() for make in EXAMPLES[op])).filter(fits)


def put(x: Example, name: str, value: float) -> Example:
    """``x`` with an attribute, or all elements of it, of that value."""
    old = x.attributes.get(name)
    new = [value] * max(1, len(old)) if isinstance(old, list) else value
    return dataclasses.replace(x, attributes=x.attributes | {name: new})


def ends(spec: OpSpec, row: AttributeSpec, x: Example) -> list[float]:
    """Both ends of the range of ``row`` in that example."""
    low, high = row.low, row.high
    if row.codes_of:
        types = {o.name: dtype for o, dtype in zip(spec.outputs, x.outputs, strict=False)}
        types |= {i.name: array.dtype.name for i, array in zip(spec.inputs, x.inputs, strict=False) if array is not None}
        low_code, high_code = LIMITS.get(ir.DataType.from_numpy(np.dtype(types[row.codes_of])), (low, high))
        low, high = max(low, low_code), min(high, high_code)
    return [float(low), float(high)] if row.kind.startswith("float") else [int(low), int(high)]


ROWS = [(op, row.name) for op, spec in SPECS.items() for row in spec.attributes]


@pytest.mark.parametrize(("op", "name"), [row for row in ROWS if row not in DRAWN])
def test_attributes_at_their_ends(op: str, name: str, tmp_path: Path) -> None:
    row = next(a for a in SPECS[op].attributes if a.name == name)

    @FEW
    @given(example_with(op, row))
    def run(x: Example) -> None:
        others = {"clamp_min": "clamp_max", "clamp_max": "clamp_min", "mid_min": "mid_max", "mid_max": "mid_min"}
        for end in ends(SPECS[op], row, x):
            y = put(x, name, end)
            other = y.attributes.get(others.get(name, ""), None)
            if other is not None and (other < end if name.endswith("min") else other > end):
                y = put(y, others[name], end)
            check(tmp_path, op, y)

    run()


def test_the_reasons_are_of_attributes() -> None:
    assert set(DRAWN) <= set(ROWS)


@pytest.mark.parametrize(("op", "name"), ROWS)
def test_attributes_beyond_their_ends_are_refused(op: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_file, "verify", lambda model, dialect: None)
    row = next(a for a in SPECS[op].attributes if a.name == name)
    beyond = [float("inf"), float("nan")] if row.kind.startswith("float") else [int(row.low) - 1, int(row.high) + 1]
    if row.kind.startswith("float") and row.low >= 0:
        beyond.append(-1.0 if row.low == 0 else 0.0)

    @FEW
    @given(example_with(op, row))
    def run(x: Example) -> None:
        for value in beyond:
            model, feed = model_of(op, put(x, name, value))
            program_file.write(model, tmp_path / "op.qgp")
            with pytest.raises(_runtime.RuntimeFailure):
                _runtime.Session(str(tmp_path / "op.qgp")).run([np.ascontiguousarray(v) for v in feed.values()])

    run()
