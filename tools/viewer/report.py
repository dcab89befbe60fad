"""A report on model files as one HTML file: what they weigh, what they lose, what they take, and where."""

from __future__ import annotations

import collections
import dataclasses
import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from qgraph.tools.viewer import Status

from qgraph.analyze import charts
from qgraph.analyze.compare import Runner
from qgraph.analyze.metrics import AnalyzedModel
from qgraph.analyze.page import document, table
from qgraph.data import LABEL, Batch
from qgraph.errors import QGraphError
from qgraph.execute.onnxruntime import check_batch, session
from qgraph.ir.patterns import constant, is_op

WORST = 10
SAMPLE = 1 << 18
"""Elements of a tensor that a histogram looks at."""


@dataclasses.dataclass
class Candidate:
    """A model file with what was measured of it.

    Attributes:
        macs: multiply-accumulates at free dims of 1.
        outputs: SQNR in dB of each output against the first file.
        accuracy: part of the labels that it names, where the data has labels.
        seconds: median time of a run, where runs were timed.
    """

    analyzed: AnalyzedModel
    macs: int
    outputs: dict[str, float] = dataclasses.field(default_factory=dict)
    accuracy: float | None = None
    seconds: float | None = None

    @property
    def name(self) -> str:
        return self.analyzed.path.name

    @property
    def sqnr(self) -> float | None:
        """The least SQNR of an output, dB."""
        return min(self.outputs.values(), default=None)

    def by_bits(self) -> dict[float, float]:
        """Bytes of weights by bits an element."""
        sizes: dict[float, float] = collections.defaultdict(float)
        for metrics in self.analyzed.metrics.values():
            if metrics.bits is not None:
                sizes[round(metrics.bits, 2)] += metrics.bytes
        return dict(sizes)


def make(
    paths: Sequence[str],
    data: Sequence[Batch],
    *,
    source: str | None = None,
    shapes: Sequence[str] = (),
    threads: int = 1,
    rounds: int = 3,
    progress: Status = lambda text: None,
) -> str:
    """The report as HTML.

    Args:
        paths: model files, the first the reference of the others; and folders of ``qgraph train``.
        data: batches to compare the files on; without any there is no accuracy.
        source: where the batches come from (as ``--data``); None: they are random. The first is for timing too, else ``shapes``.
        shapes: texts such as ``input_ids=1,128``.
        threads: of every engine that is timed.
        rounds: processes an engine; 0 times nothing.

    Raises:
        QGraphError: a file cannot be read, or they are no forms of one model.
    """
    folders = [Path(p) for p in paths if Path(p).is_dir()]
    files = [p for p in paths if not Path(p).is_dir()]
    parts: list[tuple[str, str, str]] = []
    candidates: list[Candidate] = []
    for path in files:
        progress(f"reading {path}")
        analyzed = AnalyzedModel(path)
        candidates.append(Candidate(analyzed, analyzed.count_macs()))
    for candidate in candidates[1:] if data else []:
        progress(f"comparing {candidate.name} with {candidates[0].name}")
        candidate.outputs = candidate.analyzed.against(files[0], data)
    for candidate in candidates if data and all(LABEL in batch for batch in data) else []:
        candidate.accuracy = accuracy(candidate.analyzed.path, data)
    if rounds and files:
        _time(candidates, source, shapes, threads, rounds, progress)
    for candidate in candidates:
        if rounds and candidate.analyzed.is_program:
            candidate.analyzed.time(data[0] if data else None, threads)
    if candidates:
        parts.append(("summary", "Summary", summary(candidates, threads, on_random=bool(data) and source is None)))
        if len(candidates) > 2:
            parts.append(("candidates", "Size, time and what is kept", choice(candidates)))
    for number, candidate in enumerate(candidates[1:], 1):
        if candidate.outputs:
            parts.append((f"layers-{number}", f"Layers of {candidate.name}", layers(candidate)))
    for number, candidate in enumerate(candidates):
        if rounds and candidate.analyzed.is_program:
            parts.append((f"time-{number}", f"Time in {candidate.name}", times(candidate, threads)))
    graphs = [c for c in candidates[1:] if c.analyzed.model is not None and c.outputs]
    if graphs and candidates[0].analyzed.model is not None:
        progress("drawing the worst layers")
        text = worst(candidates[0].analyzed, graphs[-1].analyzed, data)
        parts.append(("worst", f"The worst layers of {graphs[-1].name}", text))
    parts += [(f"run-{i}", f"Training in {folder.name}", training(folder)) for i, folder in enumerate(folders)]
    body = "".join(f'<section id="{anchor}"><h2>{html.escape(title)}</h2>{text}</section>' for anchor, title, text in parts)
    title = "qgraph report: " + ", ".join([c.name for c in candidates] + [f.name for f in folders])
    return document(title, body, [(anchor, heading) for anchor, heading, _ in parts])


