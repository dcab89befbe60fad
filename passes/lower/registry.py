"""Which ONNX ops have an integer kernel, and what it can take into itself: one table, filled by decorators.

A function takes (lowering, node, value, spec): it emits the kernel that computes ``value``, an output of ``node``, as ``spec``
says, and returns the value in the integer graph; None when it does not fit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from qgraph.passes.lower.values import QuantSpec

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering

Emit = Callable[["Lowering", ir.Node, ir.Value, QuantSpec], ir.Value | None]


@dataclasses.dataclass(frozen=True)
class Rule:
    """The integer form of an op.

    Attributes:
        emit: emits its kernel.
        alone: whether it has a kernel of its own whatever stands around it and whatever is constant.
        writes_float: whether its kernel can write float32 in place of codes.
        clamps: whether its kernel can clamp its codes, so that a Relu or Clip behind it costs nothing.
        all_outputs: whether it computes every output, not the first alone.
    """

    emit: Emit
    alone: bool = True
    writes_float: bool = False
    clamps: bool = False
    all_outputs: bool = False


RULES: dict[str, Rule] = {}
"""By op type of the default domain."""


def lowers(
    *op_types: str, alone: bool = True, writes_float: bool = False, clamps: bool = False, all_outputs: bool = False
) -> Callable[[Emit], Emit]:
    """Register a function as the integer form of ops; see ``Rule``."""

    def keep(function: Emit) -> Emit:
        RULES.update(dict.fromkeys(op_types, Rule(function, alone, writes_float, clamps, all_outputs)))
        return function

    return keep


FloatForm = Callable[["Lowering", ir.Node], tuple[list[ir.Value | None], dict[str, Any]]]
FLOAT_FORMS: dict[str, FloatForm] = {}
"""By op type of the default domain: the inputs and attributes with which a program holds a node that is not quantized, where
they are not simply its own."""


def float_form(*op_types: str) -> Callable[[FloatForm], FloatForm]:
    """Register a function as the way in which ops stand in a program unquantized; see ``FLOAT_FORMS``."""

    def keep(function: FloatForm) -> FloatForm:
        FLOAT_FORMS.update(dict.fromkeys(op_types, function))
        return function

    return keep


NestedForm = Callable[["Lowering", ir.Node], list[ir.Value]]
NESTED_FORMS: dict[str, NestedForm] = {}
"""By op type of the default domain: makes a node that runs graphs of its own; returns the outputs of the new node."""


def nested_form(op_type: str) -> Callable[[NestedForm], NestedForm]:
    """Register a function as the way in which an op with graphs stands in a program; see ``NESTED_FORMS``."""

    def keep(function: NestedForm) -> NestedForm:
        NESTED_FORMS[op_type] = function
        return function

    return keep


def rule_of(node: ir.Node) -> Rule | None:
    """The integer form of ``node``'s op, None where it has none."""
    return None if node.domain else RULES.get(node.op_type)
