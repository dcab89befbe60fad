"""Quantized dialect -> integer dialect.

    Q(op(DQ(x), ...))  ->  kernel(x, ...)          one integer kernel with its requantization
    DQ(x) at the end   ->  a kernel that writes float32, or Dequantize
    masks, shapes      ->  the same small ops

The graph is walked once in order; every quantizer asks the ops before it for a kernel. What has none is refused,
with the names of all such nodes.
"""

from __future__ import annotations

import json

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.lower import attention, curves, layout, linear, tables
from qgraph.passes.lower.builder import Builder
from qgraph.passes.lower.kernels import TRANSLATORS
from qgraph.passes.lower.values import FLOAT, Codes, Out, Weight, out_of, weight_of

from qgraph.errors import QGraphError
from qgraph.ir.dialects import INTEGER, KINDS
from qgraph.ir.patterns import attr, constant, is_op
from qgraph.ir.regions import Regions
from qgraph.ir.scopes import where
from qgraph.numerics.affine import INT_TYPES, QParams, dequantize
from qgraph.pipeline import Pass, PassReport, register

SMALL = set(
    [
        "Shape",
        "Size",
        "Cast",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Mod",
        "Max",
        "Min",
        "Equal",
        "Greater",
        "Less",
        "GreaterOrEqual",
        "LessOrEqual",
        "And",
        "Or",
        "Xor",
        "Not",
        "IsNaN",
        "Neg",
        "Abs",
        "Where",
        "Range",
        "ConstantOfShape",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Identity",
        "Transpose",
        "Slice",
        "Concat",
        "Gather",
        "GatherElements",
        "GatherND",
        "Expand",
        "Tile",
    ]
)
SMALL_TYPES = {ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL}


