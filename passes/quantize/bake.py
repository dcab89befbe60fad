"""Make trained weights codes.

    W (float) -> QuantizeLinear -> DequantizeLinear   ->   codes -> DequantizeLinear
    W (float) -> FakeQuantizeCodebook                 ->   indices -> levels -> DequantizeLinear
    bias (float) of a linear over quantized inputs    ->   int32 -> DequantizeLinear

The codes are those that the quantizers compute, so the function does not change but for the rounding of biases, which is far
below a step of the accumulator's scale. What training leaves behind becomes what is shipped.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.quantize import codebook
from qgraph.passes.quantize.weights import quantize_bias

from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import constant, is_op, nodes
from qgraph.ir.weights import quantizer_params, read_weight, store_codes
from qgraph.numerics.affine import quantize
from qgraph.pipeline import Pass, PassReport, register


@register("bake")
class Bake(Pass):
    """Turn float weights behind quantizers into codes."""

    def requires(self, model: ir.Model) -> None:
        codebook.check_constants(model)

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in list(nodes(model, "QuantizeLinear")):
            value, array = node.inputs[0], constant(node.inputs[0])
            params = quantizer_params(node)
            if array is None or value is None or params is None:
                continue
            codes = store_codes(model, value, quantize(array, params), params)
            ir.convenience.replace_all_uses_with(node.outputs[0], codes)
            report.count("weights baked")
            report.count("weight bytes saved", array.nbytes - codes.const_value.nbytes)  # type: ignore[union-attr]
        for saved in codebook.bake(model):
            report.count("weights baked")
            report.count("weight bytes saved", saved)
        for node in list(model.graph):
            if not has(node, Trait.LINEAR):
                continue
            x, w = node.inputs[:2]
            if not is_op(x, "DequantizeLinear") or not is_op(w, "DequantizeLinear"):
                continue
            weight, scale = read_weight(w.producer()), constant(x.producer().inputs[1])  # type: ignore[union-attr, arg-type]
            if weight is None or scale is None or scale.size != 1:
                continue
            if quantize_bias(model, node, weight.params, float(scale.reshape(()))):
                report.count("biases baked")
        common.RemoveUnusedNodesPass()(model)
