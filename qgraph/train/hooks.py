"""What happens around the steps of training: freezing, masks, a mutual teacher, averages, curves, evaluation, checkpoints."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from qgraph.execute.quantizers import FakeQuantize
from qgraph.train import checkpoint
from qgraph.train.loop import Hook, Loop
from qgraph.train.objective import MovingAverage, Objective, Values, output_of
from qgraph.train.pruning import FullNet, Masks

POINTS = 200
"""Points of a curve, about."""


class Freeze(Hook):
    """Stops the ranges of quantizers, and the statistics of BatchNorms, from moving after a part of the steps."""

    def before_step(self, loop: Loop, step: int) -> None:
        stage, student = loop.modules.stage, loop.modules.student
        frozen = step >= stage.quantizers.freeze_after * loop.steps
        for module in student.modules():
            if isinstance(module, FakeQuantize):
                module.frozen = frozen
        student.training = step < stage.freeze_batchnorm_after * loop.steps


class MutualTeacher(Hook):
    """PQK's full net beside the student: it runs before each batch, teaches, and learns."""

    def __init__(self, full: FullNet) -> None:
        self.full = full
        self.outputs: Values = {}

    def modules(self) -> dict[str, nn.Module]:
        return {"full": self.full.statistics}

    def phase(self, loop: Loop, step: int) -> str:
        return self.full.phase(step, loop.steps)

    def before_batch(self, loop: Loop, step: int, batch: Mapping[str, Tensor]) -> None:
        if self.phase(loop, step) != "alone":
            self.outputs = self.full.run(batch)

    def add_loss(self, loop: Loop, step: int, parts: dict[str, Tensor]) -> Tensor | None:
        if self.phase(loop, step) != "mutual":
            return None
        parts["full net"] = self.full.loss(loop.modules.objective.last, output_of(self.outputs).detach())
        return self.full.spec.weight * parts["full net"]

    def after_backward(self, loop: Loop, step: int, batch: Mapping[str, Tensor]) -> None:
        phase = self.phase(loop, step)
        if phase != "alone":
            self.full.learn(self.outputs, loop.modules.objective.last, batch, phase == "mutual")


class MaskSchedule(Hook):
    """Moves the masks by the stage's schedule; pruned weights keep their values unless a mutual teacher trains them."""

    def __init__(self, masks: Masks, mutual: MutualTeacher | None) -> None:
        self.masks, self.mutual = masks, mutual

    def before_step(self, loop: Loop, step: int) -> None:
        sparsity = self.masks.update(step, loop.steps)
        if sparsity is not None:
            loop.record("sparsity", step, sparsity)

    def around_update(self, loop: Loop, step: int) -> contextlib.AbstractContextManager[None]:
        return self.masks.freeze_pruned(unless=self.mutual is not None and self.mutual.phase(loop, step) != "alone")


class AverageStudent(Hook):
    """Moves the teacher that is an average of the student."""

    def __init__(self, average: MovingAverage) -> None:
        self.average = average

    def modules(self) -> dict[str, nn.Module]:
        return {"average": self.average.module}

    def after_step(self, loop: Loop, step: int, losses: Mapping[str, float]) -> None:
        self.average.update(loop.modules.student)


class LossCurves(Hook):
    """Keeps some points of every loss, and shows every step."""

    def after_step(self, loop: Loop, step: int, losses: Mapping[str, float]) -> None:
        if step % max(1, loop.steps // POINTS) == 0 or step + 1 == loop.steps:
            for name, value in losses.items():
                loop.record(name, step, value)
        loop.modules.run.progress(loop.modules.stage.name, step + 1, loop.steps, dict(losses))


class Evaluation(Hook):
    """Measures the metric every so many steps; with ``patience`` ends training that gets no better, and keeps the best state."""

    def __init__(self, objective: Objective, every: int, patience: int | None) -> None:
        self.every, self.patience = every, patience
        self.best: Objective | None = copy.deepcopy(objective) if patience is not None else None
        self.highest, self.stale = float("-inf"), 0

    def modules(self) -> dict[str, nn.Module]:
        return {} if self.best is None else {"best": self.best}

    def facts(self) -> dict[str, Any]:
        return {"highest": self.highest, "stale": self.stale}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.highest, self.stale = facts["highest"], facts["stale"]

    def after_step(self, loop: Loop, step: int, losses: Mapping[str, float]) -> None:
        if not self.every or (step + 1) % self.every:
            return
        student, objective = loop.modules.student, loop.modules.objective
        student.eval()
        reached = loop.modules.score(student)
        student.train()
        loop.record(loop.modules.run.recipe.metric, step + 1, reached)
        self.highest, self.stale = (reached, 0) if reached > self.highest else (self.highest, self.stale + 1)
        if self.best is not None and self.stale == 0:
            self.best.load_state_dict(objective.state_dict())
        loop.stopped = self.patience is not None and self.stale >= self.patience

    def end(self, loop: Loop) -> None:
        if self.best is not None and self.highest > float("-inf"):
            loop.modules.objective.load_state_dict(self.best.state_dict())


class Checkpoints(Hook):
    """Writes the state of loop and hooks every so many steps, and takes it up again at the start."""

    def __init__(self, every: int) -> None:
        self.every = every

    def start(self, loop: Loop) -> None:
        file = loop.modules.checkpoint
        if not file.is_file():
            return
        facts = checkpoint.load(file, self._parts(loop), loop.optimizer)
        loop.modules.run.refuse_other(file, facts["recipe"], loop.modules.stage)
        loop.first = facts["step"]
        loop.curves = {name: [(step, value) for step, value in curve] for name, curve in facts["curves"].items()}
        for hook in loop.hooks:
            hook.restore(facts)

    def after_step(self, loop: Loop, step: int, losses: Mapping[str, float]) -> None:
        if loop.stopped or (step + 1) % self.every or loop.modules.run.rank != 0:
            return
        facts: dict[str, Any] = {"step": step + 1, "curves": loop.curves, "recipe": loop.modules.identity}
        for hook in loop.hooks:
            facts |= hook.facts()
        loop.modules.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(loop.modules.checkpoint, self._parts(loop), loop.optimizer, facts)

    @staticmethod
    def _parts(loop: Loop) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"objective": loop.modules.objective}
        for hook in loop.hooks:
            parts |= hook.modules()
        return parts
