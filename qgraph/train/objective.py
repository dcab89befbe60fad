"""A student, its teachers and the losses between them, as one module: what DistributedDataParallel wraps."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, fx, nn

from qgraph.data import LABEL
from qgraph.errors import QGraphError
from qgraph.train.labels import classes_second
from qgraph.train.losses import Loss, make_loss
from qgraph.train.recipe import LossSpec, Stage

Values = dict[str, Tensor]


def feed(module: fx.GraphModule, inputs: list[str], batch: Mapping[str, Tensor]) -> Values:
    """Run a graph on the inputs that it takes."""
    return module(*[batch[name] for name in inputs])  # type: ignore[no-any-return]


def inputs_of(model: ir.Model) -> list[str]:
    return [v.name or "" for v in model.graph.inputs if v.name not in model.graph.initializers]


def output_of(values: Values) -> Tensor:
    """The first output that is no tap."""
    return next(v for name, v in values.items() if not name.startswith("tap."))


def taps_of(values: Values, kind: str) -> list[Tensor]:
    taps = [(int(name.rsplit(".", 1)[1]), v) for name, v in values.items() if name.startswith(f"tap.{kind}.")]
    return [v for _, v in sorted(taps, key=lambda pair: pair[0])]


def pool(states: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean over the tokens that the attention mask keeps: [B, N, D] -> [B, D]."""
    mask = batch["attention_mask"][..., None].to(states.dtype)
    return (states * mask).sum(1) / mask.sum(1)


class Mixture(nn.Module):
    """Several teachers as one: their mean, or a learned mix (softmax of weights that minimize the mix's cross-entropy)."""

    def __init__(self, count: int, learned: bool) -> None:
        super().__init__()
        self.learned = learned
        if learned:
            self.logits: Tensor = nn.Parameter(torch.zeros(count))
        else:
            self.register_buffer("logits", torch.zeros(count))

    def forward(self, values: list[Tensor], temperature: float | None) -> Tensor:
        """Mix tensors; with a temperature they are class scores, whose probabilities are mixed."""
        if len(values) == 1:
            return values[0]
        weights = torch.softmax(self.logits, 0)
        if temperature is None:
            return torch.stack([w * v for w, v in zip(weights, values, strict=True)]).sum(0)
        parts = [torch.log_softmax(v / temperature, -1) + torch.log(w) for w, v in zip(weights, values, strict=True)]
        return temperature * torch.logsumexp(torch.stack(parts), 0)


