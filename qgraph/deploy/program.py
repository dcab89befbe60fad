"""Integer dialect -> program file (``.qgp``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.ir.dialects import dialect_of
from qgraph.ir.scopes import where
from qgraph.numerics.affine import pack
from qgraph.pipeline import Pipeline

TYPES = {
    ir.DataType.FLOAT: 0,
    ir.DataType.INT64: 1,
    ir.DataType.INT32: 2,
    ir.DataType.INT16: 3,
    ir.DataType.INT8: 4,
    ir.DataType.UINT8: 5,
    ir.DataType.BOOL: 6,
    ir.DataType.INT4: 7,
    ir.DataType.INT2: 8,
    ir.DataType.UINT4: 9,
    ir.DataType.UINT2: 10,
}


DENSE, BITMAP = 0, 1
WIDTHS = {ir.DataType.INT8: 8, ir.DataType.INT4: 4, ir.DataType.INT2: 2}
WORTH = 0.95
"""Largest part of the dense bytes at which a bitmap is worth its expansion at load."""


def stored(tensor: ir.TensorProtocol) -> tuple[bytes, int]:
    """The bytes of a constant and how they lie: weight codes with many zeros as a bitmap and what is not zero."""
    dense = tensor.tobytes()
    width = WIDTHS.get(tensor.dtype)
    if width is None or len(tensor.shape) < 2:
        return dense, DENSE
    flat = tensor.numpy().astype(np.int8).reshape(-1)
    kept = flat[flat != 0]
    sparse = np.packbits(flat != 0, bitorder="little").tobytes() + (kept.tobytes() if width == 8 else pack(kept, width).tobytes())
    return (sparse, BITMAP) if len(sparse) < WORTH * len(dense) else (dense, DENSE)


def compile(model: ir.Model | str | os.PathLike[str], path: str | os.PathLike[str]) -> ir.Model:
    """Compile a quantized model to the program file ``path``; returns the model in the integer dialect.

    Args:
        model: a model of the quantized dialect (or its file); it is not changed.

    Raises:
        QGraphError: a node has no integer kernel, or the file cannot be written.
    """
    source = model if isinstance(model, ir.Model) else io.load(model)
    dialect = dialect_of(source)
    if dialect == "float":
        raise QGraphError("the model is not quantized; run 'qgraph transform IN -o OUT --preset int8 --data X' first")
    lowered = source.clone()
    if dialect == "quantized":
        Pipeline("lower").run(lowered)
    write(lowered, path)
    return lowered


def write(model: ir.Model, path: str | os.PathLike[str]) -> None:
    """Write a model of the integer dialect as a program file."""
    from qgraph import _runtime

    index: dict[ir.Value, int] = {}
    tensors: list[tuple[Any, ...]] = []

    def add(value: ir.Value, *, is_input: bool = False) -> int:
        if value not in index:
            if value.dtype not in TYPES:
                raise QGraphError(f"value {value.name!r} has type {value.dtype}, which no program can hold")
            data, shape, symbols, encoding = None, [], [], DENSE
            if value.const_value is not None and not is_input:
                tensor = value.const_value
                shape = list(tensor.numpy().shape)
                data, encoding = stored(tensor)
            elif is_input:
                if value.shape is None:
                    raise QGraphError(f"input {value.name!r} has no rank; export the model with input shapes")
                shape = [d if isinstance(d, int) else -1 for d in value.shape]
                symbols = ["" if isinstance(d, int) else str(d.value or "") for d in value.shape]
            index[value] = len(tensors)
            tensors.append((value.name or "", TYPES[value.dtype], shape, symbols, data, encoding))
        return index[value]

    inputs = [add(v, is_input=True) for v in model.graph.inputs]
    ops = []
    for node in model.graph:
        ints, floats = _attributes(node)
        sources = [-1 if v is None else add(v) for v in node.inputs]
        results = [add(v) for v in node.outputs]
        origin = node.name or ""
        ops.append((node.op_type, origin, sources, results, ints, floats))
    outputs = [add(v) for v in model.graph.outputs]
    metadata = [(str(k), str(v)) for k, v in model.metadata_props.items()]
    with io.atomic_path(path) as temporary:
        try:
            _runtime.write_program(tensors, ops, inputs, outputs, metadata, str(temporary))
        except _runtime.RuntimeFailure as error:
            raise QGraphError(str(error).replace(str(temporary), str(path))) from error


def _attributes(node: ir.Node) -> tuple[list[tuple[str, Sequence[int]]], list[tuple[str, Sequence[float]]]]:
    ints: list[tuple[str, Sequence[int]]] = []
    floats: list[tuple[str, Sequence[float]]] = []
    for name, attribute in node.attributes.items():
        value = attribute.value
        if isinstance(value, bool | int | np.integer):
            ints.append((name, [int(value)]))
        elif isinstance(value, float | np.floating):
            floats.append((name, [float(value)]))
        elif isinstance(value, tuple | list) and all(isinstance(v, int) for v in value):
            ints.append((name, [int(v) for v in value]))
        else:
            raise QGraphError(f"{where(node)} has an attribute {name!r} that no program can hold")
    return ints, floats
