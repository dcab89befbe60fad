"""Pruning while a graph trains: masks that follow a schedule, and PQK, where the full net teaches its own pruned part."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from qgraph.data import LABEL
from qgraph.errors import QGraphError
from qgraph.execute.masks import MaskWeight
from qgraph.execute.quantizers import FakeQuantize
from qgraph.passes.prune import select
from qgraph.train.labels import classes_second
from qgraph.train.losses import Response
from qgraph.train.objective import Values, feed, output_of
from qgraph.train.recipe import Pqk, Pruning


def sparsity_at(spec: Pruning, step: int, steps: int) -> float:
    """The wanted sparsity: cubic s_f + (s_0 - s_f) (1 - t)^3 (Zhu and Gupta 2017), linear, or at once; t is 1 at ``until``."""
    end = max(1.0, spec.until * steps)
    t = min(1.0, (step + spec.every) / end)
    if spec.schedule == "one-shot":
        return spec.sparsity if t >= 1 else spec.start
    power = 3 if spec.schedule == "cubic" else 1
    return spec.sparsity + (spec.start - spec.sparsity) * (1 - t) ** power


class Masks:
    """The masks of a student, moved by a schedule; pruned weights keep their last values unless they may regrow."""

    def __init__(self, student: fx.GraphModule, spec: Pruning | None, stage: str) -> None:
        self.spec = spec = self._wanted(student, spec, stage)
        names, parameters = student.meta.get("names", {}), dict(student.named_parameters())
        self.masks: dict[str, tuple[MaskWeight, nn.Parameter, int]] = {}
        for path, entry in student.meta.get("masks", {}).items():
            weight = parameters.get(names.get(entry["weight"], ""))
            if isinstance(weight, nn.Parameter):
                self.masks[entry["weight"]] = (student.get_submodule(path), weight, int(entry["inputs"]))  # type: ignore[assignment]
        if spec is not None and not self.masks:
            raise QGraphError(
                f"stage {stage!r} has 'pruning' and no masks; put prune-magnitude{{sparsity=0}} in front of its passes"
            )
        if spec is not None and spec.kind == "nm":
            self._check_lengths(spec, stage)
        for mask, _, _ in self.masks.values():
            if spec is not None and spec.regrow:
                mask.gradient_scope = "all"
            if spec is not None and spec.kind == "movement":
                mask.gradient_scope = "all"
                mask.watch()

    @staticmethod
    def _wanted(student: fx.GraphModule, spec: Pruning | None, stage: str) -> Pruning | None:
        """The stage's ``pruning``, or the default one where the masks are those of prune-movement."""
        ends = [float(entry["movement"]) for entry in student.meta.get("masks", {}).values() if entry["movement"]]
        if not ends or (spec is not None and spec.kind == "movement"):
            return spec
        if spec is not None:
            raise QGraphError(
                f"stage {stage!r}: its masks are those of prune-movement and 'pruning' is of kind {spec.kind!r}; "
                "set kind: movement, or put prune-magnitude in front of the passes instead"
            )
        return Pruning(kind="movement", sparsity=max(ends))

    def _check_lengths(self, spec: Pruning, stage: str) -> None:
        for name, (_, weight, axis) in self.masks.items():
            if weight.shape[axis] % spec.m:
                raise QGraphError(
                    f"stage {stage!r}: the input axis of {name!r} has {weight.shape[axis]} elements, which {spec.m} does not "
                    "divide; leave it out of the masking pass with exclude"
                )

    def update(self, step: int, steps: int) -> float | None:
        """Move the masks if it is time to; returns the sparsity then."""
        spec = self.spec
        if spec is None or step % spec.every or step >= max(1.0, spec.until * steps):
            return None
        wanted = sparsity_at(spec, step, steps)
        scores = [self._score(number, mask, weight) for number, (mask, weight, _) in enumerate(self.masks.values())]
        if spec.kind == "nm":
            kept = [select.n_of_m(s, spec.n, spec.m, axis) for s, (_, _, axis) in zip(scores, self.masks.values(), strict=True)]
        else:
            kept = select.largest(scores, wanted, spec.scope, spec.least)
        for keep, (mask, _, _) in zip(kept, self.masks.values(), strict=True):
            mask.mask.copy_(torch.from_numpy(keep))
        return 1 - float(np.mean(np.concatenate([k.reshape(-1) for k in kept])))

    def _score(self, number: int, mask: MaskWeight, weight: Tensor) -> np.ndarray:
        if self.spec is not None and self.spec.kind == "random":  # what magnitudes are to be compared with
            return np.random.default_rng(number).random(weight.shape)
        score = mask.scores if self.spec is not None and self.spec.kind == "movement" else weight.detach().abs()
        return score.cpu().numpy()

    @contextlib.contextmanager
    def freeze_pruned(self, unless: bool) -> Iterator[None]:
        """Around an optimizer step: pruned weights keep their values, whatever momentum and decay would do, ``unless`` told."""
        if unless or (self.spec is not None and (self.spec.regrow or self.spec.kind == "movement")):
            yield
            return
        before = [weight.detach().clone() for _, weight, _ in self.masks.values()]
        yield
        with torch.no_grad():
            for old, (mask, weight, _) in zip(before, self.masks.values(), strict=True):
                weight.copy_(torch.where(mask.mask, weight, old))


