"""Convolutions and pools on codes."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.capture.quantized.builder import Builder
from qgraph.capture.quantized.registry import MICROSOFT, rewrites
from qgraph.ir.patterns import attr


def _attributes(node: ir.Node, *left_out: str) -> dict[str, object]:
    return {name: attr(node, name) for name in node.attributes if name not in left_out}


@rewrites("QLinearConv", domain="")
@rewrites("QLinearConv", domain=MICROSOFT)
def convolution(b: Builder, node: ir.Node) -> None:
    """Inputs: x, its scale and zero point, the same of w and y, and a bias of int32 at scale ``s_x * s_w``."""
    x, w, out = b.needed(0), b.needed(3), node.outputs[0]
    last = attr(node, "channels_last", 0)
    real, back = b.dequantized(x, b.needed(1), b.input(2)), None
    if last:
        real, back = b.channels_first(real)
    inputs: list[ir.Value | None] = [real, b.dequantized(w, b.needed(4), b.input(5), axis=0)]
    if (bias := b.input(8)) is not None:
        scale = b.product(b.needed(1), b.needed(4), f"{bias.name}_scale")
        inputs.append(b.dequantized(bias, scale, None, axis=0))
    made = b.add("Conv", inputs, _attributes(node, "channels_last"), name=f"{out.name}_conv")
    b.finish_codes(made if back is None else b.turned(made, back, f"{out.name}_last"), b.needed(6), b.input(7))


@rewrites("QLinearAveragePool", "QLinearGlobalAveragePool")
def average(b: Builder, node: ir.Node) -> None:
    """Inputs: x, its scale and zero point, the same of y."""
    real, back = b.dequantized(b.needed(0), b.needed(1), b.input(2)), None
    if attr(node, "channels_last", 0):
        real, back = b.channels_first(real)
    made = b.add(
        node.op_type.removeprefix("QLinear"), [real], _attributes(node, "channels_last"), name=f"{node.outputs[0].name}_pool"
    )
    b.finish_codes(made if back is None else b.turned(made, back, f"{node.outputs[0].name}_last"), b.needed(3), b.input(4))
