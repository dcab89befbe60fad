"""One stage of a recipe: make the student, teach it, write it."""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, fx, nn

from qgraph.capture import from_factory
from qgraph.errors import QGraphError
from qgraph.execute import from_torch, to_torch
from qgraph.execute.quantizers import FakeQuantize
from qgraph.execute.tensors import array_of
from qgraph.ir import io
from qgraph.ir.dialects import DOMAIN
from qgraph.ir.layers import layers, pairs
from qgraph.ir.patterns import constant, nodes
from qgraph.pipeline import PassContext, Pipeline
from qgraph.train import checkpoint
from qgraph.train.data import Dataset, chunks, numbers_of
from qgraph.train.measure import Measured, measure
from qgraph.train.objective import MovingAverage, Objective, Values, feed, inputs_of, output_of, to_tensors
from qgraph.train.pruning import FullNet, Masks
from qgraph.train.recipe import Origin, Recipe, Stage
from qgraph.train.schedules import factor
from qgraph.train.teacher_cache import TeacherCache

Progress = Callable[[str, int, int, dict[str, float]], None]
CLEAN = "canonicalize"
TRIED = 12
"""Batches over which the loss is taken before and after training."""


@dataclasses.dataclass
class Result:
    """What a stage made: its file, curves (step -> value) and measurements."""

    name: str
    file: str
    steps: int
    seconds: float
    curves: dict[str, list[tuple[int, float]]]
    measured: Measured
    identity: str


@dataclasses.dataclass
class Session:
    """What the stages of a run share."""

    recipe: Recipe
    data: Dataset
    out: Path
    seed: int
    device: torch.device
    progress: Progress
    rank: int = 0
    world: int = 1
    captured: dict[str, ir.Model] = dataclasses.field(default_factory=dict)

    def model_file(self, stage: str) -> Path:
        return self.out / stage / "model.onnx"

    def calibration(self, inputs: list[str]) -> Iterator[dict[str, np.ndarray]]:
        """The first batches of the training samples, inputs only."""
        size, train = self.recipe.data.batch, self.data.train
        for numbers in chunks(train, size)[: self.recipe.data.calibration]:
            batch = train.batch(numbers)
            yield {name: batch[name] for name in inputs}


def load_graph(source: Origin, session: Session) -> ir.Model:
    """The graph that a recipe names, in canonical form."""
    if source.stage is not None:
        return io.load(session.model_file(source.stage))
    if source.file is not None:
        if not Path(source.file).is_file():
            raise QGraphError(f"there is no file {source.file}; give the path of an ONNX model")
        model = io.load(source.file)
    else:
        key = json.dumps([source.capture, source.args])  # capturing takes seconds, and stages share students
        if key not in session.captured:
            torch.manual_seed(session.seed)
            session.captured[key] = from_factory(source.capture or "", **source.args)
        model = session.captured[key].clone()
    Pipeline(CLEAN).run(model)
    return model


def check_inputs(model: ir.Model, session: Session, who: str) -> list[str]:
    """Names of the inputs of ``model``, all of which the data has."""
    names = inputs_of(model)
    batch = session.data.train.batch(np.arange(1))
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


