"""Run a model in ONNX Runtime and look at values inside it, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError, suggest
from qgraph.ir.io import size_of

Batch = Mapping[str, np.ndarray]
LARGE = 1_000_000_000


def session(model: ir.Model, outputs: Sequence[ir.Value] | None = None, *, threads: int = 0, optimize: bool = True) -> Any:
    """An ONNX Runtime session of ``model``; with ``outputs`` these values are what it returns."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # by default 4-bit products quantize their activations once more, which no other engine does
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    # values inside fused ops could not be read back, so reading them needs the graph as it is
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_ENABLE_BASIC
    with _outputs(model, outputs):
        if size_of(model) > LARGE:
            import tempfile
            from pathlib import Path

            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                ir.save(model, path, external_data="model.data")
                return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        data = ir.to_proto(model).SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def _outputs(model: ir.Model, outputs: Sequence[ir.Value] | None) -> Iterator[None]:
    if outputs is None:
        yield
        return
    kept = list(model.graph.outputs)
    model.graph.outputs.clear()
    model.graph.outputs.extend(dict.fromkeys(outputs))
    try:
        yield
    finally:
        model.graph.outputs.clear()
        model.graph.outputs.extend(kept)


def check_batch(model: ir.Model, batch: Batch, number: int) -> dict[str, np.ndarray]:
    """Return the batch's arrays for the model's inputs; refuse missing names, wrong ranks and dtypes, NaN."""
    feed = {}
    for value in model.graph.inputs:
        name = value.name or ""
        if name not in batch:
            raise QGraphError(
                f"data batch {number} has no input {name!r}{suggest(name, batch)}; "
                f"it holds {', '.join(map(repr, batch)) or 'nothing'}"
            )
        array = np.asarray(batch[name])
        wanted = value.dtype.numpy() if value.dtype is not None else array.dtype
        if array.dtype != wanted:
            if array.dtype.kind != np.dtype(wanted).kind:
                raise QGraphError(f"data batch {number}: input {name!r} is {array.dtype}, the model takes {wanted}")
            array = array.astype(wanted)
        if value.shape is not None:
            fits = len(array.shape) == len(value.shape) and all(
                not isinstance(d, int) or d == n for d, n in zip(value.shape, array.shape, strict=True)
            )
            if not fits:
                raise QGraphError(
                    f"data batch {number}: input {name!r} has shape {list(array.shape)}, "
                    f"the model takes {[d if isinstance(d, int) else str(d.value) for d in value.shape]}"
                )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise QGraphError(f"data batch {number}: input {name!r} holds NaN or infinity; clean the data")
        feed[name] = array
    return feed


def observe(model: ir.Model, values: Sequence[ir.Value], batches: Iterable[Batch]) -> Iterator[dict[ir.Value, np.ndarray]]:
    """Yield, batch by batch, the arrays of ``values`` (any values of the main graph)."""
    values = list(dict.fromkeys(values))
    inputs = {v for v in values if v.is_graph_input()}
    inner = [v for v in values if v not in inputs]
    run = session(model, inner or list(model.graph.outputs), optimize=False)
    names = [v.name for v in inner]
    for number, batch in enumerate(batches, 1):
        feed = check_batch(model, batch, number)
        found = dict(zip(inner, run.run(names, feed), strict=True)) if inner else {}
        yield {**found, **{v: feed[v.name or ""] for v in inputs}}
