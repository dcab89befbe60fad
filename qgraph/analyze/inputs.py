"""Inputs for a model where none are given: random, of small sizes, and indices within the tables that they go to."""

from __future__ import annotations

import ast
import contextlib
import itertools
import math
import operator
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from qgraph.data import Batch, Batches, Data
from qgraph.errors import QGraphError, suggest
from qgraph.ir import io
from qgraph.ir.snapshot import Node, Snapshot

Source = ir.Model | str | os.PathLike[str]
"""A model, or an ``.onnx`` or ``.qgp`` file."""
BATCH, LENGTH, SIDE = 1, 8, 64
"""Sizes of free dims: the first one, others, and those of pictures and signals (the third and later ones of floats)."""
MOST = 1 << 30
"""Elements of an input that is made."""
MOVES = (
    "Cast",
    "Concat",
    "Expand",
    "Flatten",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
)
"""Ops whose output holds elements of their first input."""
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv}


def input_names(source: Source) -> list[str]:
    """The names of the inputs of a model, in order."""
    if isinstance(source, ir.Model) or not io.is_program(source):
        model = source if isinstance(source, ir.Model) else io.load(source)
        return [value.name or "" for value in model.graph.inputs]
    from qgraph.deploy.session import Session

    return list(Session(source, threads=1).inputs)


def made_inputs(
    source: Source, shapes: Mapping[str, Sequence[int]] | None = None, others: Iterable[Source] = ()
) -> dict[str, np.ndarray]:
    """Inputs for a model, or for an ``.onnx`` or ``.qgp`` file; the same on every call.

    Floats are drawn from the range of the quantizer that reads them, in the model or in ``others`` (forms of the same model that
    will read them too), else from N(0, 1); bytes from their whole range, indices from those of the smallest table that they go
    to; other integers are 1. Free dims that ``shapes`` says nothing of are small, one size a symbol.

    Raises:
        QGraphError: ``shapes`` names no input, or an input has no rank or a type that no array can have.
    """
    kinds, graph = _read(source)
    given = dict(shapes or {})
    for name in given:
        if name not in kinds:
            raise QGraphError(f"the model has no input {name!r}{suggest(name, kinds)}; inputs: {', '.join(kinds)}")
    sizes: dict[str, int] = {}
    for name, shape in given.items():
        sizes.update({d: n for d, n in zip(kinds[name][1], shape, strict=False) if isinstance(d, str)})
    rng = np.random.default_rng(0)
    graphs = [graph, *(_read(other)[1] for other in others)]
    made = {}
    for name, (dtype, dims) in kinds.items():
        shape = given.get(name) or [_size(d, axis, dtype, sizes) for axis, d in enumerate(dims)]
        if math.prod(shape) > MOST:
            raise QGraphError(f"inputs of the shape {list(shape)} for {name!r} are too large to be made; give data or --shape")
        span = next(filter(None, (quantized_range(g, name) for g in graphs)), None)
        made[name] = _draw(rng, dtype, shape, limit(graph, name), span)
    return made


def batches_for(paths: Sequence[str], data: str | None, count: int) -> list[Batch]:
    """The first ``count`` batches of ``data`` (made ones, with a line that says so, where it is None) for the first of ``paths``
    that is a model file; none where none is, or where no inputs can be made for it.

    Raises:
        QGraphError: the file or the data cannot be read.
    """
    models = [path for path in paths if not Path(path).is_dir()]
    if not models:
        return []
    if data is not None:
        return list(itertools.islice(Batches(Data(data), input_names(models[0])), count))
    try:
        batch = made_for(models)
    except QGraphError:  # what there is to see without a run is shown
        return []
    print(told(batch), file=sys.stderr)
    return [batch]


def made_for(files: Sequence[str]) -> dict[str, np.ndarray]:
    """Inputs for forms of one model; an ``.onnx`` file says most about them."""
    first = next((file for file in files if not io.is_program(file)), files[0])
    return made_inputs(first, others=[file for file in files if file != first])


def told(batch: Batch) -> str:
    """One line on made inputs."""
    return "the inputs are random: " + ", ".join(f"{name} {a.dtype} {list(a.shape)}" for name, a in batch.items())


def _draw(
    rng: np.random.Generator, dtype: np.dtype, shape: Sequence[int], below: int | None, span: tuple[float, float] | None
) -> np.ndarray:
    if dtype.kind not in "biu":
        return (rng.uniform(*span, shape) if span else rng.standard_normal(shape, np.float32)).astype(dtype)
    if below is not None:
        return rng.integers(0, max(1, below), shape).astype(dtype)
    if dtype.kind != "b" and dtype.itemsize == 1:
        return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
    return np.ones(shape, dtype)


