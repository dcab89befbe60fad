"""What a stage trains: its graph after the passes, and student, teachers and losses as modules."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, fx, nn

from qgraph.capture import from_factory, read
from qgraph.errors import QGraphError
from qgraph.execute import to_torch
from qgraph.execute.tensors import array_of
from qgraph.ir import io
from qgraph.ir.layers import layers, pairs
from qgraph.ir.parameters import is_parameter
from qgraph.pipeline import PassContext, Pipeline
from qgraph.train.context import TrainingRun
from qgraph.train.data import numbers_of
from qgraph.train.measure import score
from qgraph.train.objective import MovingAverage, Objective, Values, feed, inputs_of, to_tensors
from qgraph.train.recipe import Origin, Recipe, Stage
from qgraph.train.teacher_cache import TeacherCache

CANONICAL = "canonicalize{parameters=keep}"
"""Passes that bring a graph into the form that training starts from."""
FOLDED = "fold-constants"
"""Passes in front of those of a stage, which work on stored weights: what is computed from parameters (weight norm) is stored."""
LOSS_BATCHES = 12
"""Batches over which the loss is taken before and after training."""


def load_graph(source: Origin, run: TrainingRun) -> ir.Model:
    """The graph that a recipe names, in canonical form."""
    if source.stage is not None:
        return io.load(run.model_file(source.stage))
    if source.file is not None:
        if not Path(source.file).is_file():
            raise QGraphError(f"there is no file {source.file}; give the path of an ONNX model")
        model = read(source.file)
    else:
        key = json.dumps([source.capture, source.args])  # capturing takes seconds, and stages share students
        if key not in run.captured:
            torch.manual_seed(run.seed)
            run.captured[key] = from_factory(source.capture or "", **source.args)
        model = run.captured[key].clone()
    Pipeline(CANONICAL).run(model)
    return model


def named_inputs(recipe: Recipe) -> list[str]:
    """The names of the inputs of the graph that a recipe starts from, in order: what batches without names hold."""
    source = recipe.stages[0].student
    model = read(source.file) if source.file is not None else from_factory(source.capture or "", **source.args)
    return inputs_of(model)


def check_inputs(model: ir.Model, run: TrainingRun, who: str) -> list[str]:
    """Names of the inputs of ``model``, all of which the data has."""
    names = inputs_of(model)
    batch = run.data.train.batch(np.arange(1))
    missing = [n for n in names if n not in batch]
    if missing:
        raise QGraphError(
            f"{who} reads {', '.join(map(repr, missing))} and the data has {', '.join(sorted(batch))}; rename the data's keys"
        )
    for value in model.graph.inputs:
        if value.name in names and value.shape is not None and len(value.shape) != batch[value.name].ndim:
            raise QGraphError(
                f"{who} takes {len(value.shape)} dims {value.shape} in {value.name!r} and the data gives "
                f"{batch[value.name].ndim} {list(batch[value.name].shape)}; give data of that form"
            )
    return names


@dataclasses.dataclass
class Teacher:
    """A fixed teacher: its module, the inputs that it reads, and its outputs on disk where the stage caches them."""

    module: fx.GraphModule
    inputs: list[str]
    cache: TeacherCache | None

    def __call__(self, batch: dict[str, Tensor]) -> Values:
        run = partial(feed, self.module, self.inputs, batch)
        return run() if self.cache is None else self.cache(run, {name: batch[name] for name in self.inputs})


@dataclasses.dataclass
class StageModules:
    """Student, teachers and losses of a stage as modules.

    Attributes:
        inputs: names of the student's inputs.
        average: the teacher that is a moving average of the student, where the stage has one.
    """

    stage: Stage
    run: TrainingRun
    inputs: list[str]
    student: fx.GraphModule
    teachers: list[Teacher]
    average: MovingAverage | None
    objective: Objective

    @property
    def checkpoint(self) -> Path:
        return self.run.checkpoint(self.stage.name)

    @property
    def identity(self) -> str:
        return self.run.identity(self.stage)

    def batch(self, number: int) -> dict[str, Tensor]:
        """Batch ``number`` of the run, this process's part of it."""
        run = self.run
        size, train = run.recipe.data.batch, run.data.train
        numbers = numbers_of(number, min(size, len(train)), len(train), run.seed)
        mine = numbers[run.rank * len(numbers) // run.world : (run.rank + 1) * len(numbers) // run.world]
        return to_tensors(train.batch(mine), run.device)

    @torch.no_grad()
    def teach(self, batch: dict[str, Tensor]) -> list[Values]:
        """The outputs of every teacher, in the order of the recipe's graphs, the moving average last."""
        outputs = [teacher(batch) for teacher in self.teachers]
        if self.average is not None:
            outputs.append(feed(self.average.module, self.inputs, batch))
        return outputs

    @torch.no_grad()
    def mean_loss(self) -> float:
        """The sum of the losses over a few training batches, in evaluation mode."""
        self.student.eval()
        losses = []
        for number in range(LOSS_BATCHES):
            batch = self.batch(number)
            losses.append(float(self.objective(batch, self.teach(batch))[0]))
        return sum(losses) / len(losses)

    def score(self, module: fx.GraphModule) -> float:
        """The recipe's metric of a module on the test samples."""
        teacher = self.teachers[0] if self.teachers else None
        return score(
            lambda batch: feed(module, self.inputs, batch),
            (lambda batch: feed(teacher.module, teacher.inputs, batch)) if teacher else None,
            self.run.data.test,
            self.run.recipe.metric,
            self.run.device,
        )


def build_graph(stage: Stage, run: TrainingRun) -> ir.Model:
    """The graph of a stage's student after the stage's passes."""
    graph = load_graph(stage.student, run)
    inputs = check_inputs(graph, run, f"stage {stage.name!r}")
    if stage.passes:
        if any(is_computed(node) for node in graph.graph):
            Pipeline(FOLDED).run(graph)
        context = PassContext(data=list(run.calibration(inputs)), seed=run.seed)
        if stage.gradients:
            context.state.gradients = mean_gradients(stage, run, graph)
        Pipeline(stage.passes).run(graph, context)
    return graph


def is_computed(node: ir.Node) -> bool:
    """Whether an ONNX op other than a quantizer computes something from parameters and constants alone."""
    known = [v.const_value is not None for v in node.inputs if v is not None]
    quantizer = node.domain or node.op_type in ("QuantizeLinear", "DequantizeLinear")
    return not quantizer and all(known) and any(is_parameter(v) for v in node.inputs)


def mean_gradients(stage: Stage, run: TrainingRun, graph: ir.Model) -> dict[str, np.ndarray]:
    """Mean gradients of the losses at the student as it comes, by name of initializer."""
    if not stage.losses:
        raise QGraphError(f"stage {stage.name!r} wants gradients and has no losses to take them of")
    modules = build_modules(stage, run, graph)
    for number in range(stage.gradients):
        batch = modules.batch(number)
        total, _ = modules.objective(batch, modules.teach(batch))
        (total / stage.gradients).backward()
    parameters = dict(modules.student.named_parameters())
    names = modules.student.meta["names"].items()
    return {name: array_of(p.grad) for name, path in names if (p := parameters.get(path)) is not None and p.grad is not None}


def build_modules(stage: Stage, run: TrainingRun, graph: ir.Model) -> StageModules:
    """The modules of a stage whose student is ``graph``, tried on one batch.

    Raises:
        QGraphError: graphs, losses and data do not fit one another.
    """
    inputs = inputs_of(graph)
    graphs = [load_graph(teacher, run) for teacher in stage.teachers if teacher.ema is None]
    kinds = sorted(Objective(stage, fx.GraphModule(nn.Module(), fx.Graph()), inputs, len(stage.teachers)).kinds())
    tapped = graph.clone()
    if kinds:
        attach_taps(stage, tapped, graphs, kinds)
    quantizers = stage.quantizers
    student = to_torch(
        tapped, weights=quantizers.weights, activations=quantizers.activations, stochastic=quantizers.stochastic
    ).to(run.device)
    teachers = []
    for teacher in graphs:
        module = to_torch(teacher).to(run.device).requires_grad_(False)
        cache = TeacherCache(Path(stage.cache), teacher) if stage.cache else None
        teachers.append(Teacher(module, check_inputs(teacher, run, f"a teacher of stage {stage.name!r}"), cache))
    decays = [teacher.ema for teacher in stage.teachers if teacher.ema is not None]
    average = MovingAverage(student, decays[-1]) if decays else None
    objective = Objective(stage, student, inputs, len(stage.teachers)).to(run.device)
    modules = StageModules(stage, run, inputs, student, teachers, average, objective)
    batch = modules.batch(0)
    objective.try_out(batch, modules.teach(batch), stage.name)
    objective.to(run.device)
    return modules


def attach_taps(stage: Stage, student: ir.Model, teachers: list[ir.Model], kinds: list[str]) -> None:
    """Make the values that the losses compare outputs of student and teachers, in place."""
    taps, names = stage.taps, ",".join(kinds)
    if taps.student:
        for model, at in [(student, taps.student), *((teacher, taps.teacher) for teacher in teachers)]:
            Pipeline([{"attach-taps": {"at": list(at)}}]).run(model)
        return
    mine = len(layers(student))
    for i, teacher in enumerate(teachers):
        chosen = pairs(mine, len(layers(teacher)), taps.map)
        Pipeline([{"attach-taps": {"kinds": kinds, "layers": [t for _, t in chosen]}}]).run(teacher)
        if i == 0:
            Pipeline([{"attach-taps": {"kinds": kinds, "layers": [s for s, _ in chosen]}}]).run(student)
    if not teachers:
        raise QGraphError(f"stage {stage.name!r}: losses on taps ({names}) need a teacher graph")
