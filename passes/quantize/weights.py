"""Store weights as integers with a DequantizeLinear in front of their readers, and biases as int32.

A weight shared by several nodes is quantized once. A channel of zeros has scale 1 (or one that carries its bias).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from qgraph.passes.quantize import codebook
from qgraph.passes.quantize.codebook import Codebooks
from qgraph.passes.quantize.plan import Plan

from qgraph.ir.matchers.linear import bias_of
from qgraph.ir.parameters import tied_to
from qgraph.ir.patterns import attr, constant, new_node, stem_of
from qgraph.ir.weights import LEAST_SCALE, output_axis, store, store_codes, store_params
from qgraph.numerics.affine import INT_TYPES, IntType, QParams, quantize, weight_params
from qgraph.pipeline import PassReport

BIAS_LIMIT = float(1 << 30)


def quantize_bias(model: ir.Model, node: ir.Node, params: QParams, input_scale: float) -> bool:
    """Store the bias of a static linear as int32 at ``input_scale`` times the scales of its weights; whether there was one."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(value)
    if bias is None or value is None or params.block:
        return False
    if bias.size > 1 and bias.size != bias.shape[-1]:
        return False  # no number a channel
    bias = bias.reshape(-1)
    scale = np.maximum(np.float64(input_scale) * params.scale.astype(np.float64), LEAST_SCALE).astype(np.float32)
    bias, scale = (a.copy() for a in np.broadcast_arrays(bias, scale))
    quantizer = QParams(INT_TYPES["int32"], scale, np.zeros_like(scale, np.int32), 0 if scale.ndim else None)
    codes = np.clip(np.rint(bias / scale.astype(np.float64)), -(2**31) + 1, 2**31 - 1).astype(np.int32)
    name = value.name or "bias"
    stored = store(model, f"{name}.codes", codes)
    inputs = [stored, *store_params(model, name, quantizer)]
    new = new_node(node, "DequantizeLinear", inputs, {"axis": quantizer.axis}, name=f"{stem_of(name)}_dequantize")
    new.outputs[0].name, new.outputs[0].shape = f"{stem_of(stored.name or '')}_dequantized", ir.Shape(codes.shape)
    new.outputs[0].dtype = ir.DataType.FLOAT
    node.graph.insert_before(node, new)  # type: ignore[union-attr]
    node.replace_input_with(2, new.outputs[0])
    return True


def _least_scale(node: ir.Node, input_scale: float | None, params: QParams) -> np.ndarray | None:
    """The least scales of a weight at which the bias of its reader ``node`` fits int32; None where it has no such bias."""
    bias = constant(bias_of(node))
    if bias is None or input_scale is None or (bias.size not in (1, params.scale.size) and params.scale.ndim):
        return None
    bias = np.abs(np.broadcast_to(bias.reshape(-1), params.scale.shape) if params.scale.ndim else bias.max(initial=0))
    least = bias / (input_scale * BIAS_LIMIT)
    return np.where(bias > 0, np.maximum(least, LEAST_SCALE / input_scale), 0).astype(least.dtype)  # type: ignore[no-any-return]


