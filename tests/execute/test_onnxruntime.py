"""Sessions of models as people save them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.execute.onnxruntime import LARGE, session
from tests.passes.graphs import model_of


def test_a_large_initializer_that_nothing_reads() -> None:
    model = model_of("g (float[n,2] x) => (float[n,2] y) { y = Relu(x) }")
    rest = np.zeros(LARGE, np.float32)
    model.graph.register_initializer(ir.val("rest", const_value=ir.tensor(rest, name="rest")))
    x = np.array([[1, -1]], np.float32)
    np.testing.assert_array_equal(session(model).run(None, {"x": x})[0], [[1, 0]])
    assert model.graph.initializers["rest"].const_value is not None


def test_a_large_initializer_that_is_an_output() -> None:
    model = model_of("g (float[n,2] x) => (float[n,2] y) { y = Relu(x) }")
    table = ir.val("table", const_value=ir.tensor(np.arange(LARGE, dtype=np.float32), name="table"))
    table.shape, table.dtype = ir.Shape([LARGE]), ir.DataType.FLOAT
    model.graph.register_initializer(table)
    model.graph.outputs.append(table)
    found = session(model).run(None, {"x": np.ones((1, 2), np.float32)})
    np.testing.assert_array_equal(found[1], np.arange(LARGE))
