"""LSTM, GRU and RNN: their activations, and whether their state is quantized."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import RecurrentFunction
from qgraph.ir.integer_ops.recurrent import FUNCTIONS, PARAMETERS, WITH_BETA
from qgraph.ir.op_traits import family

STATES = "qgraph.states"
"""Metadata of a recurrent node that says how a row of its state is quantized in each step, before its product with R:
``tokens``, as FakeQuantizeTokens does. ONNX has no name for it, so an engine that does not know it keeps the state float."""


def quantizes_states(node: ir.Node | None) -> bool:
    """Whether ``node`` is a recurrent op whose state is quantized."""
    return node is not None and family(node) == "recurrent" and node.metadata_props.get(STATES) == "tokens"


def quantize_states(node: ir.Node) -> None:
    """Let the recurrent op quantize its state."""
    node.metadata_props[STATES] = "tokens"


Activation = tuple[RecurrentFunction, float, float]
"""A function, alpha and beta."""


def activations(
    op: str, directions: int, names: Sequence[str] | None, alpha: Sequence[float] | None, beta: Sequence[float] | None
) -> list[Activation]:
    """The activations of all directions of a node; where ``names`` is None or empty, those that ONNX means.

    Functions with an alpha or a beta take the next one of the node's, and those of their ONNX op where none is left.

    Raises:
        QGraphError: a name is none of ONNX's, or there are not as many as the op needs.
    """
    usual = FUNCTIONS[op]
    if not names:
        return [(kind, 0.0, 0.0) for kind in usual] * directions
    members = RecurrentFunction.__members__
    unknown = [name for name in names if name.upper() not in members]
    if unknown:
        raise QGraphError(f"activation {unknown[0]!r} is unknown; ONNX has {', '.join(members).lower()}")
    if len(names) != directions * len(usual):
        raise QGraphError(f"it has {len(names)} activations; {directions * len(usual)} are needed: {len(usual)} a direction")
    alphas, betas = iter(alpha or ()), iter(beta or ())
    made = []
    for kind in (RecurrentFunction[name.upper()] for name in names):
        a, b = PARAMETERS.get(kind, (0.0, 0.0))
        made.append((kind, next(alphas, a) if kind in PARAMETERS else 0.0, next(betas, b) if kind in WITH_BETA else 0.0))
    return made
