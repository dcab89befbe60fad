"""How far the outputs of one form of a model are from those of another: whole, and part by part of outputs that join parts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.analyze.compare import Difference
from qgraph.data import Batch

KEEPS = {"Identity", "Cast"}
"""Ops between a Concat and an output that leave every channel where it is."""


def onnxruntime_session(path: Path) -> Any:
    """A session of the file as it lies there, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs_of(path: Path) -> list[str]:
    """Names of the outputs of a file, in order."""
    return [value.name for value in onnxruntime_session(path).get_outputs()]


def run_onnx(path: Path, batches: Sequence[Batch]) -> list[list[np.ndarray]]:
    """Outputs of every batch in ONNX Runtime; inputs that the file lacks are left out."""
    engine = onnxruntime_session(path)
    wanted = {value.name for value in engine.get_inputs()}
    feeds = [{name: array for name, array in batch.items() if name in wanted} for batch in batches]
    return [[np.asarray(array) for array in engine.run(None, feed)] for feed in feeds]


def run_program(path: Path, batches: Sequence[Batch]) -> list[list[np.ndarray]]:
    """Outputs of every batch in our runtime."""
    from qgraph.deploy.session import Session

    program = Session(path, threads=1)
    feeds = [{name: array for name, array in batch.items() if name in program.inputs} for batch in batches]
    return [list(program.run(feed).values()) for feed in feeds]


def joined(model: ir.Model) -> dict[str, tuple[int, list[str]]]:
    """Outputs that a Concat makes: name -> (axis, names of the parts)."""
    found = {}
    for output in model.graph.outputs:
        node = output.producer()
        while node is not None and node.op_type in KEEPS:
            node = node.inputs[0].producer() if node.inputs[0] is not None else None
        if node is not None and node.op_type == "Concat":
            found[output.name or ""] = (node.attributes["axis"].as_int(), [v.name or "" for v in node.inputs if v is not None])
    return found


def part_sizes(path: Path, parts: dict[str, tuple[int, list[str]]], batch: Batch) -> dict[str, tuple[int, list[int]]]:
    """Outputs by name -> (axis, size of each part along it), by running the model up to the parts."""
    from qgraph.execute.onnxruntime import session

    if not parts:
        return {}
    model = ir.load(path)
    values = {v.name: v for v in [*model.graph.inputs, *model.graph.initializers.values()]}
    values |= {v.name: v for node in model.graph for v in node.outputs}
    wanted = list(dict.fromkeys(name for _, names in parts.values() for name in names if values[name].const_value is None))
    feed = {v.name or "": batch[v.name or ""] for v in model.graph.inputs}
    arrays = dict(zip(wanted, session(model, [values[n] for n in wanted]).run(wanted, feed), strict=True))
    arrays |= {n: c.numpy() for _, names in parts.values() for n in names if (c := values[n].const_value) is not None}
    return {output: (axis, [arrays[name].shape[axis] for name in names]) for output, (axis, names) in parts.items()}


def differences(
    names: Sequence[str],
    pairs: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]],
    sizes: dict[str, tuple[int, list[int]]],
) -> list[dict[str, object]]:
    """SQNR and cosine of every output, and of the parts of joined ones (``name[0:4]``), over all batches.

    Both are None for an output whose shapes differ in some batch, as when a voice speaks faster; NaN and infinity where the
    first has numbers are noise without end.
    """
    made: dict[str, Difference] = {}
    unlike: set[str] = set()
    for a, b in pairs:
        for name, x, y in zip(names, a, b, strict=True):
            if x.shape != y.shape:
                unlike.add(name)
                continue
            made.setdefault(name, Difference(name)).update(x, y)
            if y.dtype.kind == "f" and not np.isfinite(y[np.isfinite(x)]).all():
                made[name].noise = float("inf")
            axis, parts = sizes.get(name, (0, []))
            if len(parts) > 1 and sum(parts) == x.shape[axis]:
                at = np.cumsum([0, *parts])
                for start, end in itertools.pairwise(at):
                    key = f"{name}[{start}:{end}]"
                    made.setdefault(key, Difference(key)).update(*(np.take(v, range(start, end), axis) for v in (x, y)))
    rows: list[dict[str, object]] = [{"name": d.name, "sqnr": d.sqnr, "cosine": d.cosine} for d in made.values()]
    rows += [{"name": name, "sqnr": None, "cosine": None} for name in sorted(unlike)]
    return rows
