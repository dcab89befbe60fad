"""How good a model is on held-out samples: as a torch graph, in ONNX Runtime, and as the program that ships."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from qgraph.data import LABEL
from qgraph.errors import QGraphError
from qgraph.execute import to_torch
from qgraph.ir.dialects import dialect_of
from qgraph.ir.patterns import nodes
from qgraph.ir.weights import read_weight
from qgraph.numerics.coding import huffman_bits
from qgraph.train.data import Samples, chunks
from qgraph.train.labels import IGNORED, classes_second
from qgraph.train.objective import Values, feed, inputs_of, output_of, pool, to_tensors

LABELLED = ("accuracy", "loss")
"""Metrics that need labels."""
Run = Callable[[Mapping[str, Tensor]], Values]
BATCH = 64


@dataclasses.dataclass
class Measured:
    """Scores by engine (``graph``, ``onnxruntime``, ``program``), facts (bytes, parameters), and why an engine has none."""

    scores: dict[str, float]
    facts: dict[str, float]
    note: str


@torch.no_grad()
def score(run: Run, reference: Run | None, samples: Samples, metric: str, device: torch.device) -> float:
    """The metric over all samples.

    ``accuracy``: part of the labels that the largest score names; ``cosine``: mean cosine of the outputs' rows to the
    reference's; ``sentence-cosine``: the same after pooling over the attention mask; ``loss``: minus the mean cross-entropy.
    Labels of -100 are left out.
    """
    total, count = 0.0, 0
    for numbers in chunks(samples, BATCH):
        batch = to_tensors(samples.batch(numbers), device)
        y = output_of(run(batch))
        if metric in LABELLED:
            if LABEL not in batch:
                raise QGraphError(f"metric {metric!r} needs labels; the data has no '{LABEL}'")
            labels = batch[LABEL].long()
            y, kept = classes_second(y, labels), labels != IGNORED
            scores = (
                (y.argmax(1) == labels).float()
                if metric == "accuracy"
                else -torch.nn.functional.cross_entropy(y, labels, reduction="none", ignore_index=IGNORED)
            )[kept]
        else:
            if reference is None:
                return float("nan")
            wanted = output_of(reference(batch))
            if metric == "sentence-cosine":
                y, wanted = pool(y, batch), pool(wanted, batch)
            scores = torch.nn.functional.cosine_similarity(y.reshape(len(y), -1), wanted.reshape(len(y), -1))
        total, count = total + float(scores.sum()), count + len(scores)
    return total / max(1, count)


def measure(model: ir.Model, reference: ir.Model | None, samples: Samples, metric: str, folder: Path) -> Measured:
    """Score ``model`` as a torch graph and, when it is quantized, in ONNX Runtime and as the program that it compiles to."""
    from qgraph.ir.io import size_of

    cpu = torch.device("cpu")
    module, names = to_torch(model), inputs_of(model)
    truth: Run | None = None
    if reference is not None and metric in ("cosine", "sentence-cosine"):
        teacher, theirs = to_torch(reference), inputs_of(reference)
        truth = lambda batch: feed(teacher, theirs, batch)  # noqa: E731
    scores = {"graph": score(lambda batch: feed(module, names, batch), truth, samples, metric, cpu)}
    facts = {"bytes": float(size_of(model)), "parameters": float(sum(p.numel() for p in module.parameters()))}
    if (coded := huffman_bytes(model)) is not None:
        facts["huffman_bytes"] = coded
    note = ""
    if dialect_of(model) == "quantized":
        notes = []
        for engine, make_run in (("onnxruntime", _onnxruntime), ("program", _program)):
            try:
                scores[engine] = score(make_run(model, folder), truth, samples, metric, cpu)
            except QGraphError as error:
                notes.append(str(error))
        note = "; ".join(notes)
    return Measured(scores, facts, note)


def huffman_bytes(model: ir.Model) -> float | None:
    """Bytes of the weight codes, Huffman-coded tensor by tensor (without the code tables); None where there are no codes."""
    weights = [
        unpacked for n in nodes(model, "DequantizeLinear") if (unpacked := read_weight(n)) is not None and unpacked.kind.bits <= 8
    ]
    codes = {weight.name: weight.codes for weight in weights}
    if not codes:
        return None
    return sum(huffman_bits(array) * array.size for array in codes.values()) / 8


def _onnxruntime(model: ir.Model, folder: Path) -> Run:
    from qgraph.deploy.onnxruntime import load

    _, session = load(model)
    inputs, outputs = ([v.name for v in side] for side in (session.session.get_inputs(), session.session.get_outputs()))

    def run(batch: Mapping[str, Tensor]) -> Values:
        arrays = session.run(None, {name: batch[name].numpy() for name in inputs})
        return {name: torch.from_numpy(array) for name, array in zip(outputs, arrays, strict=True)}

    return run


def _program(model: ir.Model, folder: Path) -> Run:
    from qgraph.deploy.program import compile
    from qgraph.deploy.session import Session

    compile(model, folder / "model.qgp")
    session = Session(folder / "model.qgp")

    def run(batch: Mapping[str, Tensor]) -> Values:
        arrays = {name: np.ascontiguousarray(batch[name].numpy()) for name in session.inputs}
        return {name: torch.from_numpy(array) for name, array in session.run(arrays).items()}

    return run
