"""Masks in front of weights, by magnitude; training may move them (``pruning`` of a recipe's stage).

W -> MatMul     ->     W -> qgraph.Mask(W, mask) -> MatMul
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import onnx_ir as ir
from qgraph.passes.prune import select
from qgraph.passes.prune.structured import refuse_quantized

from qgraph.errors import QGraphError
from qgraph.ir.dialects import DOMAIN
from qgraph.ir.matchers.linear import weight_of
from qgraph.ir.ops import attach
from qgraph.ir.ops.mask import INPUT_AXIS, MOVED
from qgraph.ir.patterns import add_initializer, constant, new_node, nodes
from qgraph.ir.scopes import check_globs, chosen
from qgraph.ir.weights import input_axis, output_axis
from qgraph.pipeline import Pass, PassReport, register


@dataclasses.dataclass
class Masked:
    """A weight that may be pruned, and the axes of its outputs and inputs."""

    node: ir.Node
    value: ir.Value
    array: np.ndarray
    outputs: int
    inputs: int


def weights(model: ir.Model, name: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> list[Masked]:
    """The weights of linear ops that globs choose, each once."""
    check_globs((*include, *exclude), model.graph.initializers, f"pass {name!r}")
    found: dict[ir.Value, Masked] = {}
    for node in model.graph:
        value = weight_of(node)
        if value is None or value in found or value.producer() is not None:
            continue
        if not chosen([value.name or ""], include, exclude):
            continue
        array = constant(value)
        assert array is not None
        found[value] = Masked(node, value, array, output_axis(node), input_axis(node))
    if not found and nodes(model, "Mask", domain=DOMAIN):
        raise QGraphError(f"pass {name!r}: the weights have masks already; use one masking pass, or exclude its weights from it")
    if not found:
        raise QGraphError(f"pass {name!r} finds no weights to prune; check include and exclude against 'qgraph inspect --layers'")
    return list(found.values())


def put(model: ir.Model, weight: Masked, keep: np.ndarray) -> ir.Node:
    """Let every reader of the weight read it through a mask; returns the mask's node."""
    value = weight.value
    mask = add_initializer(model, f"{value.name}_mask", keep)
    node = new_node(weight.node, "Mask", [value, mask], domain=DOMAIN, name=f"{value.name}_masked")
    node.metadata_props[INPUT_AXIS] = str(weight.inputs)
    out = node.outputs[0]
    out.name, out.shape, out.type = f"{value.name}_masked", value.shape, value.type
    readers = [(use.node, use.idx) for use in value.uses() if use.node is not node]
    model.graph.insert_before(model.graph[0], node)
    for reader, index in readers:
        reader.replace_input_with(index, out)
    return node


class Masking(Pass):
    """What the masking passes share."""

    def requires(self, model: ir.Model) -> None:
        refuse_quantized(model, self.name)

    def masks_of(self, found: list[Masked]) -> list[np.ndarray]:
        raise NotImplementedError

    def put(self, model: ir.Model, weight: Masked, keep: np.ndarray) -> None:
        put(model, weight, keep)

    def apply(self, model: ir.Model, report: PassReport) -> None:
        found = weights(model, self.name, self.options.include, self.options.exclude)
        sparsity = report.details["sparsity"] = {}
        for weight, keep in zip(found, self.masks_of(found), strict=True):
            self.put(model, weight, keep)
            sparsity[weight.value.name or ""] = f"{1 - keep.mean():.0%}"
            report.count("weights masked")
            report.count("elements pruned", int((~keep).sum()))
        attach(model)


def _check(name: str, sparsity: float) -> None:
    if not 0 <= sparsity < 1:
        raise QGraphError(f"pass {name!r}: sparsity={sparsity} would empty every weight or add to it; give 0 to below 1")


@register("prune-magnitude")
class PruneMagnitude(Masking):
    """Prune the smallest weights (Han et al. 2015)."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            sparsity: part of the elements to prune, 0 to below 1.
            threshold: prune what is smaller than this instead, when above 0.
            scope: layer (each weight loses the same part) or global (one threshold for all).
            least: part of each weight that always stays.
            include: globs of weight names; empty selects all.
            exclude: globs of weight names that stay whole.
        """

        sparsity: float = 0.5
        threshold: float = 0.0
        scope: Literal["layer", "global"] = "layer"
        least: float = 0.02
        include: tuple[str, ...] = ()
        exclude: tuple[str, ...] = ()

    def masks_of(self, found: list[Masked]) -> list[np.ndarray]:
        options = self.options
        _check(self.name, options.sparsity)
        scores = [np.abs(w.array) for w in found]
        if options.threshold > 0:
            return [select.above(s, options.threshold) for s in scores]
        return select.largest(scores, options.sparsity, options.scope, options.least)


