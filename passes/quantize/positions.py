"""Values that no measured range holds: positions, and the angles made of them.

    Shape, Range, CumSum -> Cast -> Mul(frequencies)    grows with the length of the input: the data that ranges are measured on
                                                        says nothing about a longer one
    input ids (int64) -> Cast -> Mul(...) -> Sin, Cos   an angle: what is rounded to 1/256 of its range is another angle
    ... -> Log -> Cast to int64                         arithmetic on indices: a bucket of relative positions

Such values stay float. What is bounded whatever the length is quantized like any other value: sines, masks, and rows that are
looked up by position, whose range is that of the whole table.
"""

from __future__ import annotations

import enum

import onnx_ir as ir

from qgraph.ir.op_traits import Trait, family, has
from qgraph.ir.patterns import constant
from qgraph.ir.weights import input_axis
from qgraph.pipeline import AnalysisState

ANGLES = ("Sin", "Cos")
WIDEST = 16.0
"""Radians: the range of an angle that 8 bits hold to within 1/32."""
INDICES = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL)
"""Types of inputs that count or choose; bytes are pictures."""
COUNTERS = ("Shape", "Size", "Range", "NonZero", "CumSum")
BOUNDED = (*ANGLES, "Tanh", "Sigmoid", "Softmax", "Sign", "ConstantOfShape", "OneHot")
OF_FIRST = ("Expand", "Gather", "GatherElements", "GatherND", "Resize", "Tile", "TopK")
REASON = "it is computed from positions, of which no measured range holds those of longer inputs"


class Source(enum.IntEnum):
    """What a value is computed from; where it is several, the greatest."""

    BOUNDED = 0
    """Constants, bits, what is bounded whatever it is computed from."""
    INDEX = 1
    """Integers that come in as inputs, such as ids and masks, and what is computed from them without a layer."""
    COUNT = 2
    """The sizes of other values, and what counts their elements."""
    DATA = 3
    """Float inputs."""


def unmeasurable(model: ir.Model) -> set[ir.Value]:
    """Float values that stay float whatever the data: positions, angles of positions, arithmetic on indices."""
    sources = _sources(model.graph)
    floats = {v for v, source in sources.items() if v.dtype == ir.DataType.FLOAT and source in (Source.INDEX, Source.COUNT)}
    kept: set[ir.Value] = set()
    for value in reversed(sources):
        if value not in floats:
            continue
        readers = [use.node for use in value.uses()]
        angle = any(n.op_type in ANGLES or n.outputs[0] in kept & floats for n in readers)
        of_indices = bool(readers) and all(n.outputs[0].dtype != ir.DataType.FLOAT or n.outputs[0] in kept for n in readers)
        if sources[value] == Source.COUNT or angle or of_indices:
            kept.add(value)
    return kept


def known_ranges(model: ir.Model) -> dict[ir.Value, tuple[float, float]]:
    """Least and greatest of what positions make, for inputs of any length: of sines and cosines, of rows of a table."""
    sources, positions = _sources(model.graph), unmeasurable(model)
    found = {n.outputs[0]: (-1.0, 1.0) for n in model.graph if n.op_type in ANGLES and n.inputs[0] in positions}
    for node in model.graph:
        if node.op_type != "Gather" or node.outputs[0].dtype != ir.DataType.FLOAT:
            continue
        table = constant(node.inputs[0])
        if table is not None and table.size and sources.get(node.inputs[1]) == Source.COUNT:  # type: ignore[arg-type]
            found[node.outputs[0]] = float(table.min()), float(table.max())
    return found


def wide_angles(model: ir.Model, state: AnalysisState) -> set[ir.Value]:
    """Angles whose measured range is too wide for 8 bits, with what they are computed from element by element."""
    kept: set[ir.Value] = set()
    for node in model.graph:
        known = state.range_of(node.inputs[0]) if node.op_type in ANGLES and node.inputs[0] is not None else None
        work = [node.inputs[0]] if known is not None and known.maximum - known.minimum > WIDEST else []
        while work:
            value = work.pop()
            if value is None or value in kept or value.dtype != ir.DataType.FLOAT or constant(value) is not None:
                continue
            kept.add(value)
            maker = value.producer()
            if maker is not None and (has(maker, Trait.ELEMENTWISE) or has(maker, Trait.MOVES)):
                work += maker.inputs
    return kept


def _sources(graph: ir.Graph) -> dict[ir.Value, Source]:
    """What every value is computed from, in the order of the graph."""
    found = {v: Source.INDEX if v.dtype in INDICES else Source.DATA for v in graph.inputs}

    def of(value: ir.Value | None) -> Source:
        return found.get(value, Source.BOUNDED)  # type: ignore[arg-type]

    for node in graph:
        if node.op_type in COUNTERS:
            data = node.op_type == "CumSum" and of(node.inputs[0]) == Source.DATA
            source = Source.DATA if data else Source.COUNT
        elif node.op_type in BOUNDED and all(of(v) != Source.DATA for v in node.inputs):
            source = Source.BOUNDED
        elif node.op_type == "Where":
            source = max(of(v) for v in node.inputs[1:])
        elif node.op_type in OF_FIRST or (has(node, Trait.MOVES) and node.op_type != "Concat"):
            source = of(node.inputs[0])
        else:
            source = max((of(v) for v in node.inputs), default=Source.BOUNDED)
            source = Source.DATA if source == Source.INDEX and _mixes(node) else source
        for value in node.outputs:
            found[value] = Source.BOUNDED if value.dtype == ir.DataType.BOOL and source != Source.DATA else source
    return found


def _mixes(node: ir.Node) -> bool:
    """Whether ``node`` is a layer: a product with a weight that adds up several elements, which makes features of indices."""
    if family(node) == "conv":
        return True
    weight = constant(node.inputs[1]) if family(node) == "linear" and len(node.inputs) > 1 else None
    return weight is not None and weight.ndim > 1 and weight.shape[input_axis(node)] > 1
