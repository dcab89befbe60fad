"""Remove channels, heads and hidden units, physically, with everything that is coupled to them (DepGraph, Fang et al. 2023).

    Conv W [O, I, ...] -> BatchNorm -> Relu -> Conv W2   ->   rows of W, entries of the BatchNorm and columns of W2 go together

Targets: a part of every layer's units, or of the model's multiply-accumulates, bytes, or latency in ONNX Runtime.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir
from qgraph.passes.prune.importance import Criterion, Importance
from qgraph.passes.prune.remove import Kept, Shapes, kept_indices, remove, untie_vectors
from qgraph.passes.prune.shape_values import ShapeValues
from qgraph.passes.prune.trial import Trial, masked

from qgraph.analyze import cost
from qgraph.errors import QGraphError
from qgraph.execute.onnxruntime import session
from qgraph.ir.axes import Axis, AxisGraph, Group
from qgraph.ir.dialects import dialect_of
from qgraph.ir.io import size_of
from qgraph.ir.op_traits import Family, Trait, family, has
from qgraph.ir.patterns import unused
from qgraph.ir.scopes import check_globs, chosen
from qgraph.pipeline import Pass, PassContext, PassReport, register

STEPS = 12
"""Halvings of the search for a ratio that meets a target of operations or bytes."""
TIMED = 5


@dataclasses.dataclass(frozen=True)
class StructuredOptions:
    """
    Attributes:
        ratio: part to remove, 0 to 1: of the units, or of what ``target`` names.
        target: units, macs (multiply-accumulates), size (bytes of weights), or latency (in ONNX Runtime, on the data).
        criterion: what makes a unit important: l1, l2, bn, taylor, activation.
        scope: layer (every layer loses the same part) or global (units compete across layers, by their score over its mean
            in the layer).
        least: part of a layer's units that always stays.
        round_to: layers keep a multiple of this many units where they can.
        include: globs of weight names; empty selects all.
        exclude: globs of weight names that stay whole.
    """

    ratio: float = 0.5
    target: Literal["units", "macs", "size", "latency"] = "units"
    criterion: Criterion = "l2"
    scope: Literal["layer", "global"] = "layer"
    least: float = 0.05
    round_to: int = 1
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def refuse_quantized(model: ir.Model, name: str) -> None:
    if dialect_of(model) != "float":
        raise QGraphError(f"pass {name!r} works on float models and this one is quantized; put it in front of 'quantize'")


class Structured(Pass):
    """What the structured passes share: choose groups, score units, meet the target, remove."""

    Options = StructuredOptions  # type: ignore[assignment, misc]

    nothing: ClassVar[str] = "no weight of it is read by a linear op"
    """Why there is nothing to remove where no group suits."""

    def suits(self, group: Group) -> bool:
        """Whether the pass is about this group."""
        raise NotImplementedError

    def requires(self, model: ir.Model) -> None:
        refuse_quantized(model, self.name)
        if not 0 <= self.options.ratio < 1:
            raise QGraphError(
                f"pass {self.name!r}: ratio={self.options.ratio} would empty every layer or add to it; give 0 to below 1"
            )

    def apply(self, model: ir.Model, report: PassReport) -> None:
        untie_vectors(model)
        trial = Trial.of(model, self.context, self.name)
        groups = self._groups(model, trial, report)
        importance = Importance(self.options.criterion, self.context, model)
        scores = [importance(group) for group in groups.values()]
        keeps = self._search(model, trial.shapes, list(groups.values()), scores)
        report.details["layers"] = {
            name: f"{g.units} -> {int(keep.sum())}" + ("" if g.free.all() else f" (some units stay: {g.why})")
            for (name, g), keep in zip(groups.items(), keeps, strict=True)
        }
        removed = sum(int((~keep).sum()) for keep in keeps)
        report.count("units removed", removed)
        if self.options.ratio and not removed:
            name, group = max(groups.items(), key=lambda item: item[1].units)
            raise QGraphError(
                f"pass {self.name!r}: ratio={self.options.ratio} rounds to no unit of any layer, the largest of which is "
                f"{name!r} with {group.units} units ({int(group.free.sum())} of them can go); give a larger ratio"
            )
        before, whole = (cost.macs(model), size_of(model)), model.clone()
        kept = merged(groups.values(), keeps)
        zeroed = masked(model, kept)
        remove(model, kept, trial.shapes)
        if difference := trial.differs(zeroed, model):
            raise QGraphError(self._refusal(whole, trial, groups, keeps, difference))
        after = cost.macs(model), size_of(model)
        if before[0] and after[0] is not None:
            report.count("multiply-accumulates removed", before[0] - after[0])
        report.count("weight bytes saved", before[1] - after[1])

    def _refusal(
        self, model: ir.Model, trial: Trial, groups: Mapping[str, Group], keeps: list[np.ndarray], difference: str
    ) -> str:
        """Which groups, removed alone, give another model than the masked one."""
        wrong = []
        for (name, group), keep in zip(groups.items(), keeps, strict=True):
            one = model.clone()
            kept, shapes = renamed(kept_indices(group, keep), one), by_name(trial.shapes, one)
            zeroed = masked(one, kept)
            try:
                remove(one, kept, shapes)
                failed = trial.differs(zeroed, one)
            except QGraphError as error:
                failed = str(error)
            if failed:
                wrong.append(f"{name!r} ({failed})")
        named = f"without units of {', '.join(wrong[:3])}" if wrong else f"without what it would remove ({difference})"
        return (
            f"pass {self.name!r} leaves the model as it was: {named} it does not compute what it does with zeros in their place; "
            "exclude=[...] leaves a layer out"
        )

    def _groups(self, model: ir.Model, trial: Trial, report: PassReport) -> dict[str, Group]:
        """The groups to prune, by name; the reasons of the others go into the report."""
        options = self.options
        check_globs((*options.include, *options.exclude), model.graph.initializers, f"pass {self.name!r}")
        found: dict[str, Group] = {}
        reasons: dict[str, str] = {}
        for group in AxisGraph(model, trial.shapes, ShapeValues(model, trial.shapes).fixed()).groups():
            names = [v.name or "" for v, _ in group.weights()]
            if not self.suits(group) or not chosen(names, options.include, ()):
                continue
            name = unused(group.name(), found.keys() | reasons.keys())
            if not chosen(names, (), options.exclude):
                reasons[name] = "excluded"
            elif not group.free.any():
                reasons[name] = group.why
            elif group.units < 2:
                reasons[name] = "its channels are all tied to one another, so that there is one unit only"
            else:
                found[name] = group
        report.details["kept whole"] = reasons
        if not found:
            why = "; ".join(f"{name!r}: {reason}" for name, reason in list(reasons.items())[:3])
            more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
            raise QGraphError(f"pass {self.name!r} finds nothing that it can remove: {why + more if why else self.nothing}")
        return found

    def _search(self, model: ir.Model, shapes: Shapes, groups: list[Group], scores: list[np.ndarray]) -> list[np.ndarray]:
        """Which units of each group stay, booleans [units]."""
        options = self.options
        if options.target == "units":
            return self._choose(groups, scores, options.ratio)
        count = {"macs": macs, "size": size, "latency": latency}[options.target](model, self.context, shapes)
        measure = lambda keeps: count(merged(groups, keeps))  # noqa: E731
        whole, low, high = count({}), 0.0, 1.0
        best, closest = self._choose(groups, scores, high), math.inf
        for _ in range(STEPS if options.target != "latency" else TIMED):
            middle = (low + high) / 2
            keeps = self._choose(groups, scores, middle)
            now = measure(keeps)
            if now <= (1 - options.ratio) * whole:
                high = middle
                best, closest = keeps, now
            else:
                low = middle
        if math.isinf(closest) and measure(best) > (1 - options.ratio) * whole:
            raise QGraphError(
                f"pass {self.name!r}: even the smallest model has {measure(best) / whole:.0%} of the {options.target}; "
                f"ask for less than ratio={options.ratio}, or for other layers too"
            )
        return best

    def _choose(self, groups: list[Group], scores: list[np.ndarray], ratio: float) -> list[np.ndarray]:
        """What stays when ``ratio`` of the units goes."""
        options = self.options
        keeps = []
        limit = math.inf
        if options.scope == "global":
            relative = [s / (s.mean() or 1.0) for s in scores]
            pool = np.concatenate([r[g.free] for g, r in zip(groups, relative, strict=True)])
            count = round(ratio * len(pool))
            limit = float(np.sort(pool)[count - 1]) if count else -1.0
        for group, score in zip(groups, scores, strict=True):
            free = np.flatnonzero(group.free)
            order = free[np.argsort(score[free], kind="stable")]
            gone = (
                round(ratio * (len(free) if group.heads else group.units))
                if options.scope == "layer"
                else int((score[free] / (score.mean() or 1.0) <= limit).sum())
            )
            stay = max(1, math.ceil(options.least * group.units), group.units - min(gone, len(free)))
            if options.round_to > 1 and group.units >= options.round_to:
                stay = min(group.units, math.ceil(stay / options.round_to) * options.round_to)
            keeps.append(thinned(group, order, group.units - stay, options.least))
        return keeps


def merged(groups: Iterable[Group], keeps: list[np.ndarray]) -> dict[Axis, np.ndarray]:
    """The indices of all axes that stay."""
    return {axis: i for group, keep in zip(groups, keeps, strict=True) for axis, i in kept_indices(group, keep).items()}


def _values(model: ir.Model) -> dict[str, ir.Value]:
    values = [*model.graph.inputs, *model.graph.initializers.values(), *(o for n in model.graph for o in n.outputs)]
    return {v.name or "": v for v in values}


def renamed(kept: Kept, copy: ir.Model) -> dict[Axis, np.ndarray]:
    """``kept`` for a copy of the model."""
    values = _values(copy)
    return {(values[value.name or ""], axis): indices for (value, axis), indices in kept.items()}


def by_name(shapes: Shapes, copy: ir.Model) -> Shapes:
    """``shapes`` for a copy of the model."""
    values = _values(copy)
    return {values[value.name]: dims for value, dims in shapes.items() if value.name in values}


def thinned(group: Group, order: np.ndarray, count: int, least: float) -> np.ndarray:
    """Which units stay when the first ``count`` of ``order`` go that no axis needs to keep its least part (one at least)."""
    keep = np.ones(group.units, bool)
    if len(group.unit_of) == 1:
        keep[order[:count]] = False
        return keep
    spare, uses = {}, {}
    for number, units in group.unit_of.items():
        spare[number] = len(units) - max(1, math.ceil(least * len(units)))
        uses[number] = np.bincount(units, minlength=group.units)
    for unit in order:
        if not count:
            break
        wanted = {number: int(counts[unit]) for number, counts in uses.items() if counts[unit]}
        if all(spare[number] >= n for number, n in wanted.items()):
            for number, n in wanted.items():
                spare[number] -= n
            keep[unit], count = False, count - 1
    return keep


def macs(model: ir.Model, context: PassContext, shapes: Shapes) -> Callable[[Kept], float]:
    if cost.macs(model) is None:
        raise QGraphError("target=macs needs the shapes of all values; run 'canonicalize' first, or use target=size")

    def measure(kept: Kept) -> float:
        lengths = {(v, i): len(left) for (v, i), left in kept.items() if v.shape is not None and isinstance(v.shape[i], int)}
        return float(cost.macs(model, lengths) or 0)

    return measure


def size(model: ir.Model, context: PassContext, shapes: Shapes) -> Callable[[Kept], float]:
    def measure(kept: Kept) -> float:
        total = 0.0
        for value in model.graph.initializers.values():
            if value.const_value is not None and value.shape is not None:
                part = [len(kept[value, i]) / int(d) for i, d in enumerate(value.shape) if (value, i) in kept]  # type: ignore[arg-type]
                total += value.const_value.nbytes * math.prod(part)
        return total

    return measure


def latency(model: ir.Model, context: PassContext, shapes: Shapes) -> Callable[[Kept], float]:
    batch = next(context.batches("target=latency"))

    def measure(kept: Kept) -> float:
        copy = model.clone()
        remove(copy, renamed(kept, copy), by_name(shapes, copy))
        run, times = session(copy, threads=1), []
        for _ in range(7):
            start = time.perf_counter()
            run.run(None, dict(batch))
            times.append(time.perf_counter() - start)
        return statistics.median(times[2:])

    return measure


def readers(group: Group) -> set[Family | None]:
    """The families of linear and recurrent ops whose weights the group changes."""
    users = [u.node for v, _ in group.weights() for u in v.uses()]
    return {family(n) for n in users if has(n, Trait.LINEAR) or n.op_type == "Einsum" or family(n) == "recurrent"}


@register("prune-channels")
class PruneChannels(Structured):
    """Remove channels and hidden units of every kind of layer, but not heads."""

    def suits(self, group: Group) -> bool:
        return not group.heads and bool(readers(group))


@register("prune-ffn")
class PruneFeedForward(Structured):
    """Remove hidden units between two matrix products."""

    def suits(self, group: Group) -> bool:
        return not group.heads and bool(readers(group)) and readers(group) <= {"linear"}


@register("prune-heads")
class PruneHeads(Structured):
    """Remove whole attention heads: the queries, keys and values that they read, and the rows that read them.

    Where several heads share keys and values (grouped queries), they go with them.
    """

    nothing = (
        "no axis is split into heads, the batches of a product of two computed values; 'canonicalize' in front may show some"
    )

    def suits(self, group: Group) -> bool:
        return group.heads
