"""Every fused op has a NumPy definition, in the file of its family; the models of tests/deploy and tests/runtime run them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.execute.integer import evaluate
from qgraph.execute.integer.common import DEFINITIONS
from qgraph.ir.integer_ops import INTEGER, INTEGER_OPS, KINDS


def test_every_fused_op_has_a_definition() -> None:
    assert [op for domain, op in INTEGER_OPS if domain == INTEGER and op not in DEFINITIONS] == []


def test_definitions_stand_in_the_files_of_their_families() -> None:
    families = {kind: spec.family for kind, spec in KINDS.items()}
    files = {op: f.__module__.rsplit(".", 1)[1].removesuffix("_float32") for op, f in DEFINITIONS.items()}
    assert files == {op: families[op] for op in DEFINITIONS}


def test_attributes_that_are_left_out_have_the_defaults_of_the_dialect() -> None:
    x = ir.Value(name="x", shape=ir.Shape([2]), type=ir.TensorType(ir.DataType.UINT8))
    node = ir.Node(INTEGER, "Dequantize", [x], [ir.AttrFloat32("scale", 0.5)], name="op")
    node.outputs[0].name, node.outputs[0].dtype = "y", ir.DataType.FLOAT
    graph = ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": 21, INTEGER: 1}, name="one")
    found = evaluate(ir.Model(graph, ir_version=10), {"x": np.array([3, 255], np.uint8)})
    assert found["y"].tolist() == [1.5, 127.5]