@register("prune-nm")
class PruneNM(Masking):
    """Keep n of every m neighbours along the input axis, such as 2:4 (Mishra et al. 2021)."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            n: elements that stay of every m.
            m: length of a group.
            include: globs of weight names; empty selects all whose input axis m divides.
            exclude: globs of weight names that stay whole.
        """

        n: int = 2
        m: int = 4
        include: tuple[str, ...] = ()
        exclude: tuple[str, ...] = ()

    def requires(self, model: ir.Model) -> None:
        super().requires(model)
        if not 1 <= self.options.n < self.options.m:
            raise QGraphError(f"pass 'prune-nm': {self.options.n}:{self.options.m} keeps nothing or everything; give 1 <= n < m")

    def masks_of(self, found: list[Masked]) -> list[np.ndarray]:
        n, m = self.options.n, self.options.m
        made = []
        for weight in found:
            length = weight.array.shape[weight.inputs]
            if length % m and self.options.include:
                raise QGraphError(
                    f"pass 'prune-nm': the input axis of {weight.value.name!r} has {length} elements, which {m} does not divide; "
                    "exclude it"
                )
            score = np.abs(weight.array)
            made.append(np.ones(score.shape, bool) if length % m else select.n_of_m(score, n, m, weight.inputs))
        if all(keep.all() for keep in made):
            raise QGraphError(f"pass 'prune-nm': {m} divides the input axis of no weight")
        return made


@register("prune-block")
class PruneBlock(Masking):
    """Prune blocks of outputs x inputs."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            sparsity: part of the blocks to prune, 0 to below 1.
            outputs: height of a block along the output axis.
            inputs: width of a block along the input axis.
            least: part of the blocks of each weight that always stays.
            include: globs of weight names; empty selects all that the block divides.
            exclude: globs of weight names that stay whole.
        """

        sparsity: float = 0.5
        outputs: int = 16
        inputs: int = 4
        least: float = 0.02
        include: tuple[str, ...] = ()
        exclude: tuple[str, ...] = ()

    def masks_of(self, found: list[Masked]) -> list[np.ndarray]:
        options = self.options
        _check(self.name, options.sparsity)
        made = []
        for weight in found:
            score = weight.array.astype(np.float64) ** 2
            divides = score.shape[weight.outputs] % options.outputs == 0 == score.shape[weight.inputs] % options.inputs
            if not divides and options.include:
                raise QGraphError(
                    f"pass 'prune-block': blocks of {options.outputs} x {options.inputs} do not divide {weight.value.name!r} "
                    f"({list(score.shape)}); give other sizes or exclude it"
                )
            shape, axes = (options.outputs, options.inputs), (weight.outputs, weight.inputs)
            made.append(
                select.blocks(score, options.sparsity, shape, axes, options.least) if divides else np.ones(score.shape, bool)
            )
        if all(keep.all() for keep in made) and options.sparsity:
            raise QGraphError(f"pass 'prune-block': blocks of {options.outputs} x {options.inputs} divide no weight")
        return made


@register("prune-movement")
class PruneMovement(Masking):
    """Prune the weights that training moves towards zero (Sanh et al. 2020).

    The masks keep everything until a stage of a recipe trains them: by the schedule of its ``pruning``, or by the default one
    up to this sparsity.
    """

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            sparsity: part of the elements that is gone at the end of training, 0 to below 1.
            include: globs of weight names; empty selects all.
            exclude: globs of weight names that stay whole.
        """

        sparsity: float = 0.5
        include: tuple[str, ...] = ()
        exclude: tuple[str, ...] = ()

    def masks_of(self, found: list[Masked]) -> list[np.ndarray]:
        _check(self.name, self.options.sparsity)
        return [np.ones(w.array.shape, bool) for w in found]

    def put(self, model: ir.Model, weight: Masked, keep: np.ndarray) -> None:
        put(model, weight, keep).metadata_props[MOVED] = str(self.options.sparsity)
