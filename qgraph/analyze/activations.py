"""What values inside a model are on the user's data, batch by batch, computed in ONNX Runtime."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from qgraph.data import Batch
from qgraph.execute.onnxruntime import check_batch, session
from qgraph.ir.patterns import add_initializer


@dataclasses.dataclass
class Summary:
    """Extremes and sum of a float value in one batch.

    Attributes:
        low, high, total: float32 scalars, or [channels].
        count: elements behind each of them.
    """

    low: np.ndarray
    high: np.ndarray
    total: np.ndarray
    count: int


def summarize(
    model: ir.Model, values: Mapping[ir.Value, int | None], raw: Sequence[ir.Value], batches: Iterable[Batch]
) -> Iterator[tuple[dict[ir.Value, Summary], dict[ir.Value, np.ndarray]]]:
    """Yield, batch by batch, the summaries of ``values`` (whole, or by the channels of an axis) and the arrays of ``raw``.

    The graph reduces its own values, so that only a few numbers leave it.
    """
    clone = model.clone()
    named = {v.name: v for n in clone.graph for v in n.outputs} | {v.name: v for v in clone.graph.inputs}
    copies = {v: named[v.name] for v in [*values, *raw]}
    asked: dict[ir.Value, list[ir.Value]] = {}
    for number, (value, axis) in enumerate(values.items()):
        asked[value] = _reductions(clone, copies[value], axis, f"qgraph.{number}")
    inner = [v for v in raw if not v.is_graph_input()]
    outputs = [v for parts in asked.values() for v in parts] + [copies[v] for v in inner]
    run = session(clone, outputs or list(clone.graph.outputs), optimize=False)
    names = [v.name for v in outputs]
    for number, batch in enumerate(batches, 1):
        feed = check_batch(model, batch, number)
        results = iter(run.run(names, feed)) if names else iter(())
        summaries = {}
        for value, axis in values.items():
            low, high, total, shape = (next(results) for _ in range(4))
            shape = np.delete(shape, axis) if axis is not None else shape
            summaries[value] = Summary(low, high, total, int(np.prod(shape)))
        arrays = {v: next(results) for v in inner}
        yield summaries, {**arrays, **{v: feed[v.name or ""] for v in raw if v.is_graph_input()}}


def _reductions(model: ir.Model, value: ir.Value, axis: int | None, name: str) -> list[ir.Value]:
    """Nodes at the end of the graph: least, greatest, sum, shape of ``value``."""
    nodes = []
    for op in ("ReduceMin", "ReduceMax", "ReduceSum"):
        inputs = [value]
        if axis is not None:
            rank = len(value.shape or ())
            others = np.array([i for i in range(rank) if i != axis % rank], np.int64)
            inputs.append(add_initializer(model, f"{name}.{op}.axes", others))
        # without axes these ops reduce all of them; with an empty list they would too
        nodes.append(ir.Node("", op, inputs, [ir.AttrInt64("keepdims", 0)], name=f"{name}.{op}"))
    nodes.append(ir.Node("", "Shape", [value], name=f"{name}.Shape"))
    for node in nodes:
        node.outputs[0].name = node.name
        node.outputs[0].dtype = ir.DataType.INT64 if node.op_type == "Shape" else ir.DataType.FLOAT
    model.graph.extend(nodes)
    return [n.outputs[0] for n in nodes]
