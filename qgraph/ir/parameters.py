"""Which constants of a float graph are parameters: what training changes, each its own.

An ONNX file does not say what is trained, so a float constant of several elements is a parameter and a single number is not. A
capture from torch knows better: it marks what is the other way round (``mark``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir

TIED = "qgraph.tied"
"""Metadata of a parameter that is stored as another one, transposed: [name of the other, the permutation]."""
ROLE = "qgraph.role"
"""Metadata of a constant: ``parameter`` (a single number that is trained) or ``constant`` (an array that is not)."""
FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}


def is_parameter(value: ir.Value | None) -> bool:
    """Whether ``value`` is a constant that training may change."""
    tensor = value.const_value if value is not None else None
    if value is None or tensor is None or tensor.dtype not in FLOATS or value.is_graph_input():
        return False
    role = value.metadata_props.get(ROLE)
    return role == "parameter" if role is not None else tensor.size > 1


def mark(model: ir.Model, parameters: Collection[str], buffers: Collection[str]) -> None:
    """Mark single numbers among ``parameters`` and arrays among ``buffers``; statistics of BatchNormalization need no mark."""
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.dtype not in FLOATS:
            continue
        if name in parameters and tensor.size == 1:
            value.metadata_props[ROLE] = "parameter"
        elif name in buffers and tensor.size > 1 and any(u.node.op_type != "BatchNormalization" for u in value.uses()):
            value.metadata_props[ROLE] = "constant"


def tie(value: ir.Value, source: ir.Value, perm: Sequence[int]) -> None:
    """Say that ``value`` is ``source`` with its axes permuted, and stays so in training."""
    value.metadata_props[TIED] = json.dumps([source.name, list(perm)])


def tied_to(value: ir.Value, graph: ir.Graph) -> tuple[ir.Value, tuple[int, ...]] | None:
    """The parameter that ``value`` is a permuted copy of, and the permutation; None where they differ by now."""
    if TIED not in value.metadata_props or value.const_value is None:
        return None
    name, perm = json.loads(value.metadata_props[TIED])
    source = graph.initializers.get(name)
    if source is None or not is_parameter(source) or len(source.const_value.shape) != len(perm):  # type: ignore[union-attr]
        return None
    same = np.array_equal(source.const_value.numpy().transpose(perm), value.const_value.numpy())  # type: ignore[union-attr]
    return (source, tuple(perm)) if same else None
