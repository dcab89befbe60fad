"""Measure the range of every float value, and the channels of linear ops' inputs, on the user's data.

    x  ->  x          and, in the context's state, its range and extremes under its name

The graph stays as it is. Batches stream through observers of fixed memory. Masks (constants near -inf, or not finite, that are
added to values before a softmax or chosen in their place) never set a range: their elements below -1e4 are left out. Positions
have no range (see ``positions``); what they make that is bounded has the range of its bounds.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import onnx_ir as ir
from qgraph.passes.quantize.pads import fill_of, in_front_of_maximum
from qgraph.passes.quantize.positions import known_ranges, unmeasurable

from qgraph.analyze.activations import summarize
from qgraph.errors import QGraphError
from qgraph.ir.matchers.attention import guarded, mask_inputs, scaled
from qgraph.ir.op_traits import Trait, has, traits
from qgraph.ir.patterns import attr, constant
from qgraph.ir.scopes import where
from qgraph.numerics.affine import INT_TYPES
from qgraph.numerics.observers import METHODS, ChannelStatistics, MinMax, MovingAverage, Observer, Percentile
from qgraph.pipeline import MeasuredRange, Pass, PassReport, register

MASKED = -1e4


def masks(model: ir.Model) -> set[ir.Value]:
    """Values that a mask (a constant or input near -inf, a constant not finite) flows into, up to the softmax that takes it."""
    found = {v for v in model.graph.initializers.values() if _is_mask(v)} | mask_inputs(model)
    for node in model.graph:
        carried = has(node, Trait.CARRIES_MASK) and any(v in found for v in node.inputs)
        carried |= (factor := scaled(node.outputs[0])) is not None and factor[0] in found
        if carried or _fills_with_mask(node) or (_pads_with_mask(node) and not in_front_of_maximum(node)):
            found.add(node.outputs[0])
    return found


def _pads_with_mask(node: ir.Node) -> bool:
    """Whether ``node`` fills with a number near -inf."""
    fill = fill_of(node) if node.op_type == "Pad" and not node.domain else None
    return fill is not None and fill <= MASKED


def _fills_with_mask(node: ir.Node) -> bool:
    """Whether ``node`` makes a tensor of one number that is near -inf or not finite."""
    if node.op_type != "ConstantOfShape" or node.domain:
        return False
    fill = attr(node, "value")
    return fill is not None and _masks(fill.numpy())


def linear_inputs(model: ir.Model) -> dict[ir.Value, int]:
    """The values that linear ops with constant weights read, and their channel axis."""
    return {
        x: row.channel_axis
        for node in model.graph
        if (row := traits(node)) is not None and Trait.LINEAR in row.traits and constant(node.inputs[1]) is not None
        if (x := node.inputs[0]) is not None and x.dtype == ir.DataType.FLOAT and len(x.shape or ()) > 1
    }


def rearranged(model: ir.Model) -> dict[ir.Value, ir.Value]:
    """Values that hold the elements of another one in another order, and that one: their ranges are equal."""
    found: dict[ir.Value, ir.Value] = {}
    for node in model.graph:
        source = node.inputs[0] if node.inputs else None
        if has(node, Trait.PERMUTES) and source is not None and source.dtype == ir.DataType.FLOAT:
            found[node.outputs[0]] = found.get(source, source)
    return found


def guarded_values(model: ir.Model) -> set[ir.Value]:
    """Probabilities behind which a guard makes zeros of NaN: rows whose keys are all masked are no part of their range."""
    guards = [(n, guarded(n.outputs[0])) for n in model.graph if n.op_type == "Where" and not n.domain]
    return {p for n, p in guards if p is not None and all(u.node is n or u.node.op_type == "IsNaN" for u in p.uses())}


def _is_mask(value: ir.Value) -> bool:
    array = constant(value)
    return array is not None and _masks(array)


def _masks(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and not bool((np.isfinite(array) & (array > MASKED)).all())


@register("calibrate")
class Calibrate(Pass):
    """Measure activation ranges by min-max, moving average, percentile, entropy or MSE."""

    needs_data = True

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            method: how a range is chosen from the values seen.
            percentile: percent of the values inside the range (method percentile).
            momentum: weight of the past (method moving-average).
        """

        method: Literal["minmax", "moving-average", "percentile", "entropy", "mse"] = "minmax"
        percentile: float = 99.99
        momentum: float = 0.9

    def apply(self, model: ir.Model, report: PassReport) -> None:
        masked = masks(model) | {n.outputs[0] for n in model.graph if _pads_with_mask(n)} | guarded_values(model)
        positions = unmeasurable(model)
        values = [v for v in model.graph.inputs if v.dtype == ir.DataType.FLOAT]
        values += [v for n in model.graph for v in n.outputs if v.dtype == ir.DataType.FLOAT and v not in positions]
        observers: dict[ir.Value, tuple[Observer, MinMax]] = {v: self._pair() for v in values}
        linear = linear_inputs(model)
        channels = {v: ChannelStatistics() for v in linear}
        same: dict[ir.Value, ir.Value] = {}
        if self.options.method in ("minmax", "moving-average"):
            same = {v: source for v, source in rearranged(model).items() if v in observers and source in observers}
            reduced = {v: linear.get(v) for v in values if v not in masked and (v not in same or v in linear)}
            raw = [v for v in values if v in masked]
        else:
            reduced, raw = dict(linear), values
        total = 0
        for summaries, arrays in summarize(model, reduced, raw, self.context.batches(self.name)):
            for value, one in summaries.items():
                if value in channels:
                    channels[value].update(one.low, one.high, one.total, one.count)
                if value not in arrays and one.count:
                    self._observe(value, observers[value], np.array([one.low.min(), one.high.max()]), one.total, total + 1)
            for value, array in arrays.items():
                array = array[np.isfinite(array) & (array > MASKED)] if value in masked else array
                self._observe(value, observers[value], array, array, total + 1)
            total += 1
            self.context.progress(f"{self.name}: batch {total}", total, 0)
        observers |= {v: observers[source] for v, source in same.items() if v not in reduced}
        state = self.context.state
        # what was measured before stays: the inputs of linear ops have other names once they are quantized
        state.channels |= {v.name or "": statistics for v, statistics in channels.items()}
        for value, (chosen, extremes) in observers.items():
            if extremes.empty:
                continue
            low, high = chosen.range(INT_TYPES["uint8"], symmetric=False)
            measured = MeasuredRange(float(low), float(high), float(extremes.low), float(extremes.high))
            if self.options.method in ("entropy", "mse"):
                low, high = chosen.range(INT_TYPES["uint4"], symmetric=False)
                measured = dataclasses.replace(measured, narrow=(float(low), float(high)))
            state.ranges[value.name or ""] = measured
        if total and values and not state.ranges:
            raise QGraphError(f"pass '{self.name}': the data hold no element (batches of size 0); give batches with samples")
        for value, (least, most) in known_ranges(model).items():
            if np.isfinite((least, most)).all():
                state.ranges[value.name or ""] = MeasuredRange(least, most, least, most)
        report.count("values measured", len(values))
        report.count("batches", total)

    @staticmethod
    def _observe(value: ir.Value, observers: tuple[Observer, MinMax], seen: np.ndarray, tested: np.ndarray, number: int) -> None:
        """Show ``seen`` (elements, or their extremes) to the observers; ``tested`` tells of NaN."""
        if not np.isfinite(seen).all() or np.isnan(tested).any():
            node = value.producer()
            place = where(node) if node is not None else f"input {value.name!r}"
            raise QGraphError(f"data batch {number} gives NaN or infinity at {place}; check the data and the float model")
        for one in set(observers):
            one.update(seen)

    def _pair(self) -> tuple[Observer, MinMax]:
        chosen = self._observer()
        return chosen, chosen if type(chosen) is MinMax else MinMax()

    def _observer(self) -> Observer:
        options = self.options
        if options.method == "percentile":
            return Percentile(options.percentile)
        if options.method == "moving-average":
            return MovingAverage(options.momentum)
        return METHODS[options.method]()
