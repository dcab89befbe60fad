"""Take the mean error of weight rounding out of the biases (Nagel et al. 2019, section 4.2, with measured means).

b  ->  b - (W^ - W) E[x]        per output channel; W^ the dequantized weight, x the input on the user's data
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.matchers.linear import bias_of
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import attr, constant, is_op, new_node
from qgraph.ir.weights import read_weight, store, weight_axes
from qgraph.numerics.affine import dequantize
from qgraph.pipeline import Pass, PassReport, register


@register("bias-correction")
class BiasCorrection(Pass):
    """Correct the biases of quantized linear ops by the mean of their inputs; runs after ``calibrate`` and ``quantize``."""

    def requires(self, model: ir.Model) -> None:
        if self.context.state.reference is None:
            raise QGraphError("pass 'bias-correction' needs the float model; put it behind 'quantize' in one pipeline")
        if not self.context.state.ranges:
            raise QGraphError("pass 'bias-correction' needs measured inputs; put 'calibrate' (with data) in front of 'quantize'")

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
            self._shift(model, node, bias, (matrix if outputs < inputs else matrix.T) @ mean)
            report.count("biases corrected")

    @staticmethod
    def _bias(node: ir.Node) -> ir.Value | None:
        """The constant bias of ``node``; behind a MatMul only where it is a vector of its own."""
        bias = bias_of(node)
        if bias is None or node.op_type != "MatMul":
            return bias if constant(bias) is not None or is_op(bias, "DequantizeLinear") else None
        return bias if constant(bias).ndim == 1 and not _shared(bias) else None  # type: ignore[union-attr]

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
    def _shift(model: ir.Model, node: ir.Node, bias: ir.Value, shift: np.ndarray) -> None:
        """Take ``shift`` from the bias of ``node``, which gets one of its own where others read it too."""
        array, unpack = constant(bias), bias.producer()
        if array is not None:
            moved = (array - shift).astype(np.float32)
            if _shared(bias) or unpack is not None:
                node.replace_input_with(2, store(model, f"{bias.name}_corrected", moved))
            else:
                bias.const_value, bias.shape = ir.Tensor(moved, name=bias.name), ir.Shape(moved.shape)
            return
        assert unpack is not None
        source, scale = unpack.inputs[0], constant(unpack.inputs[1])
        codes = constant(source)
        if codes is None or scale is None or source is None:
            return
        moved = np.rint(codes - shift / scale.astype(np.float64))
        moved = np.clip(moved, -(2**31) + 1, 2**31 - 1).astype(np.int32)
        if not _shared(bias) and not _shared(source):
            source.const_value = ir.Tensor(moved, name=source.name)
            return
        inputs = [store(model, f"{source.name}_corrected", moved), *unpack.inputs[1:]]
        new = new_node(unpack, "DequantizeLinear", inputs, name=f"{node.name}_bias_dequantize")
        new.attributes.update(unpack.attributes)
        new.outputs[0].name, new.outputs[0].shape = f"{bias.name}_corrected", bias.shape
        new.outputs[0].dtype = ir.DataType.FLOAT
        node.graph.insert_before(node, new)  # type: ignore[union-attr]
        node.replace_input_with(2, new.outputs[0])


def _shared(value: ir.Value) -> bool:
    """Whether others than one node read ``value``."""
    return len(value.uses()) > 1 or value.is_graph_output()
