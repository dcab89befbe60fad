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
