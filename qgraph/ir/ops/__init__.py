"""Ops of domain ``qgraph``: each declared once, as an onnxscript function."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.dialects import DOMAIN
from qgraph.ir.ops.fake_quantize_codebook import FakeQuantizeCodebook
from qgraph.ir.ops.fake_quantize_tokens import FakeQuantizeTokens, QuantizeTokens
from qgraph.ir.ops.mask import Mask
from qgraph.ir.ops.tap import Tap

FUNCTIONS = {f.name: f for f in (FakeQuantizeCodebook, FakeQuantizeTokens, Mask, QuantizeTokens, Tap)}


def attach(model: ir.Model) -> None:
    """Add to ``model`` the definitions of the ``qgraph`` ops that it uses, so that any ONNX engine runs it."""
    used = {n.op_type for n in model.graph if n.domain == DOMAIN}
    for name in sorted(used):
        function = ir.serde.deserialize_function(FUNCTIONS[name].to_function_proto())
        # ONNX wants one opset in a file; what these functions use means the same in every later one
        function.opset_imports[""] = max(function.opset_imports[""], model.graph.opset_imports.get("", 0))
        model.functions[function.identifier()] = function
    if used:
        model.graph.opset_imports[DOMAIN] = 1