def _read(source: Source) -> tuple[dict[str, tuple[np.dtype, list[int | str]]], Snapshot]:
    """(dtype, dims) of every input, and the graph."""
    if not isinstance(source, ir.Model) and io.is_program(source):
        from qgraph.deploy.program_file import read
        from qgraph.deploy.session import Session

        kinds = {name: (np.dtype(dtype), dims) for name, (dtype, dims) in Session(source, threads=1).inputs.items()}
        return kinds, read(source)[0]
    model = source if isinstance(source, ir.Model) else io.load(source)
    kinds = {}
    for value in model.graph.inputs:
        if value.shape is None:
            raise QGraphError(f"the model says nothing of the shape of its input {value.name!r}; give data")
        if value.dtype is None or value.dtype == ir.DataType.STRING:
            raise QGraphError(f"no inputs can be made for {value.name!r} of type {value.dtype}; give data")
        dims = [d if isinstance(d, int) else str(d.value or "") for d in value.shape]
        kinds[value.name or ""] = value.dtype.numpy(), dims
    return kinds, Snapshot.of(model)


def _size(dim: int | str, axis: int, dtype: np.dtype, sizes: dict[str, int]) -> int:
    """The size of a dim; ``sizes`` are those of symbols, which this one joins."""
    if isinstance(dim, int) and dim >= 0:
        return dim
    usual = BATCH if axis == 0 else SIDE if axis > 1 and dtype.kind == "f" else LENGTH
    if not isinstance(dim, str) or not dim:
        return usual
    if dim not in sizes:
        if not dim.isidentifier():
            for symbol in re.findall(r"[A-Za-z_]\w*", dim):
                sizes.setdefault(symbol, LENGTH)
        sizes[dim] = _evaluated(dim, sizes) or usual
    return sizes[dim]


def _evaluated(text: str, sizes: Mapping[str, int]) -> int | None:
    """The value of a dim such as ``past + 1``; None where it is no arithmetic on known symbols."""

    def value(part: ast.AST) -> int:
        if isinstance(part, ast.BinOp):
            return int(OPERATORS[type(part.op)](value(part.left), value(part.right)))  # type: ignore[index]
        return int(part.value) if isinstance(part, ast.Constant) else sizes[part.id]  # type: ignore[attr-defined,arg-type]

    with contextlib.suppress(SyntaxError, KeyError, AttributeError, TypeError, ValueError, ZeroDivisionError):
        return max(0, value(ast.parse(text, mode="eval").body))
    return None


def _readers(graph: Snapshot) -> dict[str, list[Node]]:
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for read in dict.fromkeys(node.inputs):
            readers.setdefault(read, []).append(node)
    return readers


def quantized_range(graph: Snapshot, name: str) -> tuple[float, float] | None:
    """The least and the largest number that the quantizer of the input ``name`` has codes for; None where it has none."""
    for node in _readers(graph).get(name, []):
        if node.op.rpartition(".")[2] in ("QuantizeLinear", "Quantize"):
            codes = graph.values[node.outputs[0]]
            with contextlib.suppress(ValueError):  # not one scale, or a type that NumPy has no range of
                scale, zero, kind = float(codes.scale), float(codes.zero_point or 0), np.iinfo(codes.type)
                if np.isfinite(np.float32(span := scale * (kind.max - kind.min))) and span > 0:
                    return scale * (kind.min - zero), scale * (kind.max - zero)
    return None


def limit(graph: Snapshot, name: str) -> int | None:
    """The length of the shortest axis that ``name`` indexes, through ops that move elements; None where it indexes none."""
    readers = _readers(graph)
    found: list[int] = []
    todo, seen = [name], {name}
    while todo:
        value = todo.pop()
        for node in readers.get(value, []):
            op = node.op.rpartition(".")[2]
            found += _indexed(graph, node, op, value)
            if (op in MOVES and (op == "Concat" or node.inputs[0] == value)) or (op == "Gather" and node.inputs[0] == value):
                todo += [v for v in node.outputs if v not in seen]
                seen.update(node.outputs)
    return min(found, default=None)


def _indexed(graph: Snapshot, node: Node, op: str, value: str) -> Iterator[int]:
    """The length of the axis that a Gather reads by ``value``, where it is known."""
    if op not in ("Gather", "GatherElements") or node.inputs[1] != value:
        return
    dims = graph.values[node.inputs[0]].shape.strip("[]").split(", ")
    with contextlib.suppress(ValueError, IndexError):
        yield int(dims[int(node.attributes.get("axis", "0"))])
