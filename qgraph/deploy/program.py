"""Quantized dialect -> integer dialect -> program file (``.qgp``)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from qgraph.capture import read
from qgraph.deploy.program_file import write
from qgraph.deploy.sparse import Choice, choose
from qgraph.errors import QGraphError
from qgraph.ir.dialects import dialect_of
from qgraph.ir.faults import blamed_on
from qgraph.pipeline import Pipeline


def compile(
    model: ir.Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    sparse: bool = True,
    shapes: Mapping[str, Sequence[int]] | None = None,
    threads: int = 0,
    chosen: list[Choice] | None = None,
) -> ir.Model:
    """Compile a model, quantized or not, to the program file ``path``; returns the model in the integer dialect.

    Args:
        model: a model of any dialect (or its file); it is not changed. What is not quantized runs in float32.
        sparse: measure for products of pruned weights whether they are quicker without the zeros; False runs all dense. The
            file leaves zeros out either way.
        shapes: shapes of inputs for that measurement; free dims are taken as 1.
        threads: threads of that measurement, as for ``Session``.
        chosen: takes a ``Choice`` for every product that was measured.

    Raises:
        QGraphError: a node has no integer kernel, or the file cannot be written.
    """
    source = model if isinstance(model, ir.Model) else read(model)
    dialect = dialect_of(source)
    with blamed_on("cannot compile", lambda: source):
        lowered = source.clone()
        if dialect != "integer":
            _lower(lowered)
        if sparse:
            found = choose(lowered, shapes, threads)
            if chosen is not None:
                chosen.extend(found)
        write(lowered, path)
    return lowered


def _lower(model: ir.Model) -> None:
    """Bring a model into the integer dialect, in place; one of another tool, which may need it, in canonical form."""
    if dialect_of(model) == "float":
        Pipeline("canonicalize{parameters=merge},fold-batchnorm,lower").run(model)
        return
    try:
        Pipeline("lower").run(model)
    except QGraphError:
        Pipeline("canonicalize{parameters=merge},fuse-bias,lower").run(model)
