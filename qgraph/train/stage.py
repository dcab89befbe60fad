"""One stage of a recipe: make the student, teach it, write it."""

from __future__ import annotations

import dataclasses
import json
import time

import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.execute import from_torch
from qgraph.ir import io
from qgraph.ir.dialects import DOMAIN
from qgraph.ir.patterns import constant, nodes
from qgraph.pipeline import Pipeline
from qgraph.train.build import StageModules, build_graph, build_modules, load_graph
from qgraph.train.context import Curves, StageResult, TrainingRun
from qgraph.train.hooks import AverageStudent, Checkpoints, Evaluation, Freeze, LossCurves, MaskSchedule, MutualTeacher
from qgraph.train.loop import Hook, Loop
from qgraph.train.measure import Measured, measure
from qgraph.train.pruning import FullNet, Masks
from qgraph.train.recipe import Stage


@dataclasses.dataclass
class Training:
    """The training of a stage, ready to run.

    Attributes:
        masks: the masks of the student's weights.
        full: the full net that teaches beside the student, where the stage has ``pqk``.
    """

    modules: StageModules
    masks: Masks
    full: FullNet | None
    loop: Loop


def prepare(stage: Stage, run: TrainingRun, graph: ir.Model) -> Training:
    """Build the training of a stage whose student is ``graph``; nothing is trained yet.

    Raises:
        QGraphError: something in the stage does not fit its graphs or the data.
    """
    modules = build_modules(stage, run, graph)
    masks = Masks(modules.student, stage.pruning, stage.name)
    full = FullNet(modules.student, masks, stage.pqk, modules.inputs, stage.name) if stage.pqk is not None else None
    if full is not None and run.world > 1:
        raise QGraphError(f"stage {stage.name!r}: 'pqk' trains in one process; run it without torchrun")
    mutual = MutualTeacher(full) if full is not None else None
    hooks: list[Hook] = [Freeze(), MaskSchedule(masks, mutual)]
    hooks += [mutual] if mutual is not None else []
    hooks += [AverageStudent(modules.average)] if modules.average is not None else []
    hooks += [LossCurves(), Evaluation(modules.objective, run.recipe.evaluate_every, stage.patience)]
    hooks += [Checkpoints(run.recipe.checkpoint_every)]
    return Training(modules, masks, full, Loop(modules, hooks))


def run_stage(stage: Stage, run: TrainingRun) -> StageResult:
    """Train a stage (or only transform its student), measure it, and write ``model.onnx`` and ``result.json``."""
    graph = build_graph(stage, run)
    training = prepare(stage, run, graph) if stage.steps else None
    start = time.perf_counter()
    losses = train_graph(training, graph) if training is not None else {}
    finish_graph(graph)
    measured = Measured({}, {}, "")
    if run.rank == 0:
        measured = measure_and_write(stage, run, graph)
        measured.facts |= losses
    curves: Curves = training.loop.curves if training is not None else {}
    seconds = time.perf_counter() - start
    file = str(run.model_file(stage.name))
    result = StageResult(stage.name, file, stage.steps, seconds, curves, measured, run.identity(stage))
    if run.rank == 0:
        with io.atomic_path(run.folder(stage.name) / "result.json") as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(result), indent=1))
        run.checkpoint(stage.name).unlink(missing_ok=True)
    return result


def train_graph(training: Training, graph: ir.Model) -> dict[str, float]:
    """Train, and write the trained values into ``graph``; returns losses before and after, and the score of a full net."""
    modules = training.modules
    losses = {"loss_before": modules.mean_loss()}
    training.loop.run()
    losses["loss_after"] = modules.mean_loss()
    from_torch(modules.student, graph)
    if training.full is not None:
        losses["full_net"] = modules.score(training.full.copy())
    return losses


def finish_graph(graph: ir.Model) -> None:
    """Make trained weights codes where they have quantizers, and fold masks, in place."""
    quantizers = [*nodes(graph, "QuantizeLinear"), *nodes(graph, "FakeQuantizeCodebook", domain=DOMAIN)]
    if any(constant(node.inputs[0]) is not None for node in quantizers):
        Pipeline("bake").run(graph)
    if nodes(graph, "Mask", domain=DOMAIN):
        Pipeline("finalize-pruning").run(graph)


def measure_and_write(stage: Stage, run: TrainingRun, graph: ir.Model) -> Measured:
    """Measure the finished graph of a stage and write it."""
    folder = run.folder(stage.name)
    folder.mkdir(parents=True, exist_ok=True)
    has_reference = bool(stage.teachers) and stage.teachers[0].ema is None
    reference = load_graph(stage.teachers[0], run) if has_reference else None
    measured = measure(graph, reference, run.data.test, run.recipe.metric, folder)
    io.save(graph, run.model_file(stage.name))
    return measured
