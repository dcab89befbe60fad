"""Masks of attention scores, whatever way they are written, become sums behind one scale.

    Where(m, s, -1e4)                  ->  s + Where(m, 0, -1e30)       an infinite fill stays infinite
    s - a                              ->  s + -a
    s * b + (1 - b) * -1e4, b 0 or 1   ->  s + (1 - b) * 1e30 * -1
    (s + a) * c                        ->  s * c + a * c
    Max(s + a, -3e38)                  ->  s + Max(a, -1e30)
    (s + a) + b                        ->  s + (a + b)

s is the product of two activations, and what is behind it reaches nothing but a Softmax over the last axis. There a masked
element is 0 whatever the fill, and a row that is masked wholly is uniform as before: 1e30 absorbs every score, as the largest
float32 does. Models of ``transformers`` (Wolf et al. 2020) have all of these. A value whose fill changes gets another name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.canonicalize.simplify_masks import refresh_shapes

from qgraph.ir.matchers.attention import is_score, only_softmax, scaled
from qgraph.ir.patterns import add_initializer, constant, is_op, new_node, nodes, replace, scalar
from qgraph.pipeline import Pass, PassReport, register

FILL, FAR = -1e30, -1e4
"""What finite fills become, and the number below which an element is masked."""


@register("masks-as-sums")
class MasksAsSums(Pass):
    """Where, Sub, Mul, Max and scales around attention masks become one sum."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        self.model = model
        rules: dict[str, Callable[[ir.Node], ir.Value | None]] = {
            "Where": self._filled,
            "Sub": self._subtracted,
            "Add": self._added,
            "Max": self._bounded,
            "Mul": self._scaled,
            "Div": self._scaled,
        }
        for node in nodes(model, *rules):
            out = node.outputs[0]
            if node.graph is None or not is_score(out) or not only_softmax(out):
                continue
            self.refilled = False
            made = rules[node.op_type](node)
            if made is not None:
                replace(out, made)
                if self.refilled:
                    made.name = f"{made.name}_masked"
                report.count("masks of scores")
        if report.counts:
            common.RemoveUnusedNodesPass()(model)
            refresh_shapes(model)

    def _new(self, node: ir.Node, op: str, inputs: list[ir.Value | None], what: str) -> ir.Value:
        """A value in front of ``node``; its shape is found with those of the sums."""
        made = new_node(node, op, inputs, name=f"{node.name or node.outputs[0].name}_{what}")
        out = made.outputs[0]
        out.name, out.type = f"{node.outputs[0].name}_{what}", ir.TensorType(ir.DataType.FLOAT)
        node.graph.insert_before(node, made)  # type: ignore[union-attr]
        return out

    def _number(self, node: ir.Node, number: float, what: str) -> ir.Value:
        return add_initializer(self.model, f"{node.outputs[0].name}_{what}", np.array(number, np.float32))

    def _filled(self, node: ir.Node) -> ir.Value | None:
        condition, *sides = node.inputs
        place = 1 if is_score(sides[0]) else 0  # of the fill
        array = constant(sides[place])
        if array is None or array.size == 0 or not (array <= FAR).all() or np.unique(array).size != 1:
            return None
        number = float(array.reshape(-1)[0])
        self.refilled = number > FILL
        fill, zero = self._number(node, min(number, FILL), "fill"), self._number(node, 0.0, "zero")
        mask = self._new(node, "Where", [condition, *((zero, fill) if place == 1 else (fill, zero))], "mask")
        return self._new(node, "Add", [sides[1 - place], mask], "sum")

    def _subtracted(self, node: ir.Node) -> ir.Value | None:
        a, b = node.inputs
        if not is_score(a):
            return None
        if (found := scaled(b)) is not None:
            negative = self._new(node, "Mul", [found[0], self._number(node, -found[1], "factor")], "mask")
        else:
            negative = self._new(node, "Neg", [b], "mask")
        return self._new(node, "Add", [a, negative], "sum")

    def _added(self, node: ir.Node) -> ir.Value | None:
        a, b = node.inputs if is_score(node.inputs[0]) else node.inputs[::-1]
        if (kept := self._multiplied(node, a, b)) is not None:
            return kept
        if not is_op(a, "Add") or len(a.uses()) != 1:  # type: ignore[union-attr]
            return None
        one, other = a.producer().inputs  # type: ignore[union-attr]
        if not is_score(one):
            one, other = other, one
        return self._new(node, "Add", [one, self._new(node, "Add", [other, b], "mask")], "sum")

    def _multiplied(self, node: ir.Node, a: ir.Value | None, b: ir.Value | None) -> ir.Value | None:
        """``s * keep + b`` where b is far below zero where keep is 0, and 0 where it is 1."""
        if not is_op(a, "Mul"):
            return None
        s, keep = a.producer().inputs if is_score(a.producer().inputs[0]) else a.producer().inputs[::-1]  # type: ignore[union-attr]
        array, added = constant(keep), constant(b)
        if array is not None and added is not None and np.isin(array, (0, 1)).all():
            array, added = np.broadcast_arrays(array, added)
            if (added[array == 0] <= FAR).all() and not added[array == 1].any():
                self.refilled = True
                mask = np.where(array == 0, np.float32(FILL), np.float32(0))
                return self._new(node, "Add", [s, add_initializer(self.model, f"{node.outputs[0].name}_mask", mask)], "sum")
        found = scaled(b)
        if found is None or found[1] > FAR or not _is_flag(keep) or not is_op(found[0], "Sub"):
            return None
        one, flag = found[0].producer().inputs  # type: ignore[union-attr]
        if scalar(one) != 1 or flag is not keep:
            return None
        self.refilled = True
        mask_value = self._new(node, "Mul", [found[0], self._number(node, FILL, "fill")], "mask")
        return self._new(node, "Add", [s, mask_value], "sum")

    def _bounded(self, node: ir.Node) -> ir.Value | None:
        if len(node.inputs) != 2:
            return None
        a, low = node.inputs if is_score(node.inputs[0]) else node.inputs[::-1]
        bound = scalar(low)
        if bound is None or bound > FILL or not is_op(a, "Add") or len(a.uses()) != 1:  # type: ignore[union-attr]
            return None
        one, other = a.producer().inputs  # type: ignore[union-attr]
        if not is_score(one):
            one, other = other, one
        self.refilled = True
        mask = self._new(node, "Max", [other, self._number(node, FILL, "fill")], "mask")
        return self._new(node, "Add", [one, mask], "sum")

    def _scaled(self, node: ir.Node) -> ir.Value | None:
        found = scaled(node.outputs[0])
        if found is None or found[1] <= 0 or not is_op(found[0], "Add") or len(found[0].uses()) != 1:
            return None
        one, other = found[0].producer().inputs  # type: ignore[union-attr]
        if not is_score(one):
            one, other = other, one
        place = 0 if node.inputs[0] is found[0] else 1
        products = []
        for value, what in ((one, "scaled"), (other, "mask")):
            inputs = list(node.inputs)
            inputs[place] = value
            products.append(self._new(node, node.op_type, inputs, what))
        return self._new(node, "Add", [*products], "sum")


def _is_flag(value: ir.Value | None) -> bool:
    """Whether ``value`` is a bool as a number."""
    return is_op(value, "Cast") and value.producer().inputs[0].dtype == ir.DataType.BOOL  # type: ignore[union-attr]
