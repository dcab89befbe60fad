"""Control flow: the graphs of an op are evaluated again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.execute.integer.common import Arrays, defines


def _run(graph: ir.Graph, inputs: Arrays) -> list[np.ndarray]:
    from qgraph.execute.integer.evaluate import evaluate_graph  # which imports this module

    found = evaluate_graph(graph, dict(zip(graph.inputs, inputs, strict=True)))  # type: ignore[arg-type]
    return [found[v] for v in graph.outputs]


def _stacked(elements: list[np.ndarray], value: ir.Value) -> np.ndarray:
    """``elements`` along a new first axis; without any, of the shape that ``value`` declares, 0 for free dims."""
    if elements:
        return np.stack(elements)
    dims = [d if isinstance(d, int) else 0 for d in value.shape or ()]
    return np.zeros((0, *dims), value.dtype.numpy())  # type: ignore[union-attr]


@defines("If")
def branch(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[np.ndarray, ...]:
    assert x[0] is not None
    return tuple(_run(a["then_branch"] if x[0].item() else a["else_branch"], x[1:]))


@defines("Loop")
def loop(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[np.ndarray, ...]:
    trips, condition, *values = [*x, None, None][: max(2, len(x))]
    body, n, i = a["body"], a["carried"], 0
    going = True if condition is None else bool(condition.item())
    elements: list[list[np.ndarray]] = [[] for _ in body.outputs[1 + n :]]
    while going and (trips is None or i < trips.item()):
        shapes = [[1] if v.shape is not None and len(v.shape) == 1 else [] for v in body.inputs[:2]]
        state = [np.full(shapes[0], i, np.int64), np.full(shapes[1], going, np.bool_)]
        go, *results = _run(body, [*state, *values])
        going, values[:n] = bool(go.item()), results[:n]
        for made, result in zip(elements, results[n:], strict=True):
            made.append(result)
        i += 1
    stacks = [_stacked(made, v) for made, v in zip(elements, body.outputs[1 + n :], strict=True)]
    return tuple(v for v in (*values[:n], *stacks) if v is not None)


@defines("Scan")
def scan(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[np.ndarray, ...]:
    body, n, m = a["body"], a["carried"], a["scanned"]
    made = len(body.outputs) - n
    states, sequences, others = list(x[:n]), [np.asarray(s) for s in x[n : n + m]], x[n + m :]
    axes, backwards = a.get("scan_input_axes", [0] * m), a.get("scan_input_directions", [0] * m)
    rows = [np.moveaxis(s, axis, 0)[:: -1 if b else 1] for s, axis, b in zip(sequences, axes, backwards, strict=True)]
    elements: list[list[np.ndarray]] = [[] for _ in range(made)]
    for row in zip(*rows, strict=True):
        results = _run(body, [*states, *row, *others])
        states = list(results[:n])
        for kept, result in zip(elements, results[n:], strict=True):
            kept.append(result)
    stacks = [_stacked(kept, v) for kept, v in zip(elements, body.outputs[n:], strict=True)]
    axes, backwards = a.get("scan_output_axes", [0] * made), a.get("scan_output_directions", [0] * made)
    turned = [np.moveaxis(s[:: -1 if b else 1], 0, axis) for s, axis, b in zip(stacks, axes, backwards, strict=True)]
    return tuple(v for v in (*states, *turned) if v is not None)
