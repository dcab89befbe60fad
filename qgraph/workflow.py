"""The whole way from a float model to a quantized one: passes, checks, and a report to act on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import onnx_ir as ir

from qgraph.analyze import cost
from qgraph.data import Batch, Batches
from qgraph.errors import QGraphError, suggest
from qgraph.ir.io import size_of
from qgraph.ir.snapshot import Snapshot
from qgraph.pipeline import PassContext, PassReport, Pipeline, all_or_nothing

_PREPARE = "canonicalize{parameters=merge},fold-batchnorm,fuse-bias"
PRESETS = {
    "int8": f"{_PREPARE},calibrate,smooth-quant,quantize,bias-correction",
    "int8-dynamic": f"{_PREPARE},quantize{{activations=tokens placement=linear}}",
    "w4a8": f"{_PREPARE},calibrate,smooth-quant,quantize{{weights=int4 weight-block=32}},bias-correction",
}
CHECKED = 2
"""Batches of the data that the fidelity check runs on."""


@dataclasses.dataclass
class TransformReport:
    """What ``transform`` did.

    Attributes:
        passes: a report a pass.
        bytes_before, bytes_after: size of all stored tensors.
        layers: bits and bytes of every weight.
        kept_float: node name -> why it was not quantized.
        worst: up to five values with the least SQNR (name, dB).
        output_sqnr: SQNR in dB of each output against the float model, and of groups of its parts where an output joins
            values of different ranges; empty without data.
        graph: snapshot of the model as it came; empty unless recorded.
    """

    pipeline: str
    passes: list[PassReport]
    bytes_before: int
    bytes_after: int
    layers: list[cost.Layer]
    kept_float: dict[str, str]
    worst: list[tuple[str, float]]
    output_sqnr: dict[str, float]
    graph: dict[str, Any]

    def json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def pipeline_of(passes: str | Pipeline | None, preset: str | None) -> Pipeline:
    if (passes is None) == (preset is None):
        raise QGraphError("give either passes or a preset")
    if preset is not None and preset not in PRESETS:
        raise QGraphError(f"no preset is called {preset!r}{suggest(preset, PRESETS)}; presets: {', '.join(PRESETS)}")
    if isinstance(passes, Pipeline):
        return passes
    return Pipeline(PRESETS[preset] if preset is not None else passes or "")


def transform(
    model: ir.Model,
    passes: str | Pipeline | None = None,
    *,
    preset: str | None = None,
    data: Any = None,
    min_sqnr: float = 10.0,
    force: bool = False,
    seed: int = 0,
    record: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> TransformReport:
    """Run ``passes`` (or the passes of ``preset``) on ``model`` in place; when it raises, ``model`` is unchanged.

    Args:
        data: batches for passes that need them and for the fidelity check, in any form that ``qgraph.data.Batches`` takes;
            iterated several times.
        min_sqnr: least SQNR in dB of every output against the float model, and of each group of its parts.
        force: accept a model below ``min_sqnr``.
        record: keep the graph before and after every pass in the report.

    Raises:
        QGraphError: a pass refuses, or an output fell below ``min_sqnr``.
    """
    pipeline = pipeline_of(passes, preset)
    if data is not None:
        data = Batches(data, [value.name or "" for value in model.graph.inputs])
    context = PassContext(data=data, seed=seed, record=record)
    if progress is not None:
        context.progress = progress
    with all_or_nothing(model) as result:  # ``model`` is the float model until the end
        report = _run(pipeline, context, model, result)
        bad = {name: db for name, db in report.output_sqnr.items() if db < min_sqnr}
        if bad and not force:
            raise _refusal(pipeline, report, bad, min_sqnr)
    return report


def _run(pipeline: Pipeline, context: PassContext, before: ir.Model, model: ir.Model) -> TransformReport:
    """Run ``pipeline`` on ``model`` and compare the result with ``before``, which is what it was."""
    start = Snapshot.of(model).json() if context.record else {}
    reports = pipeline.run(model, context)
    kept: dict[str, str] = {}
    for report in reports:
        kept.update(report.details.get("kept float", {}))
    worst, outputs = _fidelity(context, before, model, context.data) if context.data is not None else ([], {})
    sizes = size_of(before), size_of(model)
    return TransformReport(str(pipeline), reports, *sizes, cost.layers(model), kept, worst, outputs, start)


def _refusal(pipeline: Pipeline, report: TransformReport, bad: dict[str, float], wanted: float) -> QGraphError:
    """What to say of outputs that are too far from those of the float model."""
    listed = ", ".join(f"{name} {db:.1f} dB" for name, db in bad.items())
    layers = ", ".join(f"{name} ({db:.1f} dB)" for name, db in report.worst)
    pruned = any(item.name.startswith("prune-") for item in pipeline.passes)
    todo = (
        "prune less, or write it with --force and train it" if pruned else "exclude them (quantize{exclude=[...]}), use more data"
    )
    return QGraphError(
        f"the result lost too much: output {listed}, {wanted:g} dB are wanted; worst values: {layers}; {todo}"
        + ("" if pruned else ", or write it anyway with --force")
    )


def _fidelity(
    context: PassContext, before: ir.Model, after: ir.Model, data: Iterable[Batch]
) -> tuple[list[tuple[str, float]], dict[str, float]]:
    """Worst values and output SQNR on the first batches."""
    import itertools

    from qgraph.analyze.compare import compare

    context.progress("comparing with the float model", 0, 0)
    reference = context.state.reference or before
    inner = compare(reference, after, itertools.islice(iter(data), 1), same_shapes=False)
    outer = compare(before, after, itertools.islice(iter(data), CHECKED), layers=False, same_shapes=False)
    worst = [(d.name, d.sqnr) for d in inner.worst(5)]
    return worst, {d.name: d.sqnr for d in (*outer.outputs, *outer.groups)}
