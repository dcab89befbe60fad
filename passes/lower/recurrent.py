"""LSTM, GRU and RNN.

LSTM<activations, activation_alpha, activation_beta>   ->   the same with a number for each activation of each direction
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from qgraph.passes.lower.registry import float_form
from qgraph.passes.lower.values import f32

from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import RecurrentFunction
from qgraph.ir.integer_ops.recurrent import FUNCTIONS, PARAMETERS, WITH_BETA
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


@float_form("LSTM", "GRU", "RNN")
def recurrent(low: Lowering, node: ir.Node) -> tuple[list[ir.Value | None], dict[str, Any]]:
    return [low.any(v) for v in node.inputs], attributes_of(low, node)


def attributes_of(low: Lowering, node: ir.Node) -> dict[str, Any]:
    """The attributes that the node has in a program."""
    names = attr(node, "activations")
    listed = ("activations", "activation_alpha", "activation_beta", "output_sequence")
    return {k: v for k, v in low.attributes(node, without=listed).items()} | (activations(node, names) if names else {})


def activations(node: ir.Node, names: list[str]) -> dict[str, Any]:
    """The activations as numbers. Those that have an alpha or a beta take the next one of the node's, or their own."""
    members = RecurrentFunction.__members__
    unknown = [name for name in names if name.upper() not in members]
    if unknown:
        known = ", ".join(members).lower()
        raise QGraphError(f"{where(node)}: activation {unknown[0]!r} is unknown; a program knows {known}")
    directions = 1 + (attr(node, "direction", "forward") == "bidirectional")
    count = directions * len(FUNCTIONS[node.op_type])
    if len(names) != count:
        raise QGraphError(
            f"{where(node)} has {len(names)} activations; {count} are needed: {len(names) // directions} a direction"
        )
    given = {name: iter(attr(node, f"activation_{name}") or ()) for name in ("alpha", "beta")}
    kinds = [RecurrentFunction[name.upper()] for name in names]
    alphas, betas = [], []
    for kind in kinds:
        alpha, beta = PARAMETERS.get(kind, (0.0, 0.0))
        alphas.append(f32(next(given["alpha"], alpha)) if kind in PARAMETERS else 0.0)
        betas.append(f32(next(given["beta"], beta)) if kind in WITH_BETA else 0.0)
    return {"activations": [int(k) for k in kinds], "activation_alpha": alphas, "activation_beta": betas}
