"""What the exporter cannot take of an exported program, or makes something else of: refused, or said as it can.

attention(q, k, v) of 3 dims   ->   unsqueeze, attention of 4 dims, squeeze
"""

from __future__ import annotations

import re
from typing import Any

from qgraph.errors import QGraphError


def check_program(program: Any, origin: str) -> None:
    """Raise ``QGraphError`` for outputs that are neither tensors nor None, LSTMs with projections, and attention of 5 dims.

    Args:
        program: a ``torch.export.ExportedProgram``.
        origin: the name of its module.
    """
    from torch.export.graph_signature import ConstantArgument, OutputKind

    specs = [s for s in program.graph_signature.output_specs if s.kind == OutputKind.USER_OUTPUT]
    for place, spec in enumerate(specs):
        value = spec.arg.value if isinstance(spec.arg, ConstantArgument) else None
        if value is not None:
            raise QGraphError(
                f"output {place} of {origin} is the {type(value).__name__} {value!r}, and a graph has tensors alone; leave it "
                "out, or return torch.tensor of it"
            )
    for node in program.graph.nodes:
        target = str(node.target)
        if target.startswith("aten.lstm."):
            h, c = next(a for a in node.args if isinstance(a, list | tuple))[:2]
            if h.meta["val"].shape[-1] != c.meta["val"].shape[-1]:
                raise QGraphError(
                    f"an LSTM of {origin} has a proj_size, which ONNX's has not{_line(node)}; put a Linear behind one without"
                )
        elif target == "aten.scaled_dot_product_attention.default" and (rank := node.args[0].meta["val"].ndim) not in (3, 4):
            raise QGraphError(
                f"scaled_dot_product_attention of {origin} has {rank} dims, of which the exporter takes 3 or 4{_line(node)}; "
                "reshape what it takes to [batch, heads, tokens, width]"
            )


def _line(node: Any) -> str:
    lines = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    return f" (at {lines[-1][0]}:{lines[-1][1]})" if lines else ""


def give_heads(program: Any) -> None:
    """Give fused attention of [batch, tokens, width] another dim in front; the exporter knows [batch, heads, tokens, width]."""
    import torch

    aten = torch.ops.aten
    for node in list(program.graph.nodes):
        if node.target is not aten.scaled_dot_product_attention.default or node.args[0].meta["val"].ndim != 3:
            continue
        with program.graph.inserting_before(node):
            given = [_like(node, aten.unsqueeze.default, a) if _is_stack(a) else a for a in node.args]
        made, node.meta["val"] = node.meta["val"], node.meta["val"].unsqueeze(0)
        node.args = tuple(given)
        with program.graph.inserting_after(node):
            out = _like(node, aten.squeeze.dim, node)
        assert out.meta["val"].shape == made.shape
        node.replace_all_uses_with(out, delete_user_cb=lambda user, out=out: user is not out)
        program.graph_signature.replace_all_uses(node.name, out.name)
    program.graph_module.recompile()


def _is_stack(value: Any) -> bool:
    return hasattr(value, "meta") and value.meta["val"].ndim == 3


def _like(origin: Any, target: Any, value: Any) -> Any:
    """A node that calls ``target`` on dim 0 of ``value``, with the module and source line of ``origin``."""
    made = origin.graph.call_function(target, (value, 0))
    made.meta = {**origin.meta, "val": target(value.meta["val"], 0)}
    return made
