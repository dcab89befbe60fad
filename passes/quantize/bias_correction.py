"""Take the mean error of weight rounding out of the biases (Nagel et al. 2019, section 4.2, with measured means).

b  ->  b - (W^ - W) E[x]        per output channel; W^ the dequantized weight, x the input on the user's data
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.matchers.linear import bias_of
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import attr, constant, is_op
from qgraph.ir.weights import read_weight, weight_axes
from qgraph.numerics.affine import dequantize
from qgraph.pipeline import Pass, PassReport, register


@register("bias-correction")
class BiasCorrection(Pass):
    """Correct the biases of quantized linear ops by the mean of their inputs; runs after ``calibrate`` and ``quantize``."""

    def requires(self, model: ir.Model) -> None:
        if self.context.state.reference is None:
            raise QGraphError("pass 'bias-correction' needs the float model; put it behind 'quantize' in one pipeline")

    def apply(self, model: ir.Model, report: PassReport) -> None:
        reference = self.context.state.reference
        assert reference is not None
        floats = {n.name: n for n in reference.graph}
        pairs = []
        for node in model.graph:
            twin = floats.get(node.name)
            if not has(node, Trait.LINEAR) or twin is None or not is_op(node.inputs[1], "DequantizeLinear"):
                continue
            if node.op_type == "ConvTranspose":  # with a stride an output sees a part of the weight only
                continue
            weight = read_weight(node.inputs[1].producer())  # type: ignore[union-attr, arg-type]
            bias = self._bias(node)
            if weight is not None and bias is not None and attr(node, "group", 1) == 1:
                pairs.append((node, twin, dequantize(weight.codes, weight.params), bias))
        for node, twin, restored, bias in pairs:
            mean, weight_float = self._mean(twin.inputs[0]), constant(twin.inputs[1])
            if mean is None or weight_float is None:
                continue
            error = restored.astype(np.float64) - weight_float
            inputs, outputs = weight_axes(node)
            matrix = error.sum(tuple(i for i in range(error.ndim) if i not in (inputs, outputs)))
            self._shift(bias, (matrix if outputs < inputs else matrix.T) @ mean)
            report.count("biases corrected")

    @staticmethod
    def _bias(node: ir.Node) -> ir.Value | None:
        """The bias of ``node``, where it is a vector of its own behind a MatMul."""
        bias = bias_of(node)
        if bias is None or node.op_type != "MatMul":
            return bias
        return bias if constant(bias).ndim == 1 and len(bias.uses()) == 1 else None  # type: ignore[union-attr]

    def _mean(self, value: ir.Value | None) -> np.ndarray | None:
        """Mean of each channel of a linear op's input; a smoothed input is its source times a constant."""
        if value is None:
            return None
        producer = value.producer()
        if producer is not None and self.context.state.is_smoothing(producer):
            source, factor = self._mean(producer.inputs[0]), constant(producer.inputs[1])
            return None if source is None or factor is None else source * factor
        known = self.context.state.channels.get(value.name or "")
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
