"""Writing program files (``.qgp``), and reading what they hold."""

from __future__ import annotations

import itertools
import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.ir.bit_types import BIT_TYPES, code_type, program_number
from qgraph.ir.dialects import verify
from qgraph.ir.integer_ops import INTEGER_OPS, KINDS, kind_of
from qgraph.ir.patterns import constant
from qgraph.ir.scopes import NOTES, module_path, where
from qgraph.ir.snapshot import LAST, SHOWN, Ids, Node, Snapshot, Value
from qgraph.ir.weights import CODES, MULTIPLE_OF, Weight
from qgraph.numerics.affine import pack, unpack

ORIGINS = "qgraph.origins"
"""Metadata of a program: module path and source line of every op, by name, as JSON."""
DENSE, BITMAP, GROUPS, SCALED, DEQUANTIZED = 0, 1, 2, 3, 4
PATTERNS = ((1, 4), (2, 4))
SHARED = 64
"""Bytes from which on equal constants lie in the same place of the file: as many as one is aligned to."""
WORTH = 0.95
"""Largest part of the dense bytes at which leaving zeros out is worth the expansion at load."""


def stored(tensor: ir.TensorProtocol) -> tuple[bytes, int]:
    """The bytes of a constant and how they lie (``schema/program.fbs``): weight codes with many zeros without them."""
    dense = tensor.tobytes()
    width = _sparse_width(tensor.dtype)
    if width is None or len(tensor.shape) < 2:
        return dense, DENSE
    flat = tensor.numpy().astype(np.int8).reshape(-1)
    forms = [(np.packbits(flat != 0, bitorder="little").tobytes() + _packed(flat[flat != 0], width), BITMAP)]
    forms += [(form, GROUPS) for n, m in PATTERNS if (form := grouped(flat, n, m, width)) is not None]
    smallest = min(forms, key=lambda form: len(form[0]))
    return smallest if len(smallest[0]) < WORTH * len(dense) else (dense, DENSE)


def _sparse_width(dtype: ir.DataType) -> int | None:
    """Bits of the signed codes that can be stored without their zeros; None for other types."""
    kind = code_type(dtype)
    return kind.bits if kind is not None and kind.signed and kind.bits <= 8 else None


def grouped(codes: np.ndarray, n: int, m: int, width: int) -> bytes | None:
    """Flat int8 codes of ``width`` bits as the n of every m neighbours that are not zero; None where there are more."""
    if codes.size % m or not codes.size:
        return None
    groups = codes.reshape(-1, m)
    kept = groups != 0
    if kept.sum(1).max() > n:
        return None
    masks = [mask for mask in range(1 << m) if mask.bit_count() == n]
    whole = np.array([next(x for x in masks if x & mask == mask) if mask.bit_count() <= n else 0 for mask in range(1 << m)])
    chosen = whole[kept @ (1 << np.arange(m))]
    ranks = np.searchsorted(masks, chosen)
    bits = ranks[:, None] >> np.arange((len(masks) - 1).bit_length()) & 1
    values = groups[(chosen[:, None] >> np.arange(m) & 1).astype(bool)]
    return bytes((n, m)) + np.packbits(bits.astype(bool), bitorder="little").tobytes() + _packed(values, width)


def dequantized(weight: Weight) -> bytes | None:
    """A float32 constant as the codes that it comes from (encoding Dequantized of ``schema/program.fbs``); None where the program
    has no codes of that width, or none would be saved.
    """
    codes, dtype = weight.stored()
    kind, shape, params = code_type(dtype), weight.codes.shape, weight.params
    if kind is None or kind.bits > 8 or not codes.size:
        return None
    axis = params.axis
    length, inner = (1, codes.size) if axis is None else (shape[axis], math.prod(shape[axis + 1 :]))
    scales, zeros = np.asarray(params.scale, np.float32), np.asarray(params.zero_point)
    levels = np.array(weight.table() if weight.levels is not None else [], np.int8)
    zeros = zeros.astype(np.int16) if zeros.any() else np.zeros(0, np.int16)
    block = params.block if axis is not None else 0
    head = [kind.bits, kind.signed, levels.size, length, inner, block, scales.size, zeros.size > 0]
    parts = (np.array(head, np.int64), scales, zeros, levels)
    data = b"".join(part.tobytes() + bytes(-part.nbytes % 4) for part in map(np.ascontiguousarray, parts))
    data += _packed(codes.astype(np.int64).astype(np.int8), kind.bits)
    return data if len(data) < WORTH * codes.size * 4 else None


