"""Snapshots as graphs of Model Explorer (https://github.com/google-ai-edge/model-explorer, graph_builder.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qgraph.analyze.metrics import NodeMetrics
from qgraph.ir.snapshot import Change, Node, Snapshot, Value

MARKS = {"added": "#009e73", "removed": "#d55e00", "changed": "#e69f00"}
"""Borders of nodes that a step touched; Okabe and Ito's palette, which colour-blind people tell apart."""


def graph(
    snapshot: Snapshot, name: str, metrics: Mapping[str, NodeMetrics] | None = None, change: Change | None = None
) -> dict[str, Any]:
    """One graph: hierarchy from module paths, types and shapes on edges, what is known of each node as attributes."""
    producers = snapshot.producers()
    marks = {i: kind for kind in MARKS for i in getattr(change, kind)} if change is not None else {}
    nodes = [_end(f"input {i}", "Input", snapshot, [], i) for i in snapshot.inputs]
    nodes += [_node(n, snapshot, producers, (metrics or {}).get(n.id), marks.get(n.id, "")) for n in snapshot.nodes]
    for o in snapshot.outputs:
        source = _source(o, snapshot, producers)
        nodes.append(_end(f"output {o}", "Output", snapshot, [source] if source else [], o))
    return {"id": name, "nodes": nodes}


def _end(identity: str, label: str, snapshot: Snapshot, edges: list[dict[str, str]], value: str) -> dict[str, Any]:
    shown = snapshot.values.get(value, Value())
    edges = [{**e, "targetNodeInputId": "0"} for e in edges]
    return {
        "id": identity,
        "label": label,
        "namespace": "",
        "attrs": [{"key": "name", "value": value}],
        "incomingEdges": edges,
        "outputsMetadata": [_metadata(0, value, shown)] if label == "Input" else [],
    }


def _metadata(index: int, name: str, value: Value) -> dict[str, Any]:
    attributes = {
        "__tensor_tag": name,
        "tensor_shape": f"{value.type}{value.shape}",
        "scale": value.scale,
        "zero point": value.zero_point,
    }
    return {"id": str(index), "attrs": [{"key": k, "value": v} for k, v in attributes.items() if v]}


def _source(value: str, snapshot: Snapshot, producers: Mapping[str, Node]) -> dict[str, str] | None:
    if value in producers:
        maker = producers[value]
        return {"sourceNodeId": maker.id, "sourceNodeOutputId": str(maker.outputs.index(value))}
    if value in snapshot.inputs:
        return {"sourceNodeId": f"input {value}", "sourceNodeOutputId": "0"}
    return None


def _node(
    node: Node, snapshot: Snapshot, producers: Mapping[str, Node], metrics: NodeMetrics | None, mark: str
) -> dict[str, Any]:
    edges = []
    attributes = {"value": node.outputs[0] if node.outputs else "", "node": node.name, "module": node.scope, "source": node.line}
    for index, name in enumerate(node.inputs):
        source = _source(name, snapshot, producers)
        if source is not None:
            edges.append({**source, "targetNodeInputId": str(index)})
        elif name:
            attributes[f"input {index}"] = describe(name, snapshot.values[name])
    attributes |= node.attributes
    if metrics is not None:
        attributes |= told(metrics)
    if mark:
        attributes["this step"] = mark
    described: dict[str, Any] = {
        "id": node.id,
        "label": node.op.removeprefix("qgraph.integer."),
        "namespace": namespace(node.scope),
        "attrs": [{"key": k, "value": str(v)} for k, v in attributes.items() if v],
        "incomingEdges": edges,
        "outputsMetadata": [_metadata(i, o, snapshot.values.get(o, Value())) for i, o in enumerate(node.outputs)],
    }
    if mark:
        described["style"] = {"borderColor": MARKS[mark], "hoveredBorderColor": MARKS[mark]}
    return described


def namespace(scope: str) -> str:
    """``encoder.layer.0.attention`` as nested layers; a number stays with the word in front of it."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"_\1", scope).replace("/", "_").replace(".", "/")


def describe(name: str, value: Value) -> str:
    """A constant in one line."""
    size = f", {value.bytes / 1e3:.1f} kB" if value.bytes >= 1000 else ""
    codes = f", scale {value.scale}" + (f", zero point {value.zero_point}" if value.zero_point else "") if value.scale else ""
    return f"{name}: {value.type}{value.shape}{size}{codes}"


def told(metrics: NodeMetrics) -> dict[str, str]:
    """NodeMetrics as text with units."""
    lines = {
        "weight bits": f"{metrics.bits:g}" if metrics.bits is not None else "",
        "value bits": f"{metrics.value_bits:g}" if metrics.value_bits is not None else "",
        "weight bytes": f"{metrics.bytes:,}" if metrics.bytes else "",
        "zeros": f"{metrics.sparsity:.1%}" if metrics.sparsity is not None else "",
        "multiply-accumulates": f"{metrics.macs:,}" if metrics.macs else "",
        "time": f"{metrics.seconds * 1e6:.1f} us" if metrics.seconds is not None else "",
        "SQNR": f"{metrics.sqnr:.1f} dB" if metrics.sqnr is not None else "",
        "noise made here": f"{metrics.noise:.3%} of the signal" if metrics.noise is not None else "",
        "cosine": f"{metrics.cosine:.6f}" if metrics.cosine is not None else "",
        "tap": metrics.tap,
    }
    return {k: v for k, v in lines.items() if v}
