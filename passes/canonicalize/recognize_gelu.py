"""Recognise decomposed GELU.

    erf form:   0.5 * x * (1 + erf(x / sqrt 2))                                  ->  Gelu(x)
    tanh form:  0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3)))          ->  Gelu(x, approximate=tanh)

Source: Hendrycks and Gimpel 2016; the product's factors may come in any order.
"""

from __future__ import annotations

import math

import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.ir.patterns import constant, is_op, new_node, nodes, replace, scalar
from qgraph.pipeline import Pass, PassReport, register


def close(value: float | None, wanted: float) -> bool:
    return value is not None and math.isclose(value, wanted, rel_tol=1e-3)


def factors(value: ir.Value | None, op: str) -> list[ir.Value | None]:
    """Flatten a tree of commutative ``op`` (Add or Mul) into its leaves."""
    if not is_op(value, op):
        return [value]
    node = value.producer()  # type: ignore[union-attr]
    assert node is not None
    return [leaf for v in node.inputs for leaf in factors(v, op)]


def split(leaves: list[ir.Value | None]) -> tuple[float, list[ir.Value | None]]:
    """The product of the scalar constants among ``leaves``, and the others."""
    number, rest = 1.0, []
    for leaf in leaves:
        if (s := scalar(leaf)) is not None:
            number *= s
        else:
            rest.append(leaf)
    return number, rest


def plus_one(value: ir.Value | None, *inner: str) -> ir.Value | None:
    """The argument t of ``1 + inner(t)``."""
    if not is_op(value, "Add"):
        return None
    a, b = value.producer().inputs  # type: ignore[union-attr]
    for one, other in ((a, b), (b, a)):
        if close(scalar(one), 1.0) and is_op(other, *inner):
            return other.producer().inputs[0]  # type: ignore[union-attr]
    return None


def is_erf_argument(t: ir.Value | None, x: ir.Value) -> bool:
    if is_op(t, "Div"):
        a, b = t.producer().inputs  # type: ignore[union-attr]
        return a is x and close(scalar(b), math.sqrt(2))
    number, rest = split(factors(t, "Mul"))
    return rest == [x] and close(number, 1 / math.sqrt(2))


def is_cube(value: ir.Value | None, x: ir.Value) -> bool:
    if is_op(value, "Pow"):
        a, b = value.producer().inputs  # type: ignore[union-attr]
        return a is x and close(scalar(b), 3.0)
    return factors(value, "Mul") == [x, x, x]


def is_tanh_argument(t: ir.Value | None, x: ir.Value) -> bool:
    number, rest = split(factors(t, "Mul"))
    if not close(number, math.sqrt(2 / math.pi)) or len(rest) != 1:
        return False
    terms = factors(rest[0], "Add")
    if len(terms) != 2 or x not in terms:
        return False
    other = terms[1] if terms[0] is x else terms[0]
    number, rest = split(factors(other, "Mul"))
    cubic = is_cube(rest[0], x) if len(rest) == 1 else rest == [x, x, x]
    return close(number, 0.044715) and cubic


@register("recognize-gelu")
class RecognizeGelu(Pass):
    """Replace the erf and tanh forms of GELU by the ONNX op."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, "Mul"):
            if node.graph is None or constant(node.outputs[0]) is not None:
                continue
            number, rest = split(factors(node.outputs[0], "Mul"))
            if len(rest) != 2 or not close(number, 0.5):
                continue
            for x, bracket in (rest, rest[::-1]):
                if x is None:
                    continue
                erf, tanh = plus_one(bracket, "Erf"), plus_one(bracket, "Tanh")
                if erf is not None and is_erf_argument(erf, x):
                    form = "none"
                elif tanh is not None and is_tanh_argument(tanh, x):
                    form = "tanh"
                else:
                    continue
                new = new_node(node, "Gelu", [x], {"approximate": form}, name=f"{node.name}_gelu")
                node.graph.insert_before(node, new)
                replace(node.outputs[0], new.outputs[0])
                report.count(f"gelu ({form})")
                break
        if report.counts:
            common.RemoveUnusedNodesPass()(model)