def _time(
    candidates: list[Candidate], data: str | None, shapes: Sequence[str], threads: int, rounds: int, progress: Status
) -> None:
    from qgraph.tools.bench.engines import Job, measure

    progress("timing the files, each in processes of its own")
    jobs = [Job(str(c.analyzed.path), data, tuple(shapes), threads) for c in candidates]
    for candidate, result in zip(candidates, measure(jobs, rounds), strict=True):
        candidate.seconds = result.median


def accuracy(path: Path, data: Sequence[Batch]) -> float | None:
    """Part of the labels that the largest score names; None where the one output is no score a class."""
    runner = Runner(path, inner=False)
    right = count = 0
    for number, batch in enumerate(data, 1):
        outputs, _ = runner.run({k: v for k, v in batch.items() if k in runner.inputs}, number)
        scores, labels = next(iter(outputs.values())), np.asarray(batch[LABEL])
        if len(outputs) != 1 or scores.ndim != 2 or labels.shape != scores.shape[:1]:
            return None
        right, count = right + int((scores.argmax(1) == labels).sum()), count + labels.size
    return right / max(1, count)


def _db(value: float | None) -> str:
    return "-" if value is None else "equal" if math.isinf(value) and value > 0 else f"{value:.1f} dB"


def summary(candidates: list[Candidate], threads: int, *, on_random: bool) -> str:
    """One row a file."""
    first = candidates[0]
    rows = []
    for c in candidates:
        widths = ", ".join(f"{bits:g}: {size / 1e6:.2f}" for bits, size in sorted(c.by_bits().items(), reverse=True))
        took = "-" if c.seconds is None else f"{c.seconds * 1e3:.2f}"
        gain = "-" if c.seconds is None or first.seconds is None else f"{first.seconds / c.seconds:.2f} x"
        size = c.analyzed.size
        row = [
            c.name,
            c.analyzed.dialect,
            len(c.analyzed.snapshot.nodes),
            f"{size / 1e6:.3f}",
            f"{size / first.analyzed.size:.3f} x",
        ]
        right = "-" if c.accuracy is None else f"{c.accuracy:.1%}"
        rows.append([*row, widths or "-", f"{c.macs / 1e6:.2f}" if c.macs else "-", _db(c.sqnr), right, took, gain])
    head = (
        "file",
        "dialect",
        "nodes",
        "MB",
        "size",
        "MB of weights by bits",
        "million MACs",
        "worst output",
        "accuracy",
        "ms",
        "speed",
    )
    said = (
        f"Size and speed beside {first.name}; SQNR of the worst output against it"
        f"{' on random inputs' * on_random}; {threads} thread(s), medians of alternating processes; MACs at free dims of 1"
    )
    drawn = {c.name: c.by_bits() for c in candidates}
    return table(head, rows, said) + (charts.bits(drawn) if any(drawn.values()) else "")


def choice(candidates: list[Candidate]) -> str:
    """The files as points, where something is known to compare them by."""
    if all(c.accuracy is not None for c in candidates):
        rows = [(c.name, c.analyzed.size / 1e6, c.seconds and c.seconds * 1e3, 100 * (c.accuracy or 0.0)) for c in candidates]
        return charts.candidates(rows, "accuracy (%)")
    rated = [c for c in candidates if c.sqnr is not None and math.isfinite(c.sqnr)]
    if not rated:
        return "<p>Give --data to see what each file keeps.</p>"
    rows = [(c.name, c.analyzed.size / 1e6, c.seconds and c.seconds * 1e3, c.sqnr or 0.0) for c in rated]
    return charts.candidates(rows, "SQNR of the worst output (dB)")


def layers(candidate: Candidate) -> str:
    """The curve of SQNR and the nodes that lose most."""
    nodes = [(n, candidate.analyzed.metrics[n.id]) for n in candidate.analyzed.snapshot.nodes]
    known = [(n.id, f.sqnr) for n, f in nodes if f.sqnr is not None]
    noisy = sorted(((n, f) for n, f in nodes if f.noise), key=lambda item: -(item[1].noise or 0))[:WORST]
    rows = [[n.id, n.op, n.scope, _db(f.sqnr), f"{f.noise:.3%}", f"{f.cosine:.6f}"] for n, f in noisy]
    return (charts.sqnr(candidate.name, known) if known else "") + table(
        ("value", "op", "module", "SQNR", "noise made here", "cosine"),
        rows,
        "Where most noise is made: its power less that in the worst value that the node reads, in parts of the signal",
    )


def times(candidate: Candidate, threads: int) -> str:
    """The ops that take longest."""
    timed = [(n.id, f.seconds) for n in candidate.analyzed.snapshot.nodes if (f := candidate.analyzed.metrics[n.id]).seconds]
    total = sum(s for _, s in timed if s)
    top = sorted(((f"{name}", 1e6 * s) for name, s in timed if s), key=lambda row: -row[1])[:20]
    share = sum(v for _, v in top) / 1e6 / total
    return charts.bars(top, "us a run", f"The {len(top)} slowest ops: {share:.0%} of {total * 1e3:.2f} ms, {threads} thread(s)")


