"""Decide, for every value, how it is quantized; ``insert_qdq`` carries the plan out.

Kinds of ops:
    linear     Conv, ConvTranspose, Gemm, MatMul with a constant weight
    movement   output elements are input elements: same scale and zero point
    recurrent  LSTM, GRU and RNN: weights have codes, inputs and states are quantized per token; gates and states stay float
    region     pointwise functions of one value (see qgraph.ir.regions)
    kernel     everything else that the integer runtime has a kernel for
What has a quantizer already (a file that another tool quantized) keeps it: no value gets a second one.
Joins at the outputs stay float (see qgraph.ir.joins), and so do positions (see positions).
A value is *unmaterialized* when the kernel that makes it hands it on without storing it: the sum before a bias, the input of
a fused Relu, attention scores, and, in front of a residual add, the output of a per-token linear.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.registry import rule_of
from qgraph.passes.quantize import pads, positions
from qgraph.passes.quantize.calibrate import masks

from qgraph.ir.dialects import QDQ
from qgraph.ir.joins import Joins, handed, hands_on, joins_at_outputs
from qgraph.ir.matchers import attention
from qgraph.ir.matchers.linear import bias_add, other_input, quantized_weight_of, weight_of
from qgraph.ir.matchers.rms_norm import RmsNorm, rms_norm
from qgraph.ir.op_traits import Trait, family, has, traits
from qgraph.ir.patterns import attr, constant, is_op, only_user, rank
from qgraph.ir.regions import Regions
from qgraph.ir.scopes import matches
from qgraph.pipeline import AnalysisState

STATIC = ("uint8", "int8", "uint4")
QUANTIZERS = {"QuantizeLinear", "DynamicQuantizeLinear", "FakeQuantizeTokens"}


@dataclasses.dataclass
class Plan:
    """What to do.

    Attributes:
        types: the values to quantize.
        linear: linear nodes, static or tokens.
        coded: linear nodes whose weights are codes already.
        recurrent: LSTM, GRU and RNN nodes whose weights get codes and whose inputs and states are tokens.
        joins: those at the outputs, which stay float.
        raw: quantized values that the outputs and the nodes of ``joins`` read as they were.
        kept_float: why nodes stay float.
    """

    types: dict[ir.Value, str] = dataclasses.field(default_factory=dict)
    linear: dict[ir.Node, str] = dataclasses.field(default_factory=dict)
    coded: set[ir.Node] = dataclasses.field(default_factory=set)
    recurrent: dict[ir.Node, None] = dataclasses.field(default_factory=dict)
    embeddings: list[ir.Node] = dataclasses.field(default_factory=list)
    probabilities: dict[ir.Value, None] = dataclasses.field(default_factory=dict)
    unmaterialized: set[ir.Value] = dataclasses.field(default_factory=set)
    kept_float: dict[str, str] = dataclasses.field(default_factory=dict)
    lowerable: set[ir.Node] = dataclasses.field(default_factory=set)
    joins: Joins = dataclasses.field(default_factory=Joins)
    raw: set[ir.Value] = dataclasses.field(default_factory=set)


class Planner:
    """Builds a ``Plan`` for a canonical float graph."""

    def __init__(
        self,
        model: ir.Model,
        state: AnalysisState,
        activations: str,
        placement: str,
        include: tuple[str, ...],
        exclude: tuple[str, ...],
    ) -> None:
        self.graph, self.state = model.graph, state
        self.activations, self.placement = activations, placement
        self.include, self.exclude = include, exclude
        self.masked = masks(model)
        self.padded = {n for n in self.graph if is_op(n.outputs[0], "Pad") and self._pads_far(n)}
        self.masked |= {n.outputs[0] for n in self.padded}
        self.positions = positions.unmeasurable(model) | positions.wide_angles(model, state)
        smooth = {n.inputs[0] for n in self.graph if state.is_smoothing(n) and n.inputs[0] is not None}
        outs = {n.outputs[0] for n in self.graph if state.is_smoothing(n)}
        self.plan = Plan()
        self.floating: set[ir.Node | None] = set()
        self.finite: set[ir.Value | None] = set()
        self.norms = self._norms()
        normalized = {v for norm in self.norms.values() for v in (*norm.inner, norm.out)}
        self.regions = Regions(self.graph, stop=smooth | outs | self.positions | normalized)
        of_positions = {v for v, root in self.regions.root.items() if root in self.positions}
        for value in outs | self.positions | of_positions | normalized:
            self.regions.root.pop(value, None)

    def wanted(self, node: ir.Node) -> bool:
        if self.include and not matches(node, self.include):
            self.plan.kept_float[node.name or ""] = "not selected by include"
            return False
        if matches(node, self.exclude):
            self.plan.kept_float[node.name or ""] = "excluded"
            return False
        return True

    def _norms(self) -> dict[ir.Node, RmsNorm]:
        """The RMSNorms that are to be quantized, by each of their nodes."""
        found: dict[ir.Node, RmsNorm] = {}
        for node in reversed(self.graph):
            norm = rms_norm(node.outputs[0]) if node not in found else None
            if norm is not None and norm.x not in self.positions and all(self.wanted(n) for n in norm.nodes):
                found |= dict.fromkeys(norm.nodes, norm)
        return found

    def make(self) -> Plan:
        plan = self.plan
        for node in self.graph:
            weight = weight_of(node)
            if quantized_weight_of(node) is not None and self.wanted(node):
                plan.linear[node] = "tokens" if self._per_token(node) else "static"
                plan.coded.add(node)
            elif weight is not None and self._takes(node, weight) and self.wanted(node):
                plan.linear[node] = "tokens" if self._per_token(node) else "static"
            elif is_op(node.outputs[0], "Gather") and self._is_embedding(node) and self.wanted(node):
                plan.embeddings.append(node)
            elif family(node) == "recurrent" and self._has_weights(node) and self.wanted(node):
                plan.recurrent[node] = None
        if self.placement == "linear":
            self._linear_only()
            return plan
        plan.joins = joins_at_outputs(self.graph)
        self._lowerable()
        self._keep_moved_floats()
        self._unmaterialized()
        int16 = self._int16_values()
        if self.activations not in STATIC:
            int16 |= self._wide_joins()
        for value in [*self.graph.inputs, *(v for n in self.graph for v in n.outputs)]:
            if value.dtype == ir.DataType.FLOAT and constant(value) is None and self._stored(value):
                static = self._static_type(value)
                plan.types[value] = "int16" if value in int16 else static
                if value in plan.joins.values or value.producer() not in plan.lowerable:
                    plan.raw.add(value)
        return plan

    def _static_type(self, value: ir.Value) -> str:
        """The type of values that do not need 16 bits."""
        if self.activations == "uint4":
            return "uint8" if value.is_graph_input() else "uint4"
        return "int8" if self.activations == "int8" else "uint8"

    def _per_token(self, node: ir.Node) -> bool:
        if family(node) != "linear" or self.activations in STATIC:
            return False
        x = node.inputs[0]
        if has_scale(x):
            return False
        return self.activations == "tokens" or (x is not None and x.shape is not None and len(x.shape) >= 3)

    def _is_embedding(self, node: ir.Node) -> bool:
        table = constant(node.inputs[0])
        if table is None or table.dtype.kind != "f" or table.ndim != 2 or attr(node, "axis", 0) != 0:
            return False
        return self._finite(node, node.inputs[0])

    def _takes(self, node: ir.Node, weight: ir.Value) -> bool:
        """Whether a linear op can be an integer product."""
        if node.outputs[0] in self.positions:
            return False
        return self._finite(node, weight) and self._has_dims(node)

    def _has_weights(self, node: ir.Node) -> bool:
        """Whether the weights of a recurrent op, for its input and for its state, are constants."""
        weights = node.inputs[1:3]
        return all(constant(v) is not None and self._finite(node, v) for v in weights)

    def _has_dims(self, node: ir.Node) -> bool:
        """Whether the input has as many dims as the weight: ONNX Runtime's integer product takes no stack of weights beyond."""
        x, weight = node.inputs[0], constant(node.inputs[1])
        dims = None if x is None else rank(x)
        if weight is None or weight.ndim <= 2 or dims is None or dims >= weight.ndim:
            return True
        self.plan.kept_float[node.name or ""] = f"its weight has {weight.ndim} dims and its input {dims}"
        return False

    def _finite(self, node: ir.Node, weight: ir.Value | None) -> bool:
        """Whether every element of a weight or table is a number that a scale can hold."""
        array = constant(weight)
        if array is None or weight in self.finite or np.isfinite(array).all():
            self.finite.add(weight)
            return True
        self.plan.kept_float[node.name or ""] = f"{weight.name!r} holds NaN or infinity"  # type: ignore[union-attr]
        return False

    def _linear_only(self) -> None:
        for node, kind in self.plan.linear.items():
            x = node.inputs[0]
            if (
                kind == "static" and x is not None and not has_scale(x) and self.state.range_of(x) is not None
            ):  # without a range: weights only
                self.plan.types[x] = self._static_type(x)
                self.plan.raw.add(x)

    def _pads_far(self, node: ir.Node) -> bool:
        x = node.inputs[0]
        return node.outputs[0] in self.masked or (x is not None and pads.is_far(node, self.state.range_of(x)))

    def _lowerable(self) -> None:
        """Nodes that the integer runtime can execute once their values are quantized."""
        for node in self.graph:
            out = node.outputs[0]
            if node.op_type in QDQ:
                continue
            if node in self.padded:
                self.plan.kept_float[node.name or ""] = (
                    f"no scale holds its input and {pads.fill_of(node):g}, which it fills with"
                )
                continue
            if any(v in self.positions for v in (out, *(node.inputs if node.op_type in positions.ANGLES else ()))):
                self.plan.kept_float[node.name or ""] = positions.REASON
                continue
            known = node in self.plan.linear or node in self.plan.embeddings or out in self.regions.root
            known |= node in self.plan.recurrent or self.state.is_smoothing(node) or node in self.norms
            rule = rule_of(node)
            if not known and rule is not None and rule.alone:
                if _second_output_is_used(node):
                    self.plan.kept_float[node.name or ""] = f"the kernel of {node.op_type} computes its first output only"
                    continue
                known = self.wanted(node) and weight_of(node) is None
            if known and out in self.regions.root:
                known = self.wanted(node)
            if known and self._follows_float(node):
                self.plan.kept_float[node.name or ""] = "it works on what ops without an integer kernel make"
                self.floating.add(node)
                self.regions.root.pop(out, None)
                continue
            if known and out not in self.masked:
                self.plan.lowerable.add(node)
            elif out.dtype == ir.DataType.FLOAT and out not in self.masked:
                self.plan.kept_float.setdefault(node.name or "", f"no integer kernel for {node.op_type}")
                if (row := traits(node)) is not None and not row.has_integer_form:
                    self.floating.add(node)

    def _follows_float(self, node: ir.Node) -> bool:
        """Whether ``node`` is pointwise or moves elements, and all that it reads is made by ops that stay float: codes in between
        would cost accuracy, and win nothing, as the program that they are for cannot be compiled."""
        row = traits(node)
        if row is None or row.family not in ("pointwise", "movement"):
            return False
        makers = [v.producer() for v in node.inputs if v is not None and constant(v) is None and v.dtype == ir.DataType.FLOAT]
        return bool(makers) and all(n in self.floating for n in makers)

    def _keep_moved_floats(self) -> None:
        """Leave alone what only moves elements from float ops to outputs or to other float ops, and from and to states."""
        lowerable, read, states = self.plan.lowerable, set[ir.Value | None](), set[ir.Value | None]()
        for node in reversed(self.graph):
            if node in self.plan.recurrent:
                read.update(node.inputs[:1])
                states.update(node.inputs[1:])
            elif node in lowerable and (not hands_on(node) or not read.isdisjoint(node.outputs)):
                read.update(node.inputs)
            elif hands_on(node) and not states.isdisjoint(node.outputs):
                states.update(node.inputs)
        for node in self.graph:
            if node not in lowerable or not hands_on(node) or node in self.plan.embeddings or not read.isdisjoint(node.outputs):
                continue
            makers = [v.producer() for v in handed(node) if constant(v) is None]
            to_states = not states.isdisjoint(node.outputs)
            if makers and all(self._makes_floats(n) or (n is None and to_states) for n in makers):
                lowerable.remove(node)

    def _makes_floats(self, node: ir.Node | None) -> bool:
        """Whether ``node`` computes in float32, or its kernel writes float32 in any case."""
        return node is not None and (node not in self.plan.lowerable or node in self.plan.recurrent)

    def _unmaterialized(self) -> None:
        plan = self.plan
        ends = set(self.regions.ends())
        plan.unmaterialized |= {v for v in self.regions.root if v not in ends}
        plan.unmaterialized |= {v for norm in self.norms.values() for v in norm.inner}
        for node in self.graph:
            out = node.outputs[0]
            if node in plan.linear:
                add = bias_add(out)
                if add is not None:
                    plan.unmaterialized.add(out)
                    out = add.outputs[0]
                user = only_user(out)
                if self._clamped(user, out, ends) or (
                    plan.linear[node] == "tokens" and user is not None and self._is_residual(user, out)
                ):
                    plan.unmaterialized.add(out)
            elif node.op_type == "Softmax" and not node.domain:
                self._attention(node)
            elif self.state.is_smoothing(node) or (
                (rule := rule_of(node)) is not None
                and rule.clamps
                and node in plan.lowerable
                and out not in self.regions.root
                and self._clamped(only_user(out), out, ends)
            ):
                plan.unmaterialized.add(out)

    def _clamped(self, user: ir.Node | None, value: ir.Value, ends: set[ir.Value]) -> bool:
        """Whether ``value`` is only read by a Relu or Clip that ends a region, which is a clamp of the codes."""
        if user is None or not has(user, Trait.CLAMPS) or user.outputs[0] not in ends or user not in self.plan.lowerable:
            return False
        return self.regions.root.get(user.outputs[0]) is value

    def _is_residual(self, node: ir.Node, value: ir.Value) -> bool:
        """Whether ``node`` adds ``value`` to another activation."""
        if node.op_type != "Add" or node not in self.plan.lowerable:
            return False
        other = other_input(node, value)
        return other is not value and constant(other) is None and other not in self.plan.unmaterialized

    def _attention(self, node: ir.Node) -> None:
        """What stands between the product and the probabilities is never stored; the probabilities have a fixed scale."""
        scores = attention.scores(node)
        if scores is None or scores.product not in self.plan.lowerable:
            return
        path, out = list(scores.values), node.outputs[0]
        users = {u.node for u in out.uses()}
        guard = next((u for u in users if u.op_type == "Where"), None)
        if guard is not None:
            path.append(out)
            path += [u.outputs[0] for u in users if u.op_type == "IsNaN"]
            out = guard.outputs[0]
        user = only_user(out)
        if user is None or user.op_type != "MatMul" or has_scale(out):
            return
        self.plan.unmaterialized.update(path)
        self.plan.probabilities[out] = None
        makers = {n for v in (*path, out) if (n := v.producer()) is not None}
        self.plan.lowerable |= makers
        for maker in makers:
            self.plan.kept_float.pop(maker.name or "", None)

    def _int16_values(self) -> set[ir.Value]:
        """Values kept in 16 bits: residual streams, and what per-token quantizers read."""
        if self.activations in STATIC:
            return set()
        work: list[ir.Value | None] = []
        for node in self.graph:
            if self.plan.linear.get(node) == "tokens" or node in self.plan.recurrent:
                x = node.inputs[0]
                work.append(x.producer().inputs[0] if is_op(x, "Mul") and x in self.plan.unmaterialized else x)  # type: ignore[union-attr]
            elif node.op_type == "LayerNormalization" and node in self.plan.lowerable:
                work += [node.inputs[0], node.outputs[0]]
            elif node in self.norms:
                work += [self.norms[node].x, self.norms[node].out]
            elif node.op_type == "Softmax" and node.inputs[0] not in self.plan.unmaterialized:
                work.append(node.inputs[0])
        int16: set[ir.Value] = set()
        while work:
            value = work.pop()
            if value is None or value in int16 or constant(value) is not None:
                continue
            int16.add(value)
            maker = value.producer()
            if maker is None or maker.domain:
                continue
            if has(maker, Trait.MOVES) and maker not in self.plan.embeddings:
                work.append(maker.inputs[0])
            elif value in self.regions.root and self.regions.axis[value] < 0:
                work.append(self.regions.root[value])  # a 16-bit table
            elif maker.op_type in ("Add", "Sub", "Concat") and value not in self.regions.root:
                work += maker.inputs
        return int16

    def _stored(self, value: ir.Value) -> bool:
        """Whether ``value`` is read or written by an integer kernel as a quantized tensor."""
        plan = self.plan
        if value in plan.unmaterialized or value in self.masked or value in plan.probabilities or value in self.positions:
            return False
        if has_scale(value):
            return False
        producer = value.producer()
        users = [u.node for u in value.uses() if u.node not in plan.joins.nodes]
        if any(u.node in plan.lowerable and not (u.node in plan.recurrent and u.idx) for u in value.uses() if u.node in users):
            return True  # but states are read as float
        if value in plan.joins.values:
            return False
        if value.is_graph_output() or len(users) < len(value.uses()):
            return not self._leaves_as_float(value)
        return producer in plan.lowerable and producer not in plan.recurrent

    def _leaves_as_float(self, value: ir.Value) -> bool:
        """Whether what makes ``value`` can hand it out without codes."""
        plan, producer = self.plan, value.producer()
        if producer is None or producer not in plan.lowerable:
            return True
        last = producer
        if producer.op_type == "Add" and producer.inputs[0] in plan.unmaterialized:
            last = producer.inputs[0].producer() or producer  # type: ignore[union-attr]
        root, rule = self.regions.root.get(value), rule_of(last)
        floats = (rule is not None and rule.writes_float) or (root is not None and root not in plan.unmaterialized)
        return floats or producer in self.norms

    def _wide_joins(self) -> set[ir.Value]:
        """Joins of which 8 bits would leave a part next to nothing, and what is computed from them before a product."""
        found: set[ir.Value] = set()
        for node in self.graph:
            out = node.outputs[0]
            if node not in self.plan.lowerable or out.dtype != ir.DataType.FLOAT:
                continue
            if node.op_type == "Concat" and not node.domain:
                if self._parts_differ(node) and not self._reaches_products_only(out):
                    found.add(out)
            elif (has(node, Trait.MOVES) or has(node, Trait.ELEMENTWISE)) and any(
                v in found or self.regions.root.get(v) in found for v in node.inputs if v is not None
            ):
                found.update(v for v in node.outputs if self.regions.axis.get(v, -1) < 0)
        return found

    def _parts_differ(self, join: ir.Node) -> bool:
        """Whether a part of a Concat would get fewer than 16 of the 256 codes of 8 bits."""
        spans = [self._span(v) for v in (*join.inputs, join.outputs[0])]
        return any(0 < span < spans[-1] / 16 for span in spans[:-1])

    def _span(self, value: ir.Value | None) -> float:
        """Length of the range, with 0, of a measured value or a constant; 0 where nothing is known."""
        array = constant(value)
        if array is not None and array.size:
            return float(max(array.max(), 0) - min(array.min(), 0))
        known = None if value is None else self.state.range_of(value)
        return 0.0 if known is None else max(known.high, 0) - min(known.low, 0)

    def _reaches_products_only(self, value: ir.Value) -> bool:
        """Whether all that computes with ``value`` or its elements in other places are products, which read 8 bits."""
        users = {u.node for u in value.uses()} - self.plan.joins.nodes
        return all(
            (hands_on(n) and all(self._reaches_products_only(v) for v in n.outputs)) or family(n) in ("linear", "conv")
            for n in users
        )


def has_scale(value: ir.Value | None) -> bool:
    """Whether ``value`` comes from a quantizer or goes to one."""
    if value is None:
        return False
    return is_op(value, "DequantizeLinear") or any(u.node.op_type in QUANTIZERS for u in value.uses())


def _second_output_is_used(node: ir.Node) -> bool:
    """Whether something reads another output of ``node`` than the first; those of a Split are all computed at once."""
    return node.op_type != "Split" and any(v.uses() or v.is_graph_output() for v in node.outputs[1:])