class BatchNormStatistics(nn.Module):
    """A copy of the BatchNorm statistics of a graph; a module, so that checkpoints hold it."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        for number, buffer in enumerate(self._of(graph)):
            self.register_buffer(str(number), buffer.clone())

    @staticmethod
    def _of(graph: fx.GraphModule) -> list[Tensor]:
        return [graph.get_buffer(path) for path in graph.meta["statistics"]]

    def swap(self, graph: fx.GraphModule) -> None:
        """Exchange these tensors and those of the graph; nothing is copied, so that gradients under way stay valid."""
        for number, path in enumerate(graph.meta["statistics"]):
            owner, _, leaf = path.rpartition(".")
            theirs = graph.get_submodule(owner)._buffers
            theirs[leaf], self._buffers[str(number)] = self._buffers[str(number)], theirs[leaf]


class FullNet:
    """PQK's teacher (Kim, Chang and Kwak 2021): the student's own graph with the masks off.

    Phase 1 trains the pruned student alone. In phase 2 the full net runs beside it, first for labels only (warm-up), then both
    learn from each other: the student from labels and KL(full || student), the full net from labels and KL(student || full).
    ``teacher_update`` says which weights the full net's loss moves: ``unimportant`` (those that the masks prune; each pass
    owns its own), ``all``, or ``none``. BatchNorm statistics of the two passes are apart, and ranges follow the student only.
    """

    def __init__(self, student: fx.GraphModule, masks: Masks, spec: Pqk, inputs: list[str], stage: str) -> None:
        if not masks.masks:
            raise QGraphError(f"stage {stage!r} has 'pqk' and no masks; put prune-magnitude{{sparsity=0}} in front of its passes")
        self.student, self.masks, self.spec, self.inputs = student, masks, spec, inputs
        self.loss = Response(temperature=spec.temperature)
        self.statistics = BatchNormStatistics(student)

    def phase(self, step: int, steps: int) -> str:
        """alone, warm-up or mutual."""
        if step < round(self.spec.start * steps):
            return "alone"
        return "warm-up" if step < round((self.spec.start + self.spec.warmup) * steps) else "mutual"

    @contextlib.contextmanager
    def view(self) -> Iterator[None]:
        """The student as the full net."""
        scope: Any = {"unimportant": "pruned", "all": "all", "none": "pruned"}[self.spec.teacher_update]
        frozen = {m: m.frozen for m in self.student.modules() if isinstance(m, FakeQuantize)}
        scopes = [mask.gradient_scope for mask, _, _ in self.masks.masks.values()]
        try:
            for mask, _, _ in self.masks.masks.values():
                mask.unmasked, mask.gradient_scope = True, scope
            for module in frozen:
                module.frozen = True
            self.statistics.swap(self.student)
            yield
        finally:
            for old, (mask, _, _) in zip(scopes, self.masks.masks.values(), strict=True):
                mask.unmasked, mask.gradient_scope = False, old
            for module, was in frozen.items():
                module.frozen = was
            self.statistics.swap(self.student)

    def run(self, batch: Mapping[str, Tensor]) -> Values:
        with self.view(), torch.set_grad_enabled(self.spec.teacher_update != "none" and torch.is_grad_enabled()):
            return feed(self.student, self.inputs, batch)

    def learn(self, values: Values, student: Tensor, batch: Mapping[str, Tensor], mutual: bool) -> None:
        """Add the gradients of the full net's own loss."""
        if self.spec.teacher_update == "none":
            return
        scores = output_of(values)
        loss = nn.functional.cross_entropy(classes_second(scores, batch[LABEL]), batch[LABEL].long())
        if mutual:
            loss = loss + self.spec.weight * self.loss(scores, student.detach())
        if self.spec.teacher_update == "all":
            loss.backward()
            return
        weights = [weight for _, weight, _ in self.masks.masks.values()]
        for weight, grad in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
            if grad is not None:
                weight.grad = grad if weight.grad is None else weight.grad + grad

    def copy(self) -> fx.GraphModule:
        """The full net as a module of its own, to measure it."""
        full = copy.deepcopy(self.student)
        for module in full.modules():
            if isinstance(module, MaskWeight):
                module.unmasked = True
        copy.deepcopy(self.statistics).swap(full)
        return full.eval()
