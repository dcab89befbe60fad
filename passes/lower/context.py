"""The state of one lowering: what the float values of the old graph are in the new one, and what translators call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.attention import QuantizedScores
from qgraph.passes.lower.builder import Builder
from qgraph.passes.lower.registry import FLOAT_FORMS, NESTED_FORMS, Emit, rule_of
from qgraph.passes.lower.values import FLOAT, QuantizedValue, QuantSpec, f32

from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import INTEGER_OPS
from qgraph.ir.integer_ops.spec import ANY
from qgraph.ir.patterns import attr, constant, is_op
from qgraph.ir.regions import Regions
from qgraph.ir.scopes import where
from qgraph.ir.weights import CODES, Weight
from qgraph.numerics.affine import dequantize


class Lowering:
    """State of one walk.

    Attributes:
        codes, weights, scores: what a float value of the old graph is.
        baked: codes that a QuantizeLinear makes of a constant.
        patterns: functions that see several nodes as one kernel; they are asked before those of single ops.
        refused: nodes that have no integer form.
    """

    def __init__(self, model: ir.Model, patterns: Sequence[Emit]) -> None:
        self.model, self.patterns = model, patterns
        self.build = Builder({v.name or "" for v in model.graph.outputs})
        self.codes: dict[ir.Value, QuantizedValue] = {}
        self.weights: dict[ir.Value, Weight] = {}
        self.baked: dict[ir.Value, Weight] = {}
        self.scores: dict[ir.Value, QuantizedScores] = {}
        self.splits: dict[ir.Node, tuple[QuantizedValue, list[ir.Value]]] = {}
        self.refused: dict[ir.Node, None] = {}
        self.new: dict[ir.Value, ir.Value] = {}
        self.regions = Regions(model.graph)
        self._tokens: dict[ir.Node, tuple[ir.Value, ir.Value]] = {}
        self._weights: dict[tuple[str, tuple[int, ...]], ir.Value] = {}
        self._tables: dict[bytes, ir.Value] = {}

    def produce(self, value: ir.Value, out: QuantSpec) -> ir.Value:
        """``value`` of the old graph, computed as ``out`` in the new one."""
        node = value.producer()
        if value in self.codes:
            assert node is not None
            return self.requantized(self.codes[value], node, value, out)
        if node is not None:
            rule = rule_of(node)
            mine = rule is not None and (rule.all_outputs or value is node.outputs[0])
            for emit in (*self.patterns, *((rule.emit,) if rule is not None and mine else ())):
                made = emit(self, node, value, out)
                if made is not None:
                    return made
        made = self.small(value)
        if out.type == ir.DataType.FLOAT:
            return made
        like = node or next(iter(self.model.graph))
        return self.build.kernel(like, "Quantize", [made], out, {"scale": f32(out.scale)}, value)

    def as_float(self, value: ir.Value) -> ir.Value:
        """``value`` as float32 in the new graph."""
        if value not in self.new:
            self.new[value] = self.produce(value, FLOAT)
        return self.new[value]

    def any(self, value: ir.Value | None) -> ir.Value | None:
        """``value`` of any type in the new graph."""
        if value is None:
            return None
        return self.as_float(value) if value.dtype == ir.DataType.FLOAT else self.small(value)

    def operand(self, value: ir.Value | None, like: QuantSpec | None = None) -> QuantizedValue | None:
        """Quantized ``value``; a float constant is quantized on the spot (as ``like``, or to 16 bits), but not for float."""
        if value is None:
            return None
        if value in self.codes:
            return self.codes[value]
        if like == FLOAT:
            return None
        array = self.float_constant(value)
        if array is None or array.dtype.kind != "f" or np.isnan(array).any():
            return None
        if like is None:
            peak = float(np.abs(array).max()) if array.size else 0.0
            if not np.isfinite(peak):
                return None
            like = QuantSpec(ir.DataType.INT16, float(np.float32(peak / 32767)) if peak else 1.0)
        low, high = like.limits
        codes = np.clip(np.rint(array / np.float32(like.scale)) + like.zero_point, low, high).astype(like.type.numpy())
        return QuantizedValue(self.build.constant(f"{value.name}.codes", codes), like)

    def requantized(self, x: QuantizedValue, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value:
        """``x`` as ``out``."""
        if x.spec == out:
            return x.value
        if x.spec == FLOAT:
            return self.build.kernel(node, "Quantize", [x.value], out, {"scale": f32(out.scale)}, value)
        if out.type == ir.DataType.FLOAT:
            attributes = {"scale": float(np.float32(x.scale)), "x_zero": x.zero_point}
            return self.build.kernel(node, "Dequantize", [x.value], out, attributes, value)
        multiplier = np.array([np.float64(x.scale) / out.scale]).astype(np.float32)
        factor = self.build.constant(f"{value.name}.multiplier", multiplier)
        return self.build.kernel(node, "Requantize", [x.value, factor], out, {"x_zero": x.zero_point}, value)

    def moved(self, node: ir.Node, inputs: list[ir.Value | None], value: ir.Value, type: ir.DataType) -> ir.Value:
        """A data movement op of the old graph on codes."""
        name = value.name or node.op_type
        attributes = self.attributes(node)
        inputs = [self._as_int64(node, i, given) for i, given in enumerate(inputs)]
        return self.build.add(node, node.op_type, inputs, attributes, name=name, type=type, shape=value.shape, domain="")

    def tokens(self, value: ir.Value | None) -> tuple[ir.Value, ir.Value] | None:
        """QuantizedValue and row scales when ``value`` is a per-token fake quantizer."""
        if not is_op(value, "FakeQuantizeTokens", domain="qgraph"):
            return None
        node = value.producer()  # type: ignore[union-attr]
        assert node is not None and value is not None
        if node not in self._tokens:
            source, channel = node.inputs[0], constant(node.inputs[1])
            assert source is not None and channel is not None
            x = self.codes.get(source)
            attributes = {} if x is None else {"scale": float(np.float32(x.scale)), "x_zero": x.zero_point}
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
        if key not in self._weights:
            codes, dtype = weight.stored()
            self._weights[key] = self.build.constant(weight.name, codes.astype(dtype.numpy()), dtype)
        return self._weights[key]

    def table_constant(self, stem: str, table: np.ndarray) -> ir.Value:
        """A table of a function, stored once however many nodes read an equal one."""
        key = table.tobytes() + str(table.dtype).encode()
        if key not in self._tables:
            self._tables[key] = self.build.constant(stem, table)
        return self._tables[key]

    def small(self, value: ir.Value) -> ir.Value:
        """Copy an op that a program runs as it stands, in float32 or on masks, shapes and indices; refuse what is none."""
        if value in self.new:
            return self.new[value]
        node, array = value.producer(), self.float_constant(value)
        if array is not None:
            made = self.build.constant(value.name or "constant", array.astype(np.float32) if array.dtype == np.float64 else array)
            if (weight := self.weights.get(value)) is not None and weight.kind.bits <= 8:
                made.meta[CODES] = weight
        elif node is not None and not node.domain and node.op_type in NESTED_FORMS:
            self.new.update(zip(node.outputs, NESTED_FORMS[node.op_type](self, node), strict=True))
            return self.new[value]
        elif node is None or not _runs_as_it_stands(node, value):
            if node is not None:
                self.refused[node] = None
            made = ir.Value(name="refused", type=value.type)
            self.build.unknown.add(made)
        else:
            self._copy(node)
            return self.new[value]
        self.new[value] = made
        return made

    def attributes(self, node: ir.Node, without: Sequence[str] = ()) -> dict[str, Any]:
        """The attributes that ``node`` of the standard domain has in a program: names of an enum as its numbers."""
        if node.op_type == "DepthToSpace":
            return {"blocksize": attr(node, "blocksize"), "dcr": int(attr(node, "mode", "DCR") == "DCR")}
        rows = {row.name: row for row in INTEGER_OPS["", node.op_type].attributes}
        found = {}
        for name in node.attributes:
            if name in without:
                continue
            made, row = attr(node, name), rows.get(name)
            if row is None and name in ("to", "saturate", "round_mode", "value"):  # said by types, or by an input
                continue
            if row is not None and row.enum is not None and isinstance(made, str):
                if made.upper() not in row.enum.__members__:
                    known = ", ".join(row.enum.__members__).lower()
                    raise QGraphError(f"{where(node)}: attribute {name!r} is {made!r}; a program knows {known}")
                made = int(row.enum[made.upper()])
            found[name] = made
        return found

    def _as_int64(self, node: ir.Node, place: int, value: ir.Value | None) -> ir.Value | None:
        """``value`` in int64 where it is int32 and the program's op has the one type of the two that ONNX allows."""
        rows = INTEGER_OPS["", node.op_type].inputs
        types = rows[min(place, len(rows) - 1)].types
        if value is None or value.dtype != ir.DataType.INT32 or ir.DataType.INT32 in types or ir.DataType.INT64 not in types:
            return value
        if (array := constant(value)) is not None:
            return self.build.constant(f"{value.name}.int64", array.astype(np.int64))
        return self.build.add(
            node, "Cast", [value], name=f"{value.name}_int64", type=ir.DataType.INT64, shape=value.shape, domain=""
        )

    def _copy(self, node: ir.Node) -> None:
        form = FLOAT_FORMS.get(node.op_type)
        inputs, attributes = form(self, node) if form else ([self.any(v) for v in node.inputs], self.attributes(node))
        inputs = [self._as_int64(node, i, value) for i, value in enumerate(inputs)]
        outputs, rows = list(node.outputs), INTEGER_OPS["", node.op_type].outputs
        while len(outputs) > 1 and not outputs[-1].name:
            outputs.pop()
        names = [(v.name or f"{node.name}.{i}", v.dtype or rows[min(i, len(rows) - 1)].types[0]) for i, v in enumerate(outputs)]
        try:
            (name, kind), *others = names
            made = self.build.add(
                node, node.op_type, inputs, attributes, name=name, type=kind, shape=outputs[0].shape, domain="", others=others
            )
        except QGraphError as error:
            raise QGraphError(f"{error}; replace it in the model, or deploy with 'qgraph export' on ONNX Runtime") from error
        maker = made.producer()
        assert maker is not None
        for old, new in zip(outputs, maker.outputs, strict=True):
            new.shape = old.shape
            self.new.setdefault(old, new)


def _runs_as_it_stands(node: ir.Node, value: ir.Value) -> bool:
    """Whether a program holds ``node``, which makes ``value``, as an op of the standard domain on numbers that are no codes."""
    return not node.domain and ("", node.op_type) in INTEGER_OPS and value.dtype in ANY
