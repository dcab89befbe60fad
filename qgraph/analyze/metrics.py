"""What is known about every node of a model file: bits, bytes, zeros, work, time, and how far it is from the float model.

One table for the viewer's overlays, the report and ``inspect --tree``; nodes go by their snapshot's ids.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx_ir as ir

from qgraph.analyze import cost
from qgraph.analyze.compare import compare
from qgraph.analyze.inputs import input_names, made_inputs
from qgraph.data import Batch, first_batch
from qgraph.ir import io
from qgraph.ir.dialects import QDQ, dialect_of
from qgraph.ir.patterns import constant, is_op
from qgraph.ir.snapshot import Snapshot

INDICES = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL, ir.DataType.STRING)
"""Types of constants that are no weights."""
EQUAL_DB = 100.0
"""SQNR in dB above which a value counts as equal."""
RUNS = 20
"""Runs of a program over which the times of its ops are averaged."""


@dataclasses.dataclass
class NodeMetrics:
    """What is known of one node; None where there is nothing to know.

    Attributes:
        bits: of a stored weight element.
        value_bits: of an element of the node's value as the next op reads it, behind its quantizer.
        bytes: of the weights that the node reads.
        elements: of these weights.
        sparsity: part of these elements that is zero.
        macs: multiply-accumulates, free dims as 1 or as in the run that was timed.
        seconds: of a run.
        sqnr: of the node's value against the float model, dB, 100 at most.
        noise: power of the noise that is made here, as a part of the value's signal: 10^(-SQNR / 10) of the value less that of
            the worst that the node reads.
        cosine: the same as cosine similarity.
        tap: kind of the distillation tap on the node's value.
    """

    bits: float | None = None
    value_bits: float | None = None
    bytes: int = 0
    elements: int = 0
    sparsity: float | None = None
    macs: int | None = None
    seconds: float | None = None
    sqnr: float | None = None
    noise: float | None = None
    cosine: float | None = None
    tap: str = ""


class AnalyzedModel:
    """A model file with its graph and the metrics of its nodes.

    Attributes:
        path: the file.
        dialect: float, quantized or integer.
        snapshot: the graph.
        metrics: metrics by id of node; every node has some.
        weights: name -> codes or floats of the weights of two dims or more.
        readers: name of weight -> id of the node that computes with it.
        model: the model; None for a program.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read ``path`` (.onnx or .qgp); raises QGraphError where it cannot be read."""
        self.path = Path(path)
        self.model: ir.Model | None = None
        self.weights: dict[str, np.ndarray] = {}
        self.readers: dict[str, str] = {}
        if self.is_program:
            self._program()
        else:
            self._model()
        for name in self.snapshot.outputs:
            if name.startswith("tap."):
                producer = self.snapshot.producers().get(name)
                source = self.snapshot.producers().get(producer.inputs[0]) if producer and producer.inputs else None
                for node in (producer, source):
                    if node is not None:
                        self.metrics[node.id].tap = name.split(".")[1]

        self._value_bits()

    def _value_bits(self) -> None:
        read_as = {
            node.inputs[0]: 8.0 if node.op == "qgraph.FakeQuantizeTokens" else width(self.snapshot.values[node.outputs[0]].type)
            for node in self.snapshot.nodes
            if node.op in ("QuantizeLinear", "qgraph.FakeQuantizeTokens")
        }
        for node in self.snapshot.nodes:
            if node.outputs and node.op not in QDQ:
                name = node.outputs[0]
                self.metrics[node.id].value_bits = read_as.get(name, width(self.snapshot.values[name].type))

    def _program(self) -> None:
        from qgraph.deploy.program_file import read

        self.dialect = "integer"
        self.snapshot, self.weights = read(self.path)
        self.metrics = {node.id: NodeMetrics() for node in self.snapshot.nodes}
        for node in self.snapshot.nodes:
            for name in node.inputs:
                if name in self.weights:
                    value = self.snapshot.values[name]
                    self._add(node.id, name, 8 * value.bytes / max(1, self.weights[name].size), value.bytes, self.weights[name])

    def _model(self) -> None:
        self.model = io.load(self.path)
        self.dialect = dialect_of(self.model)
        self.snapshot = Snapshot.of(self.model)
        self.metrics = {node.id: NodeMetrics() for node in self.snapshot.nodes}
        ids = {node: shown.id for node, shown in zip(self.model.graph, self.snapshot.nodes, strict=True)}
        for value, reader in cost.weights(self.model):
            tensor = ir.convenience.get_const_tensor(value)
            if reader is not None and tensor is not None and tensor.dtype not in INDICES:
                self._add(ids[reader], cost.stored_name(value), cost.bits_of(tensor.dtype), tensor.nbytes, masked(value))
        for node, identity in ids.items():
            if cost.has_products(node):
                self.metrics[identity].macs = cost.node_macs(node)

    def _add(self, identity: str, name: str, bits: float, size: int, array: np.ndarray) -> None:
        metrics = self.metrics[identity]
        zeros = float((array == 0).mean()) if array.size else 0.0
        whole = metrics.elements + array.size
        metrics.sparsity = ((metrics.sparsity or 0.0) * metrics.elements + zeros * array.size) / max(1, whole)
        metrics.bits = ((metrics.bits or 0.0) * metrics.elements + bits * array.size) / max(1, whole)
        metrics.elements, metrics.bytes = whole, metrics.bytes + size
        self.weights[name], self.readers[name] = array, identity

    @property
    def is_program(self) -> bool:
        return io.is_program(self.path)

    @property
    def size(self) -> int:
        """Bytes on disk, weights in files of their own included."""
        tensors = [v.const_value for v in self.model.graph.initializers.values()] if self.model is not None else []
        return self.path.stat().st_size + sum(t.length or 0 for t in tensors if isinstance(t, ir.ExternalTensor))

    def modules(self) -> dict[str, NodeMetrics]:
        """Metrics by module path, those of inner modules included: bits on average, bytes in all, SQNR of the worst value."""
        sums: dict[str, NodeMetrics] = {"": NodeMetrics()}
        for node in self.snapshot.nodes:
            own = self.metrics[node.id]
            if own.bits is None and own.sqnr is None:
                continue
            words = node.scope.split(".") if node.scope else []
            for depth in range(len(words) + 1):
                total = sums.setdefault(".".join(words[:depth]), NodeMetrics())
                if own.bits is not None:
                    whole = total.elements + own.elements
                    total.bits = round(((total.bits or 0) * total.elements + own.bits * own.elements) / max(1, whole), 3)
                    total.sparsity = ((total.sparsity or 0) * total.elements + (own.sparsity or 0) * own.elements) / max(1, whole)
                    total.elements, total.bytes = whole, total.bytes + own.bytes
                if own.sqnr is not None:
                    total.sqnr = min(own.sqnr, total.sqnr if total.sqnr is not None else EQUAL_DB)
        return sums

    def count_macs(self) -> int:
        """Multiply-accumulates at free dims of 1; a program runs once for them, because its runtime counts them by shapes."""
        if self.is_program:
            for node, _, macs in self._profile(self._feed(None), threads=1, runs=1):
                node.macs = macs
        return sum(metrics.macs or 0 for metrics in self.metrics.values())

    def time(self, feed: Batch | None = None, threads: int = 1) -> float:
        """Time every op of a program on ``feed`` (random inputs without one), and note the shapes of its values there.

        Returns:
            Seconds of a run.
        """
        from qgraph.deploy.session import Session

        inputs = self._feed(feed)
        profiled = self._profile(inputs, threads, RUNS)
        kept = Session(self.path, threads=threads, keep=True)
        kept.run(inputs)
        for name, shape in kept.shapes().items():
            self.snapshot.values[name].shape = str(shape)
        for metrics, seconds, macs in profiled:
            metrics.seconds, metrics.macs = seconds, macs
        return sum(seconds for _, seconds, _ in profiled)

    def _feed(self, feed: Batch | None) -> dict[str, np.ndarray]:
        """The inputs of a program from ``feed``, or random ones."""
        return first_batch([feed], input_names(self.path)) if feed is not None else made_inputs(self.path)

    def _profile(self, inputs: Batch, threads: int, runs: int) -> list[tuple[NodeMetrics, float, int | None]]:
        """Run a program; returns the metrics of each op with its seconds and multiply-accumulates a run."""
        from qgraph.deploy.session import Session

        session = Session(self.path, threads=threads, profile=True)
        for _ in range(runs):
            session.run(inputs)
        rows = zip(self.snapshot.nodes, session.profile(), strict=True)
        return [(self.metrics[node.id], row[2] / max(1, row[3]), row[4] or None) for node, row in rows]

    def _noise(self) -> None:
        """The noise that every node makes.

        Values that were not measured, or that drown in huge elements (masked scores), hand on the SQNR of their inputs.
        """
        behind: dict[str, float] = {}
        for node in self.snapshot.nodes:
            read = min((behind.get(name, EQUAL_DB) for name in node.inputs if name), default=EQUAL_DB)
            metrics = self.metrics[node.id]
            if metrics.sqnr is not None:
                metrics.noise = max(0.0, 10 ** (-metrics.sqnr / 10) - 10 ** (-read / 10))
            for name in node.outputs:
                behind[name] = read if metrics.sqnr is None or metrics.sqnr >= EQUAL_DB else metrics.sqnr

    def against(self, reference: str | os.PathLike[str], data: Iterable[Batch]) -> dict[str, float]:
        """Measure every value against the float model ``reference``; returns the outputs' SQNR in dB by name."""
        result = compare(reference, self.path, data)
        nodes = {node.id for node in self.snapshot.nodes}
        for value in (*result.values, *result.outputs):
            if value.name in nodes:
                self.metrics[value.name].sqnr = float(np.clip(value.sqnr, -EQUAL_DB, EQUAL_DB))
                self.metrics[value.name].cosine = value.cosine
        self._noise()
        return {value.name: value.sqnr for value in result.outputs}


def width(kind: str) -> float | None:
    """Bits of an element of a type such as ``uint8``; None where the type is not known."""
    known = {"float": 32, "double": 64, "bool": 8}
    digits = kind.lstrip("abcdefghijklmnopqrstuvwxyz").split("e")[0]
    return float(known[kind]) if kind in known else float(digits) if digits.isdecimal() else None


def masked(value: ir.Value) -> np.ndarray:
    """The elements of an initializer as its readers see them, through the mask that may lie on it."""
    for use in value.uses():
        if is_op(use.node.outputs[0], "Mask", domain="qgraph"):
            return np.asarray(constant(use.node.outputs[0]))
    return np.asarray(constant(value))
