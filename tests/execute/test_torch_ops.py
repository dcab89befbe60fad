"""``to_torch`` against the node tests that ONNX ships: every test whose ops it takes must pass."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from qgraph.tools.node_tests import RANDOM, absolute_tolerance, array_of, cases

from qgraph.execute.convert import to_torch
from qgraph.execute.tensors import DTYPES, tensor_of
from qgraph.execute.tensors import array_of as numpy_of
from qgraph.execute.torch_ops import TORCH_OPS
from tests.conftest import run_onnx

PARTIAL = {ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64}
"""Types that torch stores but has few kernels for; no model here computes with them."""


def types_of(model: ir.Model) -> set[ir.DataType]:
    values = [*model.graph.inputs, *model.graph.outputs]
    for node in model.graph:
        values += [v for v in (*node.inputs, *node.outputs) if v is not None]
    named = {
        ir.DataType(a.value)
        for n in model.graph
        for k, a in n.attributes.items()
        if k in ("to", "dtype", "output_dtype") and a.value
    }
    return {v.dtype for v in values if v.dtype is not None} | named


def test_every_node_test_of_a_claimed_op_passes() -> None:
    found: collections.Counter[str] = collections.Counter()
    failed, unclaimed = [], collections.Counter[str]()
    for case in cases():
        model = ir.from_proto(case.model)
        missing = {n.op_type for n in model.graph if (n.domain, n.op_type) not in TORCH_OPS and n.op_type != "Constant"}
        unclaimed.update(missing)
        if missing:
            found["other ops"] += 1
        elif not types_of(model) <= set(DTYPES) - PARTIAL:
            found["other types"] += 1
        elif case.name in RANDOM:
            found["random"] += 1
        else:
            try:
                check(model, case)
                found["passed"] += 1
            except Exception as error:
                failed.append(f"{case.name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    print(dict(found), "not taken:", sorted(unclaimed))
    assert not failed, failed
    assert found["passed"] >= 1165 and found["random"] == len(RANDOM), found


def check(model: ir.Model, case: Any) -> None:
    module = to_torch(model)
    for inputs, outputs in case.data_sets:
        results = module(*[tensor_of(array_of(i)) for i in inputs])
        for wanted, found in zip(map(array_of, outputs), results.values(), strict=True):
            got = numpy_of(found)
            assert got.shape == wanted.shape and got.dtype == wanted.dtype, (got.shape, wanted.shape, got.dtype, wanted.dtype)
            # two units in the last place of half types, whose sums depend on the order
            loose = {"bfloat16": 2**-6, "float16": 2**-9}.get(wanted.dtype.name, 0)
            np.testing.assert_allclose(
                got.astype(np.float64),
                wanted.astype(np.float64),
                rtol=max(case.rtol, loose),
                atol=absolute_tolerance(wanted, case),
            )


@pytest.mark.parametrize("op", ["If", "Loop", "Scan", "StringNormalizer"])
def test_what_has_no_torch_form_is_not_claimed(op: str) -> None:
    assert ("", op) not in TORCH_OPS


@pytest.mark.parametrize(("length", "parts"), [(5, 2), (5, 3), (6, 4), (7, 2), (7, 3), (7, 4), (8, 3), (8, 4)])
def test_uneven_parts_of_a_split(length: int, parts: int) -> None:
    names = [f"p{i}" for i in range(parts)]
    outputs = ", ".join(f"float[?] {n}" for n in names)
    text = f'<ir_version: 10, opset_import: ["" : 21]> g (float[{length}] x) => ({outputs}) '
    model = ir.from_onnx_text(text + f"{{ {', '.join(names)} = Split<num_outputs={parts}>(x) }}")
    x = np.arange(length, dtype=np.float32)
    found = to_torch(model)(torch.from_numpy(x))
    for wanted, got in zip(run_onnx(model, {"x": x}), found.values(), strict=True):
        np.testing.assert_array_equal(got.numpy(), wanted)


@pytest.mark.parametrize("how", ["asymmetric", "half_pixel"])
@pytest.mark.parametrize("scale", [0.6, 0.3, 1.7])
def test_the_nearest_of_a_scale_that_no_float_is(scale: float, how: str) -> None:
    text = f"""<ir_version: 10, opset_import: ["" : 21]> g (float[60] x) => (float[n] y) <float[1] s = {{{scale}}}> {{
        y = Resize<mode="nearest", nearest_mode="floor", coordinate_transformation_mode="{how}">(x, , s) }}"""
    model, x = ir.from_onnx_text(text), np.arange(60, dtype=np.float32)
    (found,) = to_torch(model)(torch.from_numpy(x)).values()
    np.testing.assert_array_equal(found.numpy(), run_onnx(model, {"x": x})[0])