class Lowering:
    """State of one walk. ``codes``, ``weights`` and ``scores`` say what a float value of the old graph is."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.build = Builder()
        self.codes: dict[ir.Value, Codes] = {}
        self.weights: dict[ir.Value, Weight] = {}
        self.scores: dict[ir.Value, attention.Scores] = {}
        self.splits: dict[ir.Node, tuple[Codes, list[ir.Value]]] = {}
        self.refused: dict[ir.Node, None] = {}
        self._new: dict[ir.Value, ir.Value] = {}
        self._tokens: dict[ir.Node, tuple[ir.Value, ir.Value]] = {}
        self._stored: dict[tuple[str, tuple[int, ...]], ir.Value] = {}
        self._tables: dict[bytes, ir.Value] = {}
        self.regions = Regions(model.graph)

    def run(self) -> ir.Graph:
        graph = self.model.graph
        inputs = []
        for value in graph.inputs:
            new = ir.Value(name=self.build.unique(value.name or "input"), shape=value.shape, type=value.type)
            self._new[value] = new
            inputs.append(new)
        for node in graph:
            if node.op_type == "QuantizeLinear" and not node.domain:
                self._quantize(node)
            elif node.op_type == "DequantizeLinear" and not node.domain:
                self._dequantize(node)
        outputs = [self._output(v) for v in graph.outputs]
        if self.refused:
            listed = "; ".join(where(n) for n in list(self.refused)[:8])
            more = f" and {len(self.refused) - 8} more" if len(self.refused) > 8 else ""
            raise QGraphError(
                f"{len(self.refused)} nodes have no integer kernel: {listed}{more}; quantize them (placement=integer, "
                "do not exclude them), replace them in the model, or deploy with 'qgraph export' on ONNX Runtime"
            )
        nodes = self.build.live(outputs)
        return ir.Graph(
            inputs,
            outputs,
            nodes=nodes,
            initializers=list(self.build.initializers.values()),
            opset_imports={**graph.opset_imports, INTEGER: 1},
            name=graph.name,
        )

    def _quantize(self, node: ir.Node) -> None:
        value, result = node.inputs[0], node.outputs[0]
        assert value is not None
        out = out_of(node)
        if (scores := attention.match(self, value)) is not None and out.scale == np.float32(1 / 255) and out.zero == 0:
            users = [u.node for d in result.uses() for u in d.node.outputs[0].uses()]
            if users and all(u.op_type == "MatMul" for u in users):
                for use in result.uses():
                    self.scores[use.node.outputs[0]] = scores
                return
        if self._is_refused(value):
            return
        self._new[result] = self.produce(value, out)

    def _is_refused(self, value: ir.Value) -> bool:
        producer = value.producer()
        return producer is not None and producer in self.refused

    def _dequantize(self, node: ir.Node) -> None:
        source, result = node.inputs[0], node.outputs[0]
        if result in self.scores or source is None:
            return
        if (weight := weight_of(node)) is not None:
            self.weights[result] = weight
            return
        if is_op(source, "Gather"):
            return  # an embedding: produced on demand
        if source in self._new:
            self.codes[result] = Codes(self._new[source], out_of(node))

    def _output(self, value: ir.Value) -> ir.Value:
        made = self.as_float(value) if value.dtype == ir.DataType.FLOAT else self._small(value)
        if made.producer() is None or made.name != value.name:
            first = next(iter(self.model.graph), None)
            if made.producer() is None or made in self._new.values():
                assert first is not None and made.dtype is not None
                made = self.build.add(
                    first, "Identity", [made], name=value.name or "output", type=made.dtype, shape=value.shape, domain=""
                )
        return made

    # What translators call.

    def produce(self, value: ir.Value, out: Out) -> ir.Value:
        """``value`` of the old graph, computed as ``out`` in the new one."""
        if value in self.codes:
            node = value.producer()
            assert node is not None
            return self.requantized(self.codes[value], node, value, out)
        node = value.producer()
        if node is not None:
            made = None
            if (found := linear.match(self, value)) is not None:
                made = linear.emit(self, found, value, out)
            if made is None and value in self.regions.root:
                made = self._lookup(node, value, out)
            if made is None and is_op(value, "DequantizeLinear", "Gather"):
                made = self._embedding(node, value, out)
            if made is None and node.op_type in TRANSLATORS and not node.domain:
                made = TRANSLATORS[node.op_type](self, node, value, out)
            if made is not None:
                return made
        made = self._small(value)
        if out.type == ir.DataType.FLOAT:
            return made
        like = node or next(iter(self.model.graph))
        return self.build.kernel(like, "Quantize", [made], out, {"scale": float(np.float32(out.scale))}, value)

    def as_float(self, value: ir.Value) -> ir.Value:
        """``value`` as float32 in the new graph."""
        if value not in self._new:
            self._new[value] = self.produce(value, FLOAT)
        return self._new[value]

    def any(self, value: ir.Value | None) -> ir.Value | None:
        """``value`` of any type in the new graph."""
        if value is None:
            return None
        return self.as_float(value) if value.dtype == ir.DataType.FLOAT else self._small(value)

    def operand(self, value: ir.Value | None, like: Out | None = None) -> Codes | None:
        """Quantized ``value``; a float constant is quantized on the spot (as ``like``, or to 16 bits)."""
        if value is None:
            return None
        if value in self.codes:
            return self.codes[value]
        array = self.float_constant(value)
        if array is None or array.dtype.kind != "f":
            return None
        if like is None or like.type == ir.DataType.FLOAT:
            peak = float(np.abs(array).max()) if array.size else 0.0
            like = Out(ir.DataType.INT16, float(np.float32(peak / 32767)) if peak else 1.0)
        low, high = like.limits
        codes = np.clip(np.rint(array / np.float32(like.scale)) + like.zero, low, high).astype(like.type.numpy())
        return Codes(self.build.constant(f"{value.name}.codes", codes), like)

    def requantized(self, x: Codes, node: ir.Node, value: ir.Value, out: Out) -> ir.Value:
        """Quantized ``x`` as ``out``."""
        if x.out == out:
            return x.value
        if out.type == ir.DataType.FLOAT:
            attributes = {"scale": float(np.float32(x.scale)), "x_zero": x.zero}
            return self.build.kernel(node, "Dequantize", [x.value], out, attributes, value)
        multiplier = np.array([np.float64(x.scale) / out.scale]).astype(np.float32)
        factor = self.build.constant(f"{value.name}.multiplier", multiplier)
        return self.build.kernel(node, "Requantize", [x.value, factor], out, {"x_zero": x.zero}, value)

    def moved(self, node: ir.Node, inputs: list[ir.Value | None], value: ir.Value, type: ir.DataType) -> ir.Value:
        """A data movement op of the old graph on codes."""
        attributes = {k: attr(node, k) for k in node.attributes}
        if node.op_type == "DepthToSpace":
            attributes = {"blocksize": attributes["blocksize"], "dcr": int(attributes.get("mode", "DCR") == "DCR")}
        return self.build.add(
            node, node.op_type, inputs, attributes, name=value.name or node.op_type, type=type, shape=value.shape, domain=""
        )

    def split(self, node: ir.Node, x: Codes) -> list[ir.Value]:
        made = self.moved(node, [x.value, *(self.any(v) for v in node.inputs[1:])], node.outputs[0], x.out.type)
        one = made.producer()
        assert one is not None
        new = ir.Node("", "Split", list(one.inputs), list(one.attributes.values()), num_outputs=len(node.outputs), name=one.name)
        for old, value in zip(node.outputs, new.outputs, strict=True):
            value.name, value.shape, value.dtype = self.build.unique(old.name or "part"), old.shape, x.out.type
        self.build.nodes[-1] = new
        return list(new.outputs)

    def tokens(self, value: ir.Value | None) -> tuple[ir.Value, ir.Value] | None:
        """Codes and row scales when ``value`` is a per-token fake quantizer."""
        if not is_op(value, "FakeQuantizeTokens", domain="qgraph"):
            return None
        node = value.producer()  # type: ignore[union-attr]
        assert node is not None and value is not None
        if node not in self._tokens:
            source, channel = node.inputs[0], constant(node.inputs[1])
            assert source is not None and channel is not None
            x = self.codes.get(source)
            attributes = {} if x is None else {"scale": float(np.float32(x.scale)), "x_zero": x.zero}
            codes = x.value if x is not None else self.as_float(source)
            factors = None
            if not np.all(channel == 1):
                factors = self.build.constant(f"{value.name}_channels", channel.reshape(-1).astype(np.float32))
            made = self.build.add(
                node,
                "QuantizeTokens",
                [codes, factors],
                attributes,
                name=value.name or "tokens",
                type=ir.DataType.UINT8,
                shape=value.shape,
                others=[(f"{value.name}_scale", ir.DataType.FLOAT)],
            )
            first = made.producer()
            assert first is not None
            self._tokens[node] = made, first.outputs[1]
        return self._tokens[node]

    def float_constant(self, value: ir.Value | None) -> np.ndarray | None:
        """The real numbers of a constant, behind a DequantizeLinear or not."""
        if value is None:
            return None
        if value in self.weights:
            weight = self.weights[value]
            if weight.kind.bits == 32:
                scale, zero = weight.params.expand(weight.codes.shape)
                return (weight.codes.astype(np.int64) - zero) * scale.astype(np.float64)
            return dequantize(weight.codes, weight.params)
        return constant(value)

    def weight_constant(self, weight: Weight) -> ir.Value:
        """The codes of ``weight`` at their true width; stored once however many nodes read them."""
        key = (weight.name, weight.codes.shape)
        if key not in self._stored:
            codes, dtype = weight.stored()
            self._stored[key] = self.build.constant(weight.name, codes.astype(dtype.numpy()), dtype)
        return self._stored[key]

    def _lookup(self, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
        root, axis = self.regions.root[value], self.regions.axis[value]
        x = self.codes.get(root)
        if x is None or (x.wide and axis >= 0):
            return None
        members = self.regions.members(value)
        exact = tables.build(members, root, value, axis, x, out, self.model.graph.opset_imports)
        if x.wide and out.type != ir.DataType.FLOAT:
            low, high = out.limits
            curve = curves.fit(exact[0], low - out.zero, high - out.zero)
            if curve is not None:
                coefficients = self.build.constant(f"{value.name}.curve", curve.coefficients)
                where = {"start": curve.start, "shift": curve.shift}
                return self.build.kernel(node, "Curve", [x.value, coefficients], out, where, value)
        table = tables.rounded(exact, out)
        key = table.tobytes() + str(table.dtype).encode()
        if key not in self._tables:
            self._tables[key] = self.build.constant(f"{value.name}.table", table)
        attributes = {"axis": axis} if axis >= 0 and table.ndim == 2 else {}
        made = self.build.add(
            node,
            "Lookup",
            [x.value, self._tables[key]],
            attributes,
            name=value.name or "lookup",
            type=out.type,
            shape=value.shape,
        )
        self.build.note(made, out)
        return made

    def _embedding(self, node: ir.Node, value: ir.Value, out: Out) -> ir.Value | None:
        """DQ(Gather(codes)) or Gather(DQ(codes)): gather codes, then requantize with a scale a column."""
        gather = node if node.op_type == "Gather" else node.inputs[0].producer()  # type: ignore[union-attr]
        if gather is None or gather.op_type != "Gather" or attr(gather, "axis", 0) != 0:
            return None
        weight = self.weights.get(gather.inputs[0]) if node is gather else self._table(node, gather)  # type: ignore[arg-type]
        if (
            weight is None
            or weight.codes.ndim != 2
            or weight.params.axis != 1
            or weight.params.block
            or np.any(weight.params.zero_point)
        ):
            return None
        index = self.any(gather.inputs[1])
        codes = self.build.add(
            node,
            "Gather",
            [self.weight_constant(weight), index],
            {"axis": 0},
            name=f"{value.name}_codes",
            type=ir.DataType.INT8,
            shape=value.shape,
            domain="",
        )
        factors = (weight.params.scale.astype(np.float64) / out.scale).astype(np.float32)
        return self.build.kernel(
            node, "Requantize", [codes, self.build.constant(f"{value.name}.multiplier", factors)], out, {}, value
        )

    @staticmethod
    def _table(node: ir.Node, gather: ir.Node) -> Weight | None:
        """The table behind DQ(Gather(codes)): the DequantizeLinear's parameters speak of the gathered tensor."""
        codes, scale = constant(gather.inputs[0]), constant(node.inputs[1])
        last = attr(node, "axis", 1) in (-1, len(node.outputs[0].shape or ()) - 1)
        if codes is None or scale is None or scale.ndim != 1 or not last:
            return None
        table = gather.inputs[0]
        assert table is not None and table.const_value is not None
        kind = INT_TYPES[KINDS[table.const_value.dtype]]
        params = QParams(kind, scale, np.zeros(scale.shape, np.int64), 1)
        return Weight(table.name or "", codes.astype(np.int8), params)

    def _small(self, value: ir.Value) -> ir.Value:
        """Copy a small op on masks, shapes and indices; refuse what is none."""
        if value in self._new:
            return self._new[value]
        node, array = value.producer(), self.float_constant(value)
        if array is not None:
            made = self.build.constant(value.name or "constant", array.astype(np.float32) if array.dtype == np.float64 else array)
        elif node is None or node.domain or node.op_type not in SMALL or value.dtype not in SMALL_TYPES:
            if node is not None:
                self.refused[node] = None
            made = ir.Value(name="refused", type=value.type)
            self.build.unknown.add(made)
        else:
            made = self._copy(node, value)
        self._new[value] = made
        return made

    def _copy(self, node: ir.Node, value: ir.Value) -> ir.Value:
        inputs = [self.any(v) for v in node.inputs]
        attributes = {k: attr(node, k) for k in node.attributes if k not in ("to", "saturate", "round_mode", "value")}
        if node.op_type == "ConstantOfShape":
            fill = node.attributes.get("value")
            inputs.append(
                self.build.constant(f"{value.name}.value", fill.as_tensor().numpy() if fill else np.zeros(1, np.float32))
            )
        assert value.dtype is not None
        return self.build.add(
            node,
            node.op_type,
            inputs,
            attributes,
            name=value.name or node.op_type,
            type=value.dtype,
            shape=value.shape,
            domain="",
        )


@register("lower")
class Lower(Pass):
    """Turn a quantized model into an integer program's graph; refuses nodes without an integer kernel."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        common.InlinePass(criteria=lambda function: function.domain not in ("qgraph",))(model)
        common.TopologicalSortPass()(model)
        lowering = Lowering(model)
        model.graph = lowering.run()
        layout.sink(model.graph)
        fused = layout.fuse_add(model.graph)
        model.metadata_props["qgraph.scales"] = json.dumps(lowering.build.scales)
        model.functions.clear()
        if fused:
            report.count("residual sums fused", fused)
        report.count("integer kernels", sum(n.domain == INTEGER for n in model.graph))
        report.count("data movement and index ops", sum(not n.domain for n in model.graph))