class Weights:
    """Quantizes the weights and biases of the plan's linear nodes and embeddings."""

    def __init__(
        self,
        model: ir.Model,
        kind: IntType,
        block: int,
        report: PassReport,
        *,
        latent: bool = False,
        books: Codebooks | None = None,
    ) -> None:
        self.model, self.kind, self.block, self.report, self.latent, self.books = model, kind, block, report, latent, books
        self.done: dict[tuple[ir.Value, int], tuple[ir.Value, QParams]] = {}

    def run(self, plan: Plan, input_scale: Callable[[ir.Node], float | None]) -> None:
        self.linear = plan.linear
        readers: dict[tuple[ir.Value | None, int], list[ir.Node]] = {}
        linear = {node: kind for node, kind in plan.linear.items() if node not in plan.coded}
        for node in linear:
            readers.setdefault((node.inputs[1], output_axis(node)), []).append(node)
        for node, kind in linear.items():
            scale = input_scale(node) if kind == "static" else None
            sharing = readers.get((node.inputs[1], output_axis(node)), [])
            params = self._weight(node, [(n, input_scale(n) if plan.linear[n] == "static" else None) for n in sharing])
            if scale is not None and not self.latent:
                quantize_bias(self.model, node, params, scale)
        for node in plan.recurrent:
            for place in (1, 2):
                self._recurrent(node, place)
        tied = {found[0] for v in self.model.graph.initializers.values() if (found := tied_to(v, self.model.graph)) is not None}
        for node in plan.embeddings:
            if self.latent and self.books is None and node.inputs[0] in tied:
                self._latent_embedding(node)
            else:
                self._embedding(node)

    def _weight(self, node: ir.Node, readers: list[tuple[ir.Node, float | None]]) -> QParams:
        """Let ``node`` read its quantized weight; ``readers`` are all nodes that read it, with the scale of their input."""
        value, axis = node.inputs[1], output_axis(node)
        assert value is not None
        key = (value, axis)
        if key not in self.done:
            array = constant(value)
            assert array is not None
            array = array.astype(np.float32)
            block_axis = axis - 1 if axis else 1
            blocked = self.block and array.ndim == 2 and self.block < array.shape[block_axis]
            grouped = node.op_type == "ConvTranspose" and attr(node, "group", 1) > 1
            if grouped:  # output channels repeat over the groups, so one scale serves all
                params = weight_params(array, self.kind, None)
            elif blocked:
                params = weight_params(array, self.kind, block_axis, block=self.block)
            else:
                params = weight_params(array, self.kind, axis)
            if not params.block:
                params = self._carry_biases(array, params, readers)
            self.done[key] = self._dequantized(node, value, array, params), params
        result, params = self.done[key]
        node.replace_input_with(1, result)
        return params

    def _recurrent(self, node: ir.Node, place: int) -> None:
        """Let an LSTM, GRU or RNN read int8 codes of a weight [directions, gates * hidden, width]: one scale a row."""
        value = node.inputs[place]
        assert value is not None
        key = (value, 1)
        if key not in self.done:
            array = constant(value)
            assert array is not None
            array = array.astype(np.float32)
            params = weight_params(array, INT_TYPES["int8"], 1)
            self.done[key] = self._dequantized(node, value, array, params), params
        node.replace_input_with(place, self.done[key][0])

    @staticmethod
    def _carry_biases(array: np.ndarray, params: QParams, readers: list[tuple[ir.Node, float | None]]) -> QParams:
        """Raise the scale of a channel where a reader's bias would not fit int32 (or would vanish on a dead channel)."""
        least = [found for node, scale in readers if (found := _least_scale(node, scale, params)) is not None]
        if not least:
            return params
        most = np.max(least, axis=0)
        others = tuple(i for i in range(array.ndim) if i != params.axis) if params.scale.ndim else None
        dead = (np.abs(array).max(others) < params.scale / 2) & (most > 0)  # all codes are zero
        scale = np.where(dead, most * 2**10, np.maximum(params.scale, most)).astype(np.float32)
        return QParams(params.type, scale, params.zero_point, params.axis)

    def _dequantized(self, node: ir.Node, value: ir.Value, array: np.ndarray, params: QParams) -> ir.Value:
        if self.books is not None and node in self.linear:
            self.report.count("weights quantized")
            return codebook.insert(self.model, node, value, array, params, self.books)
        name = stem_of(value.name or "weight")
        attributes = {"axis": params.axis, "block_size": params.block or None}
        made = []
        scale, zero = store_params(self.model, name, params)
        if self.latent:
            first = new_node(node, "QuantizeLinear", [value, scale, zero], attributes, name=f"{name}_quantize")
            codes = first.outputs[0]
            codes.name, codes.shape, codes.type = f"{name}_codes", value.shape, zero.type
            made.append(first)
        else:
            codes = store_codes(self.model, value, quantize(array, params), params)
            self.report.count("weight bytes saved", array.nbytes - codes.const_value.nbytes)  # type: ignore[union-attr]
        new = new_node(node, "DequantizeLinear", [codes, scale, zero], attributes, name=f"{name}_dequantize")
        out = new.outputs[0]
        out.name, out.shape, out.dtype = f"{name}_dequantized", value.shape, ir.DataType.FLOAT
        graph = self.model.graph
        if (mask := value.producer()) is not None:
            graph.insert_after(mask, [*made, new])
        else:
            graph.insert_before(graph[0], [*made, new])
        self.report.count("weights quantized")
        return out

    def _latent_embedding(self, node: ir.Node) -> None:
        """Gather from a table that is trained as a weight: float behind its quantizer, one scale a column."""
        table = node.inputs[0]
        assert table is not None
        key = (table, -1)
        if key not in self.done:
            array = constant(table).astype(np.float32)  # type: ignore[union-attr]
            params = weight_params(array, INT_TYPES["int8"] if self.kind.bits < 4 else self.kind, 1)
            self.done[key] = self._dequantized(node, table, array, params), params
        node.replace_input_with(0, self.done[key][0])

    def _embedding(self, node: ir.Node) -> None:
        """Gather int8 codes, then dequantize what was gathered: one scale a column."""
        table, out = node.inputs[0], node.outputs[0]
        assert table is not None
        key = (table, -1)
        if key not in self.done:
            array = constant(table)
            assert array is not None
            kind = INT_TYPES["int8"] if self.kind.bits < 4 else self.kind
            params = weight_params(array.astype(np.float32), kind, 1)
            self.done[key] = store(self.model, f"{table.name}.codes", quantize(array, params), kind), params
            self.report.count("weights quantized")
        codes, params = self.done[key]
        scale, zero = store_params(self.model, table.name or "table", params)
        if params.type.bits < 8:  # ONNX has no Gather of packed types
            new = new_node(node, "DequantizeLinear", [codes, scale, zero], {"axis": 1}, name=f"{table.name}_dequantize")
            new.outputs[0].name, new.outputs[0].shape = f"{table.name}_dequantized", table.shape
            new.outputs[0].dtype = ir.DataType.FLOAT
            node.graph.insert_before(node, new)  # type: ignore[union-attr]
            node.replace_input_with(0, new.outputs[0])
            return
        gathered = new_node(node, "Gather", [codes, node.inputs[1]], {"axis": 0}, name=node.name)
        gathered.outputs[0].name, gathered.outputs[0].shape = f"{out.name}_codes_of_table", out.shape
        gathered.outputs[0].type = codes.type
        axis = len(out.shape or ()) - 1
        new = new_node(
            node, "DequantizeLinear", [gathered.outputs[0], scale, zero], {"axis": axis}, name=f"{node.name}_dequantize"
        )
        name, node_graph = out.name, node.graph
        new.outputs[0].shape, new.outputs[0].type = out.shape, out.type
        node_graph.insert_before(node, [gathered, new])  # type: ignore[union-attr]
        out.name = f"{name}_float"
        ir.convenience.replace_all_uses_with(out, new.outputs[0], replace_graph_outputs=True)
        new.outputs[0].name = name
        new.outputs[0].metadata_props.update(out.metadata_props)
        node_graph.remove(node, safe=True)  # type: ignore[union-attr]