def worst(reference: AnalyzedModel, analyzed: AnalyzedModel, data: Sequence[Batch]) -> str:
    """Weights and activations of the layers with the least SQNR, and the numbers that their codes can stand for."""
    model = analyzed.model
    assert model is not None
    linear = {identity: name for name, identity in analyzed.readers.items() if name in reference.weights}
    rated = sorted((i for i in linear if _sqnr(analyzed, i) is not None), key=lambda i: _sqnr(analyzed, i) or 0.0)[:WORST]
    nodes = {shown.id: node for node, shown in zip(model.graph, analyzed.snapshot.nodes, strict=True)}
    inputs = {identity: activation(nodes[identity]) for identity in rated}
    values = _values(model, [value for value, _, _ in inputs.values()], data[0])
    parts = []
    for identity in rated:
        name, node = linear[identity], nodes[identity]
        array = sample(reference.weights[name])
        levels = weight_levels(node)
        said = f"SQNR {_db(_sqnr(analyzed, identity))}, {analyzed.metrics[identity].bits:g} bits"
        title = f"<h3>{html.escape(name)}</h3><p>{said}</p>"
        drawn = charts.histogram(
            array, levels, "weights", f"Weights of {name}; lines: what its codes can stand for (one channel)"
        )
        source, grid, kind = inputs[identity]
        if source.name in values:
            says = f"Its input {source.name}; " + (f"lines: its {kind} codes" if grid is not None else kind)
            drawn += charts.histogram(sample(values[source.name]), grid, "activations", says)
        parts.append(title + f'<div class="pair">{drawn}</div>')
    return "".join(parts) or "<p>No layer has weights in both files.</p>"


def _sqnr(analyzed: AnalyzedModel, identity: str) -> float | None:
    """SQNR of a layer: of its value, or of the sum with its bias."""
    metrics = analyzed.metrics[identity]
    if metrics.sqnr is not None:
        return metrics.sqnr
    makes = next(n.outputs for n in analyzed.snapshot.nodes if n.id == identity)
    after = next((n for n in analyzed.snapshot.nodes if set(makes) & set(n.inputs)), None)
    return analyzed.metrics[after.id].sqnr if after is not None else None


def sample(array: np.ndarray) -> np.ndarray:
    """Some elements, evenly taken."""
    flat = array.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLE)]


def weight_levels(node: ir.Node) -> np.ndarray | None:
    """What the codes of a layer's weights can stand for in the channel with the median scale."""
    value: ir.Value | None = node.inputs[1]
    while value is not None and (producer := value.producer()) is not None and producer.op_type == "Transpose":
        value = producer.inputs[0]
    if not is_op(value, "DequantizeLinear"):
        return None
    codes, scale = value.producer().inputs[:2]  # type: ignore[union-attr]
    steps = constant(scale)
    if codes is None or codes.dtype is None or steps is None:
        return None
    top = 1 << (codes.dtype.bitwidth - 1)
    return np.arange(-top, top) * float(np.median(steps))


def _values(model: ir.Model, wanted: Sequence[ir.Value], batch: Batch) -> dict[str | None, np.ndarray]:
    """Values inside a model, by name."""
    computed = [v for v in dict.fromkeys(wanted) if not v.is_graph_input()]
    run = session(model, computed, optimize=False)
    names = [v.name for v in computed]
    arrays = dict(zip(names, run.run(names, check_batch(model, batch, 1)), strict=True)) if computed else {}
    return arrays | {v.name: np.asarray(batch[v.name or ""]) for v in wanted if v.is_graph_input()}


def activation(node: ir.Node) -> tuple[ir.Value, np.ndarray | None, str]:
    """A layer's input before it is quantized, the numbers that its codes can stand for, and their type in words."""
    value = node.inputs[0]
    assert value is not None
    if is_op(value, "FakeQuantizeTokens", domain="qgraph"):
        return _read(value), None, "8 bits, a scale for each token"
    if not is_op(value, "DequantizeLinear"):
        return value, None, "float"
    codes, scale, zero = (*value.producer().inputs, None)[:3]  # type: ignore[union-attr]
    source = _read(codes) if is_op(codes, "QuantizeLinear") else value
    step, offset = constant(scale), constant(zero)
    kind = codes.dtype if codes is not None else None
    if kind is None or step is None or step.size != 1 or kind.bitwidth > 8:
        return source, None, f"{kind.name.lower() if kind is not None else ''} codes, too many to draw"
    low = 0 if not kind.is_signed() else -(1 << (kind.bitwidth - 1))
    numbers = np.arange(low, low + (1 << kind.bitwidth)) - (float(offset.reshape(())) if offset is not None else 0.0)
    return source, numbers * float(step.reshape(())), kind.name.lower()


def _read(value: ir.Value | None) -> ir.Value:
    """What the node behind a value reads first."""
    producer = value.producer() if value is not None else None
    assert producer is not None and producer.inputs[0] is not None
    return producer.inputs[0]


def training(folder: Path) -> str:
    """Tables and curves of a training folder."""
    from qgraph.train.report import content

    try:
        report: dict[str, Any] = json.loads((folder / "report.json").read_text())
        return content(report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QGraphError(f"{folder} holds no report.json of 'qgraph train' ({type(error).__name__})") from error
