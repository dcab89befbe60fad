"""Small ops, where ONNX's reference evaluator does not do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, defines


@defines("Cast")
def cast(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None  # a program keeps the target as the type of the output only
    return x[0].astype(dtype)


@defines("ConstantOfShape")
def constant_of_shape(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    shape, value = x[:2]
    assert shape is not None and value is not None  # an attribute in ONNX, an input in a program
    return np.full(shape, value.reshape(()), dtype)
