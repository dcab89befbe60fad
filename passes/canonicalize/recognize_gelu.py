"""Recognise decomposed GELU.

    erf form:   0.5 * x * (1 + erf(x / sqrt 2))                                  ->  Gelu(x)
    tanh form:  0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3)))          ->  Gelu(x, approximate=tanh)

Source: Hendrycks and Gimpel 2016; the product's factors may come in any order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.ir.patterns import constant, is_op, new_node, nodes, replace, scalar
from qgraph.pipeline import Pass, PassReport, register


def close(value: float | None, wanted: float) -> bool:
    return value is not None and math.isclose(value, wanted, rel_tol=1e-3)


def factors(value: ir.Value | None, x: ir.Value | None = None) -> list[ir.Value | None]:
    """Flatten a tree of Mul into its leaves; ``x`` is one, whatever makes it."""
    if value is x or not is_op(value, "Mul"):
        return [value]
    node = value.producer()  # type: ignore[union-attr]
    assert node is not None
    return [leaf for v in node.inputs for leaf in factors(v, x)]


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
    number, rest = split(factors(t, x))
    return rest == [x] and close(number, 1 / math.sqrt(2))


def is_cube(value: ir.Value | None, x: ir.Value) -> bool:
    if is_op(value, "Pow"):
        a, b = value.producer().inputs  # type: ignore[union-attr]
        return a is x and close(scalar(b), 3.0)
    return factors(value, x) == [x, x, x]


def is_tanh_argument(t: ir.Value | None, x: ir.Value) -> bool:
    number, rest = split(factors(t, x))
    terms = list(rest[0].producer().inputs) if len(rest) == 1 and is_op(rest[0], "Add") else []  # type: ignore[union-attr]
    if not close(number, math.sqrt(2 / math.pi)) or x not in terms:
        return False
    other = terms[1] if terms[0] is x else terms[0]
    number, rest = split(factors(other, x))
    cubic = is_cube(rest[0], x) if len(rest) == 1 else rest == [x, x, x]
    return close(number, 0.044715) and cubic


def arguments(bracket: ir.Value | None) -> Iterator[tuple[ir.Value, str]]:
    """What ``bracket`` may be 1 + erf or 1 + tanh of, in GELU's way, and which."""
    for op, is_argument, form in (("Erf", is_erf_argument, "none"), ("Tanh", is_tanh_argument, "tanh")):
        t = plus_one(bracket, op)
        makers = [v.producer() for v in (t, *factors(t)) if v is not None]
        found = [*factors(t), *(x for node in makers if node is not None for x in node.inputs)]
        yield from ((x, form) for x in dict.fromkeys(found) if x is not None and is_argument(t, x))


def gelu_of(out: ir.Value) -> tuple[ir.Value, str] | None:
    """The x and the form of the GELU that ``out`` is; None where it is none."""
    for bracket in factors(out):
        for x, form in arguments(bracket):
            number, rest = split(factors(out, x))
            if close(number, 0.5) and rest in ([x, bracket], [bracket, x]):
                return x, form
    return None


@register("recognize-gelu")
class RecognizeGelu(Pass):
    """Replace the erf and tanh forms of GELU by the ONNX op."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, "Mul"):
            if node.graph is None or constant(node.outputs[0]) is not None:
                continue
            if (found := gelu_of(node.outputs[0])) is not None:
                new = new_node(node, "Gelu", [found[0]], {"approximate": found[1]}, name=f"{node.name}_gelu")
                node.graph.insert_before(node, new)
                replace(node.outputs[0], new.outputs[0])
                report.count(f"gelu ({found[1]})")
        if report.counts:
            common.RemoveUnusedNodesPass()(model)