def _packed(codes: np.ndarray, width: int) -> bytes:
    return codes.tobytes() if width == 8 else pack(codes, width).tobytes()


def _scaled(model: ir.Model) -> dict[str, tuple[bytes, float]]:
    """Multipliers that several ops make of the same scales of weights, by name: the bytes of these scales and a factor."""
    groups: dict[bytes, list[tuple[str, float]]] = {}
    for name, value in model.graph.initializers.items():
        scales, factor = value.meta.get(MULTIPLE_OF, (None, 0.0))
        array = constant(value)
        if scales is None or array is None or scales.nbytes <= SHARED:
            continue
        if np.array_equal((scales.astype(np.float64) * factor).astype(np.float32), array):  # also where the rounding is another
            groups.setdefault(scales.tobytes(), []).append((name, float(factor)))
    return {name: (data, factor) for data, members in groups.items() if len(members) > 1 for name, factor in members}


def write(model: ir.Model, path: str | os.PathLike[str]) -> None:
    """Write a model of the integer dialect as a program file.

    Raises:
        QGraphError: the model holds what the dialect does not, or the file cannot be written.
    """
    from qgraph import _runtime

    verify(model, "integer")

    tensors, ops, inputs, outputs = graph = _tables(model.graph, _scaled(model))
    _share(graph, {}, itertools.count())
    metadata = [(str(k), str(v)) for k, v in model.metadata_props.items() if not k.startswith(NOTES)]
    metadata.append((ORIGINS, json.dumps({node.name: [module_path(node)] for node in model.graph})))
    with io.atomic_path(path) as temporary:
        try:
            _runtime.write_program(tensors, ops, inputs, outputs, metadata, str(temporary))
        except _runtime.RuntimeFailure as error:
            raise QGraphError(str(error).replace(str(temporary), str(path))) from error


Tables = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[int], list[int]]
"""Tensors, ops, and the indices of inputs and outputs of a graph, as ``_runtime.write_program`` takes them."""


def _tables(graph: ir.Graph, scaled: Mapping[str, tuple[bytes, float]], *, nested: bool = False) -> Tables:
    index: dict[ir.Value, int] = {}
    tensors: list[tuple[Any, ...]] = []
    given, results = set(graph.inputs), set(graph.outputs)

    def add(value: ir.Value) -> int:
        if value not in index:
            number = program_number(value.dtype)
            if number is None:
                raise QGraphError(f"value {value.name!r} has type {value.dtype}, which no program can hold")
            data, shape, symbols, encoding, factor = None, [], [], DENSE, 0.0
            if value.const_value is not None and value not in given:
                tensor = value.const_value
                shape = list(tensor.numpy().shape)
                data, encoding = stored(tensor)
                if (codes := value.meta.get(CODES)) is not None and (form := dequantized(codes)) is not None:
                    data, encoding = form, DEQUANTIZED
                elif (found := scaled.get(value.name or "")) is not None:
                    (data, factor), encoding = found, SCALED
            elif value in given or (nested and value in results):
                if value.shape is None and not nested:
                    raise QGraphError(f"input {value.name!r} has no rank; export the model with input shapes")
                shape = [d if isinstance(d, int) else -1 for d in value.shape or ()]
                symbols = ["" if isinstance(d, int) else str(d.value or "") for d in value.shape or ()]
            index[value] = len(tensors)
            tensors.append((value.name or "", number, shape, symbols, data, encoding, factor, -1))
        return index[value]

    inputs = [add(v) for v in graph.inputs]
    ops = []
    for node in graph:
        ints, floats = _attributes(node)
        sources = [-1 if v is None else add(v) for v in node.inputs]
        made = [add(v) for v in node.outputs]
        names = INTEGER_OPS[node.domain, node.op_type].graphs
        graphs = [_tables(node.attributes[name].as_graph(), {}, nested=True) for name in names]
        ops.append((kind_of(node.domain, node.op_type), node.name or "", sources, made, ints, floats, graphs))
    return tensors, ops, inputs, [add(v) for v in graph.outputs]