class Objective(nn.Module):
    """Computes the weighted sum of a stage's losses on a batch."""

    def __init__(self, stage: Stage, student: fx.GraphModule, inputs: list[str], teachers: int) -> None:
        super().__init__()
        self.student, self.inputs = student, inputs
        self.specs = stage.losses
        self.losses = nn.ModuleList(self._make(spec) for spec in stage.losses)
        self.pairs = nn.ModuleList(nn.ModuleList() for _ in stage.losses)  # a loss of its own a layer: regressors differ
        self.mixture = Mixture(teachers, stage.ensemble == "learned" and teachers > 1)
        for spec, loss in self.terms():
            if loss.teacher and not teachers:
                raise QGraphError(f"stage {stage.name!r}: loss {spec.kind!r} needs a teacher and the stage has none")
        if self.mixture.learned and not any(loss.labels for _, loss in self.terms()):
            raise QGraphError(f"stage {stage.name!r}: a learned ensemble needs labels: add the loss cross-entropy")

    @staticmethod
    def _make(spec: LossSpec) -> Loss:
        return make_loss(spec.kind, dict(spec.model_extra or {}))

    def terms(self) -> list[tuple[LossSpec, Loss]]:
        return list(zip(self.specs, self.losses, strict=True))  # type: ignore[arg-type]

    def kinds(self) -> set[str]:
        """Kinds of taps that the losses read."""
        kinds: set[str] = set()
        for spec, loss in self.terms():
            kinds |= {spec.on} if spec.on else set(loss.needs)
        return kinds - {"output"}

    def tensors(self, spec: LossSpec, loss: Loss, values: Values, batch: Mapping[str, Tensor]) -> list[Tensor]:
        """What a loss reads of one graph's outputs."""
        tensors: list[Tensor] = []
        for kind in [spec.on] if spec.on else loss.needs:
            tensors += [output_of(values)] if kind == "output" else taps_of(values, kind)
        return [pool(v, batch) for v in tensors] if spec.pool == "mask-mean" else tensors

    def forward(self, batch: Mapping[str, Tensor], teachers: list[Values]) -> tuple[Tensor, dict[str, Tensor]]:
        ours = feed(self.student, self.inputs, batch)
        self.last = output_of(ours)
        parts: dict[str, Tensor] = {}
        total: Tensor = torch.zeros(())
        for number, (spec, loss) in enumerate(self.terms()):
            mine = self.tensors(spec, loss, ours, batch)
            if loss.labels:
                value = loss(mine[0], batch[LABEL])
            else:
                theirs = [self.tensors(spec, loss, t, batch) for t in teachers]
                temperature = getattr(loss, "temperature", None)
                terms = []
                for i, (layer_loss, tensor) in enumerate(zip(list(self.pairs[number]), mine, strict=True)):  # type: ignore[call-overload]
                    target = self.mixture([t[i] for t in theirs], temperature)
                    terms.append(layer_loss(tensor, target.detach()))
                value = torch.stack(terms).mean()
            parts[spec.kind if spec.kind not in parts else f"{spec.kind} {number}"] = value
            total = total + spec.weight * value
        if self.mixture.learned:
            mixed = self.mixture([output_of(t) for t in teachers], 1.0)
            total = total + nn.functional.cross_entropy(classes_second(mixed, batch[LABEL]), batch[LABEL].long())
        return total, {name: value.detach() for name, value in parts.items()}

    @torch.no_grad()
    def try_out(self, batch: Mapping[str, Tensor], teachers: list[Values], stage: str) -> None:
        """See one batch before training: pairs that do not fit are refused now, regressors are made."""
        ours = feed(self.student, self.inputs, batch)
        for number, (spec, loss) in enumerate(self.terms()):
            if loss.labels and LABEL not in batch:
                raise QGraphError(
                    f"stage {stage!r}: loss {spec.kind!r} needs labels and the data has none; "
                    f"add '{LABEL}' to its batches or use another loss"
                )
            if spec.pool and "attention_mask" not in batch:
                raise QGraphError(f"stage {stage!r}: pool: mask-mean needs an input 'attention_mask' in the data")
            if not loss.teacher:
                continue
            mine = self.tensors(spec, loss, ours, batch)
            for values in teachers:
                theirs = self.tensors(spec, loss, values, batch)
                if not mine or len(mine) != len(theirs):
                    raise QGraphError(
                        f"stage {stage!r}: loss {spec.kind!r} pairs {len(mine)} values of the student "
                        f"with {len(theirs)} of the teacher; choose another layer map"
                    )
                layer_losses = [self._make(spec) for _ in mine]
                self.pairs[number] = nn.ModuleList(layer_losses)
                for layer_loss, a, b in zip(layer_losses, mine, theirs, strict=True):
                    try:
                        layer_loss.pair(a, b)
                        layer_loss(a, b)
                    except QGraphError as error:
                        raise QGraphError(f"stage {stage!r}, loss {spec.kind!r}: {error}") from error
                    except RuntimeError as error:
                        raise QGraphError(
                            f"stage {stage!r}: loss {spec.kind!r} cannot compare shapes {list(a.shape)} and {list(b.shape)}; "
                            "use a loss with a regressor (feature) or another layer map"
                        ) from error


class MovingAverage:
    """A teacher that is the moving average of the student: decay * average + (1 - decay) * student after each step."""

    def __init__(self, student: fx.GraphModule, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(student).eval(), decay
        self.module.requires_grad_(False)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        for mine, theirs in zip(self.module.state_dict().values(), student.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - self.decay)
            else:
                mine.copy_(theirs)


def to_tensors(batch: Mapping[str, Any], device: torch.device) -> dict[str, Tensor]:
    """Arrays as tensors on ``device``."""
    return {name: torch.as_tensor(array).to(device, non_blocking=True) for name, array in batch.items()}
