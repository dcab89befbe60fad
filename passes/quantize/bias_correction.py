"""Take the mean error of weight rounding out of the biases (Nagel et al. 2019, section 4.2, with measured means).

b  ->  b - (W^ - W) E[x]        per output channel; W^ the dequantized weight, x the input on the user's data
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.values import weight_of
from qgraph.passes.quantize.plan import SMOOTH

from qgraph.errors import QGraphError
from qgraph.ir.patterns import attr, constant, is_op, only_user
from qgraph.numerics.affine import dequantize
from qgraph.pipeline import Pass, PassReport, register


@register("bias-correction")
class BiasCorrection(Pass):
    """Correct the biases of quantized linear ops by the mean of their inputs; runs after ``calibrate`` and ``quantize``."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        reference = self.context.reference
        if reference is None:
            raise QGraphError("pass 'bias-correction' needs the float model; put it behind 'quantize' in one pipeline")
        floats = {n.name: n for n in reference.graph}
        pairs = []
        for node in model.graph:
            twin = floats.get(node.name)
            if node.op_type not in ("Conv", "Gemm", "MatMul") or twin is None or not is_op(node.inputs[1], "DequantizeLinear"):
                continue
            weight = weight_of(node.inputs[1].producer())  # type: ignore[union-attr, arg-type]
            bias = self._bias(node)
            if weight is not None and bias is not None and attr(node, "group", 1) == 1:
                pairs.append((node, twin, dequantize(weight.codes, weight.params), bias))
        for node, twin, restored, bias in pairs:
            mean, weight_float = self._mean(twin.inputs[0]), constant(twin.inputs[1])
            if mean is None or weight_float is None:
                continue
            error = restored.astype(np.float64) - weight_float
            if node.op_type == "Conv":
                shift = error.sum(tuple(range(2, error.ndim))) @ mean
            else:
                shift = (error if attr(node, "transB", 0) else error.T) @ mean
            self._shift(bias, shift)
            report.count("biases corrected")

    @staticmethod
    def _bias(node: ir.Node) -> ir.Value | None:
        """The bias of ``node``: its input, or the vector added behind a MatMul."""
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            return node.inputs[2]
        user = only_user(node.outputs[0])
        if node.op_type != "MatMul" or user is None or user.op_type != "Add":
            return None
        other = user.inputs[1] if user.inputs[0] is node.outputs[0] else user.inputs[0]
        array = constant(other)
        return other if array is not None and array.ndim == 1 and other is not None and len(other.uses()) == 1 else None

    def _mean(self, value: ir.Value | None) -> np.ndarray | None:
        """Mean of each channel of a linear op's input; a smoothed input is its source times a constant."""
        if value is None:
            return None
        producer = value.producer()
        if producer is not None and producer.metadata_props.get(SMOOTH):
            source, factor = self._mean(producer.inputs[0]), constant(producer.inputs[1])
            return None if source is None or factor is None else source * factor
        known = self.context.channels.get(value.name or "")
        return known.mean if known is not None and known.count else None

    @staticmethod
    def _shift(bias: ir.Value, shift: np.ndarray) -> None:
        producer = bias.producer()
        if producer is None:
            array = constant(bias)
            assert array is not None
            bias.const_value = ir.Tensor((array - shift).astype(np.float32), name=bias.name)
            return
        source = producer.inputs[0]
        codes, scale = constant(source), constant(producer.inputs[1])
        assert codes is not None and scale is not None and source is not None
        moved = np.rint(codes - shift / scale.astype(np.float64))
        source.const_value = ir.Tensor(np.clip(moved, -(2**31) + 1, 2**31 - 1).astype(np.int32), name=source.name)
