"""Run a recipe: every stage in order, over one seed or several, and the report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch

from qgraph.data import LABEL
from qgraph.errors import QGraphError
from qgraph.train.build import build_graph, load_graph, named_inputs
from qgraph.train.context import StageResult, StepProgress, TrainingRun, finished, process
from qgraph.train.data import Dataset, make
from qgraph.train.labels import check_labels, check_sample_weights
from qgraph.train.losses import LOSSES
from qgraph.train.measure import LABELLED
from qgraph.train.objective import inputs_of
from qgraph.train.recipe import Recipe, Source, Stage
from qgraph.train.report import TrainingReport, write
from qgraph.train.stage import prepare, run_stage


def expanded(recipe: Recipe) -> list[Stage]:
    """The stages, with a control behind each that asks for one: the same student and budget, labels only, no teacher."""
    stages = []
    for stage in recipe.stages:
        stages.append(stage)
        if stage.control:
            losses = [s for s in stage.losses if s.kind == "cross-entropy"]
            if not losses:
                raise QGraphError(f"stage {stage.name!r} wants a control, which learns from labels: add the loss cross-entropy")
            plain = [s.model_copy(update={"weight": 1.0}) for s in losses]
            changes = {"name": f"{stage.name}-control", "teachers": [], "losses": plain, "control": False}
            stages.append(stage.model_copy(update=changes))
    return stages


def train(
    recipe: Recipe,
    out: Path,
    *,
    seeds: int = 1,
    progress: StepProgress = lambda name, step, steps, losses: None,
    device: str = "",
) -> TrainingReport | None:
    """Run ``recipe`` and write its models and reports under ``out``.

    A run that was stopped goes on where its last checkpoint is. Under ``torchrun`` every process takes its part of each batch,
    and all but the first return None.

    Raises:
        QGraphError: something in the recipe does not fit the graphs or the data, or a loss is not finite.
    """
    rank, world = process()
    if world > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() and device != "cpu" else "gloo")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if place.type == "cuda" and world > 1:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    stages = expanded(recipe)
    check_files(recipe)
    data: Dataset = make(recipe.data.source, recipe.data.args, partial(named_inputs, recipe))
    runs: list[list[StageResult]] = []
    for number in range(seeds):
        seed = recipe.seed + number
        folder = out if seeds == 1 else out / f"seed-{seed}"
        run = TrainingRun(recipe, data, folder, seed, place, progress, rank, world)
        if number == 0:
            dry_run(stages, run)
        runs.append([_result(stage, run) for stage in stages])
    if world > 1:
        torch.distributed.destroy_process_group()
    if rank != 0:  # the first process measures
        return None
    report = TrainingReport(recipe, runs, recipe.seed)
    write(report, out)
    return report


def _result(stage: Stage, run: TrainingRun) -> StageResult:
    if (done := finished(run, stage)) is not None:
        return done
    result = run_stage(stage, run)
    if run.world > 1:
        torch.distributed.barrier()  # the next stage reads the file
    return result


def check_files(recipe: Recipe) -> None:
    """Refuse missing files before any stage runs."""
    for stage in recipe.stages:
        for source in (stage.student, *stage.teachers):
            if source.file is not None and not Path(source.file).is_file():
                raise QGraphError(f"stage {stage.name!r}: there is no file {source.file}; give the path of an ONNX model")


def dry_run(stages: Sequence[Stage], run: TrainingRun) -> None:
    """Build every stage whose graphs exist already, and try its losses on one batch, so that a mistake in a late stage shows now.

    What reads an earlier stage is tried with that stage's student before training.
    """
    sources = {s.name: s.student for s in stages}

    def root(source: Source) -> Source:
        while source.stage is not None and not run.model_file(source.stage).is_file():
            source = sources[source.stage]
        return source

    names = run.data.train.batch(np.arange(1))
    read: set[str] = set()
    for stage in stages:
        if not stage.steps or finished(run, stage) is not None:
            graph = load_graph(root(stage.student), run)
            check_data(graph, stage, run)
            read |= set(inputs_of(graph))
            continue
        teachers = []
        for teacher in stage.teachers:
            if teacher.stage is not None:
                origin = root(Source(stage=teacher.stage))
                teacher = teacher.model_copy(
                    update={"stage": origin.stage, "file": origin.file, "capture": origin.capture, "args": origin.args}
                )
            teachers.append(teacher)
        tried = stage.model_copy(update={"student": root(stage.student), "teachers": teachers, "cache": None})
        graph = build_graph(tried, run)
        check_data(graph, stage, run)
        modules = prepare(tried, run, graph).modules
        read |= {*modules.inputs, *(name for teacher in modules.teachers for name in teacher.inputs)}
    check_sample_weights(names, read)


def check_data(graph: ir.Model, stage: Stage, run: TrainingRun) -> None:
    """Refuse labels that do not fit the scores of a stage's student, where the stage or the metric reads labels."""
    metric = run.recipe.metric
    if metric not in LABELLED and not any(LOSSES[spec.kind].labels for spec in stage.losses if spec.kind in LOSSES):
        return
    if metric in LABELLED and LABEL not in run.data.test.batch(np.arange(1)):
        raise QGraphError(f"metric {metric!r} needs labels; the test data has no '{LABEL}'")
    for part, samples in (("training", run.data.train), ("test", run.data.test)):
        check_labels(samples, graph, f"stage {stage.name!r}: '{LABEL}' of the {part} data")
