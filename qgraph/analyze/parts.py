"""The parts of joined outputs: how well each range is kept where an output holds several.

A detector's output joins boxes (0 to 320) and scores (0 to 1). Its SQNR is that of the boxes, whatever became of the scores.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.analyze.difference import Difference
from qgraph.ir.joins import handed, joins_at_outputs
from qgraph.ir.patterns import new_node

APART = 16.0
"""Times by which the largest magnitude of a group of parts exceeds that of the next smaller part."""
LABELS = "__parts"
"""Ends the names of values that hold numbers of parts."""


def label_outputs(model: ir.Model) -> tuple[ir.Model, dict[str, ir.Value], list[str]]:
    """A copy of ``model`` that also computes from which part every element of its joined outputs comes.

    Returns:
        the copy (``model`` itself where no output is joined); by name of an output a value of its shape that holds the numbers of
        parts, float32; the names of the parts by number.
    """
    joins = joins_at_outputs(model.graph)
    if len(joins.parts) < 2:
        return model, {}, []
    copy = model.clone()
    joins = joins_at_outputs(copy.graph)
    labels: dict[ir.Value, ir.Value] = {}
    for node in [n for n in copy.graph if n in joins.nodes]:
        made = []
        for part in handed(node):
            if part not in labels:
                shape = new_node(node, "Shape", [part])
                number = ir.tensor(np.array([list(joins.parts).index(part)], np.float32))
                fill = new_node(node, "ConstantOfShape", [shape.outputs[0]], {"value": number})
                labels[part] = fill.outputs[0]
                shape.outputs[0].name, fill.outputs[0].name = f"{part.name}__shape{LABELS}", f"{part.name}{LABELS}"
                made += [shape, fill]
        rest = [] if node.op_type == "Concat" else node.inputs[1:]
        twin = new_node(node, node.op_type, [*(labels[v] for v in handed(node)), *rest], outputs=len(node.outputs))
        twin.attributes.update(node.attributes)
        for old, new in zip(node.outputs, twin.outputs, strict=True):
            new.name, new.dtype = f"{old.name}{LABELS}", ir.DataType.FLOAT
            labels[old] = new
        copy.graph.insert_after(node, [*made, twin])
    found = {v.name or "": labels[v] for v in copy.graph.outputs if v in labels}
    return copy, found, [v.name or "" for v in joins.parts]


class Parts:
    """Accumulated differences of the parts of the output ``name``."""

    def __init__(self, name: str, parts: list[str]) -> None:
        self.name = name
        self.differences = [Difference(part) for part in parts]

    def update(self, labels: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        """Compare ``x`` with ``y``, element by element of the part whose number ``labels`` holds in its place."""
        for number in np.unique(labels):
            of_part = labels == number
            self.differences[int(number)].update(x[of_part], y[of_part])

    def groups(self) -> list[Difference]:
        """Parts of like ranges together, from the smallest; none where all ranges are alike."""
        groups: list[Difference] = []
        names: list[list[str]] = []
        for part in sorted((d for d in self.differences if d.peak), key=lambda d: d.peak):
            if not groups or part.peak > APART * groups[-1].peak:
                groups.append(Difference(""))
                names.append([])
            groups[-1].add(part)
            names[-1].append(part.name)
        for group, parts in zip(groups, names, strict=True):
            more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
            group.name = f"{self.name} (part {parts[0]}{more})"
        return groups if len(groups) > 1 else []
