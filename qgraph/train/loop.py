"""The training loop: batches forward and backward, optimizer steps, and hooks for everything else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qgraph.errors import QGraphError
from qgraph.execute.quantizers import FakeQuantize
from qgraph.ir.scopes import check_globs, fits
from qgraph.train import checkpoint
from qgraph.train.build import StageModules
from qgraph.train.context import Curves
from qgraph.train.schedules import factor


class Hook:
    """Something that happens around the steps of a loop. Every method may be left out; hooks are called in their order."""

    def modules(self) -> dict[str, nn.Module]:
        """What of this hook a checkpoint holds, under names of its own."""
        return {}

    def facts(self) -> dict[str, Any]:
        """What of this hook a checkpoint holds as JSON."""
        return {}

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Take back what ``facts`` gave."""

    def start(self, loop: Loop) -> None:
        """Before the first step; a hook that resumes a run sets ``loop.first``."""

    def before_step(self, loop: Loop, step: int) -> None:
        """Before anything of ``step`` is computed, random numbers included."""

    def before_batch(self, loop: Loop, step: int, batch: Mapping[str, Tensor]) -> None:
        """Before the forward of a batch; a step has several where gradients accumulate."""

    def add_loss(self, loop: Loop, step: int, parts: dict[str, Tensor]) -> Tensor | None:
        """A term to add to the loss of a batch; its parts are noted in ``parts``."""

    def after_backward(self, loop: Loop, step: int, batch: Mapping[str, Tensor]) -> None:
        """After the backward of a batch."""

    def around_update(self, loop: Loop, step: int) -> contextlib.AbstractContextManager[None]:
        """Around the optimizer's update of the parameters."""
        return contextlib.nullcontext()

    def after_step(self, loop: Loop, step: int, losses: Mapping[str, float]) -> None:
        """After the update; ``losses`` are means over the step's batches. A hook that ends training sets ``loop.stopped``."""

    def end(self, loop: Loop) -> None:
        """After the last step."""


class Loop:
    """Trains the student of a stage.

    Attributes:
        modules: what is trained, and what teaches it.
        hooks: what happens around the steps, in order.
        curves: (step, value) of losses and metrics.
        first: the step to begin with.
        stopped: whether a hook ended training early.
    """

    def __init__(self, modules: StageModules, hooks: Iterable[Hook]) -> None:
        self.modules, self.hooks = modules, list(hooks)
        self.trained = trainable(modules)
        self.optimizer = make_optimizer(modules, self.trained)
        self.curves: Curves = {}
        self.first, self.stopped = 0, False

    @property
    def steps(self) -> int:
        return self.modules.stage.steps

    def record(self, name: str, step: int, value: float) -> None:
        """Add a point to the curve ``name``."""
        self.curves.setdefault(name, []).append((step, value))

    def run(self) -> None:
        """Train to the last step, or until a hook stops; the student is in evaluation mode then.

        Raises:
            QGraphError: a loss is not finite, or the checkpoint is of another recipe.
        """
        for hook in self.hooks:
            hook.start(self)
        student, objective = self.modules.student, self.modules.objective
        forward: nn.Module = objective
        if self.modules.run.world > 1:
            forward = nn.parallel.DistributedDataParallel(objective, find_unused_parameters=True)
        student.train()
        for step in range(self.first, self.steps):
            self._step(forward, step)
            if self.stopped:
                break
        for hook in self.hooks:
            hook.end(self)
        student.eval()

    def _step(self, forward: nn.Module, step: int) -> None:
        run, spec = self.modules.run, self.modules.stage.optimizer
        for hook in self.hooks:
            hook.before_step(self, step)
        checkpoint.seed_step(run.seed, step, run.rank)
        for group in self.optimizer.param_groups:
            group["lr"] = spec.lr * factor(spec.schedule, step, self.steps, spec.warmup)
        self.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, float] = {}
        for number in range(spec.accumulate):
            total, parts = self._backward(forward, step, self.modules.batch(step * spec.accumulate + number))
            self._check_finite(total, parts, step)
            for name, tensor in {**parts, "total": total}.items():
                losses[name] = losses.get(name, 0.0) + float(tensor) / spec.accumulate
        if spec.clip is not None:
            nn.utils.clip_grad_norm_(self.trained, spec.clip)
        with contextlib.ExitStack() as around:
            for hook in self.hooks:
                around.enter_context(hook.around_update(self, step))
            self.optimizer.step()
        for hook in self.hooks:
            hook.after_step(self, step, losses)

    def _backward(self, forward: nn.Module, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward and backward of one batch; returns the loss and its parts."""
        for hook in self.hooks:
            hook.before_batch(self, step, batch)
        total, parts = forward(batch, self.modules.teach(batch))
        for hook in self.hooks:
            if (term := hook.add_loss(self, step, parts)) is not None:
                total = total + term
        (total * (1 / self.modules.stage.optimizer.accumulate)).backward()
        for hook in self.hooks:
            hook.after_backward(self, step, batch)
        return total.detach(), {name: value.detach() for name, value in parts.items()}

    def _check_finite(self, total: Tensor, parts: dict[str, Tensor], step: int) -> None:
        if torch.isfinite(total):
            return
        bad = [n for n, v in parts.items() if not torch.isfinite(v)] or ["total"]
        names = [n for n, p in self.modules.student.named_parameters() if not torch.isfinite(p).all()]
        where = f"; the first parameter that is not finite is {names[0]!r}" if names else ""
        raise QGraphError(
            f"stage {self.modules.stage.name!r}: loss {bad[0]!r} is not finite at step {step}{where}; "
            "lower optimizer.lr or set optimizer.clip"
        )


def trainable(modules: StageModules) -> list[nn.Parameter]:
    """The parameters that the stage's optimizer trains; all others of the student are frozen."""
    stage, globs = modules.stage, modules.stage.optimizer.trainable
    names = [name for name, _ in modules.student.named_parameters()]
    check_globs([g for g in globs if g != "*"], names, f"stage {stage.name!r}, trainable")
    for name, parameter in modules.student.named_parameters():
        parameter.requires_grad_(any(fits(name, glob) for glob in globs))
    chosen = [p for p in modules.objective.parameters() if p.requires_grad]
    if not chosen:
        raise QGraphError(f"stage {stage.name!r}: no parameter matches trainable: {globs}")
    return chosen


def make_optimizer(modules: StageModules, trained: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The stage's optimizer; weight decay is for matrices and filters, not for vectors and the ranges of quantizers."""
    spec = modules.stage.optimizer
    ranges = {id(p) for m in modules.student.modules() if isinstance(m, FakeQuantize) for p in m.parameters()}
    decayed = [p for p in trained if p.ndim > 1 and id(p) not in ranges]
    rest = [p for p in trained if not (p.ndim > 1 and id(p) not in ranges)]
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if spec.kind == "sgd":
        return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)
    return torch.optim.AdamW(groups, lr=spec.lr)