class Trainer:
    """Runs one stage."""

    def __init__(self, stage: Stage, session: Session) -> None:
        self.stage, self.session = stage, session
        self.folder = session.out / stage.name
        self.graph = load_graph(stage.student, session)
        self.inputs = check_inputs(self.graph, session, f"stage {stage.name!r}")
        self.teachers: list[tuple[fx.GraphModule, list[str]]] = []
        self.caches: list[TeacherCache | None] = []
        self.average: MovingAverage | None = None
        if stage.passes:
            context = PassContext(data=list(session.calibration(self.inputs)), seed=session.seed)
            if stage.gradients:
                context.state.gradients = self._gradients()
            Pipeline(stage.passes).run(self.graph, context)
        self.plain = self.graph
        if stage.steps:
            self._prepare()

    def _gradients(self) -> dict[str, np.ndarray]:
        """Mean gradients of the losses at the student as it comes, by name of initializer."""
        if not self.stage.losses:
            raise QGraphError(f"stage {self.stage.name!r} wants gradients and has no losses to take them of")
        self._build()
        count = self.stage.gradients
        for number in range(count):
            batch = self._batch(number)
            total, _ = self.objective(batch, self._teach(batch))
            (total / count).backward()
        state = dict(self.student.named_parameters())
        names = self.student.meta["names"].items()
        return {name: array_of(p.grad) for name, path in names if (p := state.get(path)) is not None and p.grad is not None}

    def _build(self) -> None:
        """The student as a module, the teachers, and the objective, tried on one batch."""
        stage, session = self.stage, self.session
        self.teachers, self.caches, self.average = [], [], None
        sources = [t for t in stage.teachers if t.ema is None]
        graphs = [load_graph(t, session) for t in sources]
        probe = Objective(stage, fx.GraphModule(nn.Module(), fx.Graph()), self.inputs, len(stage.teachers))
        kinds = sorted(probe.kinds())
        student = self.graph.clone()
        if kinds:
            self._tap(student, graphs, kinds)
        quantizers = stage.quantizers
        self.student = to_torch(
            student, weights=quantizers.weights, activations=quantizers.activations, stochastic=quantizers.stochastic
        ).to(session.device)
        for graph in graphs:
            module = to_torch(graph).to(session.device).requires_grad_(False)
            self.caches.append(TeacherCache(Path(stage.cache), graph) if stage.cache else None)
            self.teachers.append((module, check_inputs(graph, session, f"a teacher of stage {stage.name!r}")))
        for teacher in stage.teachers:
            if teacher.ema is not None:
                self.average = MovingAverage(self.student, teacher.ema)
        self.objective = Objective(stage, self.student, self.inputs, len(stage.teachers)).to(session.device)
        batch = self._batch(0)
        self.objective.try_out(batch, self._teach(batch), stage.name)
        self.objective.to(session.device)

    def _prepare(self) -> None:
        self._build()
        self.masks = Masks(self.student, self.stage.pruning, self.stage.name)
        pqk = self.stage.pqk
        self.full = FullNet(self.student, self.masks, pqk, self.inputs, self.stage.name) if pqk is not None else None
        if self.full is not None and self.session.world > 1:
            raise QGraphError(f"stage {self.stage.name!r}: 'pqk' trains in one process; run it without torchrun")
        self.trained = self._choose()
        self.optimizer = self._optimizer()
        self.curves: dict[str, list[tuple[int, float]]] = {}
        # with patience, what is kept is the state of the best evaluation
        self.best: Objective | None = copy.deepcopy(self.objective) if self.stage.patience is not None else None

    def _tap(self, student: ir.Model, teachers: list[ir.Model], kinds: list[str]) -> None:
        taps, names = self.stage.taps, ",".join(kinds)
        if taps.student:
            for model, at in [(student, taps.student), *((t, taps.teacher) for t in teachers)]:
                Pipeline([{"attach-taps": {"at": list(at)}}]).run(model)
            return
        mine = len(layers(student))
        for i, teacher in enumerate(teachers):
            chosen = pairs(mine, len(layers(teacher)), taps.map)
            Pipeline([{"attach-taps": {"kinds": kinds, "layers": [t for _, t in chosen]}}]).run(teacher)
            if i == 0:
                Pipeline([{"attach-taps": {"kinds": kinds, "layers": [s for s, _ in chosen]}}]).run(student)
        if not teachers:
            raise QGraphError(f"stage {self.stage.name!r}: losses on taps ({names}) need a teacher graph")

    def _choose(self) -> list[nn.Parameter]:
        globs, found = self.stage.optimizer.trainable, []
        for name, parameter in self.student.named_parameters():
            parameter.requires_grad_(any(fnmatch.fnmatchcase(name, g) for g in globs))
        found = [p for p in self.objective.parameters() if p.requires_grad]
        if not found:
            raise QGraphError(f"stage {self.stage.name!r}: no parameter matches trainable: {globs}")
        return found

    def _optimizer(self) -> torch.optim.Optimizer:
        spec = self.stage.optimizer
        ranges = {id(p) for m in self.student.modules() if isinstance(m, FakeQuantize) for p in m.parameters()}
        decayed = [p for p in self.trained if p.ndim > 1 and id(p) not in ranges]
        rest = [p for p in self.trained if not (p.ndim > 1 and id(p) not in ranges)]
        groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        groups = [g for g in groups if g["params"]]
        if spec.kind == "sgd":
            return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)
        return torch.optim.AdamW(groups, lr=spec.lr)

    def _batch(self, number: int) -> dict[str, Tensor]:
        """Batch ``number`` of the run, this process's part of it."""
        session = self.session
        size, train = session.recipe.data.batch, session.data.train
        numbers = numbers_of(number, min(size, len(train)), len(train), session.seed)
        mine = numbers[session.rank * len(numbers) // session.world : (session.rank + 1) * len(numbers) // session.world]
        return to_tensors(train.batch(mine), session.device)

    @torch.no_grad()
    def _teach(self, batch: dict[str, Tensor]) -> list[Values]:
        found = [
            cache(partial(feed, module, inputs, batch), {n: batch[n] for n in inputs}) if cache else feed(module, inputs, batch)
            for (module, inputs), cache in zip(self.teachers, self.caches, strict=True)
        ]
        if self.average is not None:
            found.append(feed(self.average.module, self.inputs, batch))
        return found

    def run(self) -> Result:
        """Train (or only transform), measure, write ``model.onnx``."""
        start, losses = time.perf_counter(), {}
        if self.stage.steps:
            losses["loss_before"] = self._loss()
            self._train()
            losses["loss_after"] = self._loss()
            from_torch(self.student, self.plain)
            if self.full is not None:
                losses["full_net"] = self._score(self.full.copy())
        if any(
            constant(n.inputs[0]) is not None
            for n in [*nodes(self.plain, "QuantizeLinear"), *nodes(self.plain, "FakeQuantizeCodebook", domain=DOMAIN)]
        ):
            Pipeline("bake").run(self.plain)
        if nodes(self.plain, "Mask", domain=DOMAIN):
            Pipeline("finalize-pruning").run(self.plain)
        measured = Measured({}, {}, "")
        if self.session.rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            reference = load_graph(self.stage.teachers[0], self.session) if self._has_reference() else None
            measured = measure(self.plain, reference, self.session.data.test, self.session.recipe.metric, self.folder)
            measured.facts |= losses
            io.save(self.plain, self.folder / "model.onnx")
        curves = getattr(self, "curves", {})
        seconds, who = time.perf_counter() - start, identity(self.stage, self.session)
        file = str(self.folder / "model.onnx")
        result = Result(self.stage.name, file, self.stage.steps, seconds, curves, measured, who)
        if self.session.rank == 0:
            with io.atomic_path(self.folder / "result.json") as temporary:
                temporary.write_text(json.dumps(dataclasses.asdict(result), indent=1))
            (self.folder / "checkpoint.safetensors").unlink(missing_ok=True)
        return result

    @torch.no_grad()
    def _loss(self) -> float:
        """The sum of the losses over a few training batches, in evaluation mode."""
        self.student.eval()
        found = []
        for number in range(TRIED):
            batch = self._batch(number)
            found.append(float(self.objective(batch, self._teach(batch))[0]))
        return sum(found) / len(found)

    def _has_reference(self) -> bool:
        return bool(self.stage.teachers) and self.stage.teachers[0].ema is None

    def _parts(self) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {"objective": self.objective}
        if self.average is not None:
            found["average"] = self.average.module
        if self.best is not None:
            found["best"] = self.best
        if self.full is not None:
            found["full"] = self.full.statistics
        return found

    def _train(self) -> None:
        stage, session, spec = self.stage, self.session, self.stage.optimizer
        file, first = self.folder / "checkpoint.safetensors", 0
        highest, stale = float("-inf"), 0
        if file.is_file():
            facts = checkpoint.load(file, self._parts(), self.optimizer)
            if facts["recipe"] != identity(stage, session):
                raise QGraphError(f"checkpoint {file} is of another recipe or seed; give another --out or delete it")
            first, self.curves = facts["step"], {k: [(s, v) for s, v in c] for k, c in facts["curves"].items()}
            highest, stale = facts["highest"], facts["stale"]
        whole: nn.Module = self.objective
        if session.world > 1:
            whole = nn.parallel.DistributedDataParallel(self.objective, find_unused_parameters=True)
        self.student.train()
        for step in range(first, stage.steps):
            self._freeze(step)
            sparsity = self.masks.update(step, stage.steps)
            if sparsity is not None:
                self.curves.setdefault("sparsity", []).append((step, sparsity))
            checkpoint.seed_step(session.seed, step, session.rank)
            for group in self.optimizer.param_groups:
                group["lr"] = spec.lr * factor(spec.schedule, step, stage.steps, spec.warmup)
            self.optimizer.zero_grad(set_to_none=True)
            losses: dict[str, float] = {}
            for part in range(spec.accumulate):
                batch = self._batch(step * spec.accumulate + part)
                total, parts = self._losses(whole, batch, step)
                self._check(total, parts, step)
                for name, tensor in parts.items():
                    losses[name] = losses.get(name, 0.0) + float(tensor) / spec.accumulate
                losses["total"] = losses.get("total", 0.0) + float(total.detach()) / spec.accumulate
            if spec.clip is not None:
                nn.utils.clip_grad_norm_(self.trained, spec.clip)
            with self.masks.holding(free=self._phase(step) != "alone"):
                self.optimizer.step()
            if self.average is not None:
                self.average.update(self.student)
            every = max(1, stage.steps // 200)
            if step % every == 0 or step + 1 == stage.steps:
                for name, value in losses.items():
                    self.curves.setdefault(name, []).append((step, value))
            session.progress(stage.name, step + 1, stage.steps, losses)
            if session.recipe.evaluate_every and (step + 1) % session.recipe.evaluate_every == 0:
                reached = self._evaluate(step + 1)
                highest, stale = (reached, 0) if reached > highest else (highest, stale + 1)
                if self.best is not None and stale == 0:
                    self.best.load_state_dict(self.objective.state_dict())
                if stage.patience is not None and stale >= stage.patience:
                    break
            if (step + 1) % session.recipe.checkpoint_every == 0 and session.rank == 0:
                self.folder.mkdir(parents=True, exist_ok=True)
                facts = {
                    "step": step + 1,
                    "curves": self.curves,
                    "recipe": identity(stage, session),
                    "highest": highest,
                    "stale": stale,
                }
                checkpoint.save(file, self._parts(), self.optimizer, facts)
        if self.best is not None and highest > float("-inf"):
            self.objective.load_state_dict(self.best.state_dict())
        self.student.eval()

    def _phase(self, step: int) -> str:
        return "alone" if self.full is None else self.full.phase(step, self.stage.steps)

    def _losses(self, whole: nn.Module, batch: dict[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward and backward of one batch."""
        phase, part = self._phase(step), 1 / self.stage.optimizer.accumulate
        if self.full is None or phase == "alone":
            total, parts = whole(batch, self._teach(batch))
            (total * part).backward()
            return total.detach(), parts
        full = self.full.run(batch)
        total, parts = whole(batch, self._teach(batch))
        if phase == "mutual":
            parts["full net"] = self.full.loss(self.objective.last, output_of(full).detach())
            total = total + self.full.spec.weight * parts["full net"]
        (total * part).backward()
        self.full.learn(full, self.objective.last, batch, phase == "mutual")
        return total.detach(), {name: value.detach() for name, value in parts.items()}

    def _freeze(self, step: int) -> None:
        stage = self.stage
        frozen = step >= stage.quantizers.freeze_after * stage.steps
        for module in self.student.modules():
            if isinstance(module, FakeQuantize):
                module.frozen = frozen
        self.student.training = step < stage.freeze_batchnorm_after * stage.steps

    def _check(self, total: Tensor, parts: dict[str, Tensor], step: int) -> None:
        if torch.isfinite(total):
            return
        bad = [n for n, v in parts.items() if not torch.isfinite(v)] or ["total"]
        names = [n for n, p in self.student.named_parameters() if not torch.isfinite(p).all()]
        where = f"; the first parameter that is not finite is {names[0]!r}" if names else ""
        raise QGraphError(
            f"stage {self.stage.name!r}: loss {bad[0]!r} is not finite at step {step}{where}; "
            "lower optimizer.lr or set optimizer.clip"
        )

    def _evaluate(self, step: int) -> float:
        self.student.eval()
        found = self._score(self.student)
        self.student.train()
        self.curves.setdefault(self.session.recipe.metric, []).append((step, found))
        return found

    def _score(self, module: fx.GraphModule) -> float:
        """The recipe's metric of a module on the test samples."""
        from qgraph.train.measure import score

        teacher = self.teachers[0] if self.teachers else None
        return score(
            lambda batch: feed(module, self.inputs, batch),
            (lambda batch: feed(teacher[0], teacher[1], batch)) if teacher else None,
            self.session.data.test,
            self.session.recipe.metric,
            self.session.device,
        )


def identity(stage: Stage, session: Session) -> str:
    """What a stage's result depends on: its part of the recipe, the data, the seed."""
    stage_part, data_part = (part.model_dump(mode="json", exclude_defaults=True) for part in (stage, session.recipe.data))
    return json.dumps([stage_part, data_part, session.seed])


def finished(session: Session, stage: Stage) -> Result | None:
    """The result of a stage that an earlier run ended; refuses one of another recipe."""
    file = session.out / stage.name / "result.json"
    if not file.is_file() or not session.model_file(stage.name).is_file():
        return None
    data: dict[str, Any] = json.loads(file.read_text())
    if data.get("identity") != identity(stage, session):
        raise QGraphError(
            f"{file} is of another recipe, data or seed; give another --out, or delete {file.parent} to run it again"
        )
    data["measured"] = Measured(**data["measured"])
    data["curves"] = {k: [(s, v) for s, v in c] for k, c in data["curves"].items()}
    return Result(**data)


def process() -> tuple[int, int]:
    """Rank and number of processes under torchrun; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