def _share(graph: Tables, places: dict[bytes, int], count: Iterator[int]) -> None:
    """Let equal constants of a graph and of those in it lie in the same bytes."""
    tensors, ops, _, _ = graph
    for i, place in zip(range(len(tensors)), count, strict=False):
        data = tensors[i][4]
        if data is not None and len(data) > SHARED and (first := places.setdefault(data, place)) != place:
            tensors[i] = (*tensors[i][:-1], first)
    for op in ops:
        for nested in op[6]:
            _share(nested, places, count)


def _attributes(node: ir.Node) -> tuple[list[tuple[str, Sequence[int]]], list[tuple[str, Sequence[float]]]]:
    ints: list[tuple[str, Sequence[int]]] = []
    floats: list[tuple[str, Sequence[float]]] = []
    for name, attribute in node.attributes.items():
        value = attribute.value
        if attribute.type == ir.AttributeType.GRAPH:
            continue
        if isinstance(value, bool | int | np.integer):
            ints.append((name, [int(value)]))
        elif isinstance(value, float | np.floating):
            floats.append((name, [float(value)]))
        elif isinstance(value, tuple | list) and all(isinstance(v, int) for v in value):
            ints.append((name, [int(v) for v in value]))
        elif isinstance(value, tuple | list) and all(isinstance(v, float | np.floating) for v in value):
            floats.append((name, [float(v) for v in value]))
        else:
            raise QGraphError(f"{where(node)} has an attribute {name!r} that no program can hold")
    return ints, floats


def read(path: str | os.PathLike[str]) -> tuple[Snapshot, dict[str, np.ndarray]]:
    """The graph of a program file, and its constant int8, int4 and int2 codes (int8, in their shape) by name.

    Raises:
        QGraphError: the file cannot be loaded.
    """
    from qgraph import _runtime

    try:
        tensors, ops, inputs, outputs, metadata = _runtime.read_program(str(path))
    except _runtime.RuntimeFailure as error:
        raise QGraphError(str(error)) from None
    except UnicodeDecodeError:
        raise QGraphError(f"cannot load {path}: a name in it is no text; compile the program again") from None
    facts = dict(metadata)
    try:
        origins, scales = (dict(json.loads(facts.get(key, "{}"))) for key in (ORIGINS, "qgraph.scales"))
    except (ValueError, TypeError):
        raise QGraphError(f"cannot read {path}: its metadata are damaged; compile the program again") from None
    kinds = {row.program: row.onnx for row in BIT_TYPES if row.program is not None}
    values, codes, names = {}, {}, []
    for name, number, shape, symbols, data, _ in tensors:
        kind = kinds[number]
        dims = [str(d) if d >= 0 else (symbols[i] if i < len(symbols) else "?") for i, d in enumerate(shape)]
        value = Value(kind.name.lower(), "[" + ", ".join(dims) + "]" if shape or data is not None else "")
        if data is not None:
            value.constant, value.bytes, value.checksum = True, len(data), zlib.crc32(data)
            if (width := _sparse_width(kind)) is not None and len(shape) > 1:
                codes[name] = unpack(np.frombuffer(data, np.uint8), width, math.prod(shape)).reshape(shape)
        if (base := name.removesuffix(LAST)) in scales:
            value.scale, value.zero_point = f"{scales[base][0]:.6g}", f"{scales[base][1]:g}"
        names.append(name)
        values[name] = value
    nodes, identity = [], Ids()
    for op, name, sources, results, ints, floats, _ in ops:
        made = [names[i] for i in results]
        scope = origins.get(name, [""])[0]
        attributes = {key: ", ".join(f"{v:g}" for v in value)[:SHOWN] for key, value in (*ints, *floats)}
        read = [names[i] if i >= 0 else "" for i in sources]
        op_type = KINDS[op].op_type if op in KINDS else op
        nodes.append(Node(identity(op_type, name, made), op_type, name, scope, "", attributes, read, made))
    return Snapshot(nodes, values, [names[i] for i in inputs], [names[i] for i in outputs]), codes
