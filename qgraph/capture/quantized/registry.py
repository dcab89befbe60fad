"""Which quantized ops of other tools are rewritten: one table, filled by a decorator.

A function takes (builder, node), puts nodes of the standard domain in front of the node and lets its readers read them.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from qgraph.capture.quantized.builder import Builder

MICROSOFT = "com.microsoft"
Rewrite = Callable[[Builder, ir.Node], None]
REWRITES: dict[tuple[str, str], Rewrite] = {}
"""By (domain, op type)."""


def rewrites(*op_types: str, domain: str = MICROSOFT) -> Callable[[Rewrite], Rewrite]:
    """Register a function as the standard form of ops."""

    def keep(function: Rewrite) -> Rewrite:
        REWRITES.update({(domain, op): function for op in op_types})
        return function

    return keep
