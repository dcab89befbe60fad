"""Insert quantizers by plan.

W                ->  DequantizeLinear(W as INT8/INT4, per channel or block)
x -> op          ->  x -> QuantizeLinear -> DequantizeLinear -> op          (static, by measured range)
x -> MatMul(W)   ->  x -> qgraph.FakeQuantizeTokens -> MatMul(W)            (dynamic, one scale a token)
b of Conv, Gemm  ->  DequantizeLinear(b as INT32, scale = s_x * s_w)
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.quantize import codebook, pads
from qgraph.passes.quantize.codebook import LEAST, MOST, Codebooks, share_points
from qgraph.passes.quantize.plan import Plan, Planner
from qgraph.passes.quantize.weights import Weights

from qgraph.errors import QGraphError
from qgraph.ir.dialects import MIN_OPSET, opset
from qgraph.ir.matchers.recurrent import quantize_states
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.ops import attach
from qgraph.ir.patterns import constant, is_op, new_node, stem_of
from qgraph.ir.scopes import check_globs, subjects
from qgraph.ir.weights import store, store_params
from qgraph.numerics.affine import INT_TYPES, QParams, from_range
from qgraph.pipeline import Pass, PassReport, register

Reader = tuple[ir.Node, int]


def readers(value: ir.Value) -> list[Reader]:
    """The nodes that read ``value``, with the index of the input."""
    return [(use.node, use.idx) for use in value.uses()]


def _unmeasured(value: ir.Value) -> QGraphError:
    return QGraphError(
        f"value {value.name!r} has no measured range; put 'calibrate' (with data) before 'quantize' in the same pipeline, "
        "or use quantize{activations=tokens placement=linear}, which needs none"
    )


@register("quantize")
class Quantize(Pass):
    """Quantize weights and activations; what is not quantized stays float with Q/DQ around it."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            weights: storage type of weights; codebook: indices into a few int8 levels of each weight.
            weight_block: elements of the input axis that share a scale (0: one scale a channel).
            activations: auto (uint8; per-token int8 for matrix products over tokens, 16-bit residual streams), uint8 or int8
                (static everywhere), uint4 (static; the model's inputs have 8 bits), tokens (per-token for every matrix product).
            placement: integer (everything between the linear ops too) or linear (their inputs only).
            include: globs of op types, node names, module paths or source lines; empty selects all.
            exclude: globs of what stays float.
            latent: keep the weights of linear ops as float behind their quantizers, so that they can be trained; the
                pass bake makes them codes.
            points: levels of a codebook, 2 to 16; up to 4 take 2 bits a weight, more take 4.
            levels: where the levels of a codebook start: at percentiles of its weights, or at equal steps.
            share: equal (every weight has ``points`` levels) or gradient (the same total, more for larger gradients;
                within a training stage that has ``gradients``).
        """

        weights: Literal["int8", "int4", "int2", "codebook", "none"] = "int8"
        weight_block: int = 0
        activations: Literal["auto", "uint8", "int8", "uint4", "tokens"] = "auto"
        placement: Literal["integer", "linear"] = "integer"
        include: tuple[str, ...] = ()
        exclude: tuple[str, ...] = ()
        latent: bool = False
        points: int = 16
        levels: Literal["percentile", "uniform"] = "percentile"
        share: Literal["equal", "gradient"] = "equal"

    def requires(self, model: ir.Model) -> None:
        options = self.options
        if opset(model) < MIN_OPSET:
            raise QGraphError(
                f"pass 'quantize': the model is of opset {opset(model)}, {MIN_OPSET} is needed; "
                "load it with qgraph.capture.read, which upgrades it"
            )
        if globs := (*options.include, *options.exclude):
            check_globs(globs, (s for node in model.graph for s in subjects(node)), "pass 'quantize'")
        if options.weights == "codebook" and not LEAST <= options.points <= MOST:
            raise QGraphError(
                f"pass 'quantize': points={options.points} is out of range; a codebook has {LEAST} to {MOST} levels"
            )
        if options.weights == "codebook" and options.weight_block:
            raise QGraphError("pass 'quantize': a codebook has one scale a channel; leave weight-block out")
        if options.placement == "integer" and not self.context.state.ranges:
            for value in self._plan(model).types:
                raise _unmeasured(value)

    def _plan(self, model: ir.Model) -> Plan:
        options, state = self.options, self.context.state
        return Planner(model, state, options.activations, options.placement, options.include, options.exclude).make()

    def apply(self, model: ir.Model, report: PassReport) -> None:
        options, state = self.options, self.context.state
        state.reference = model.clone()
        plan = self._plan(model)
        self.model, self.params = model, dict[ir.Value, QParams]()
        # by value, because outputs of the model are renamed below
        self.ranges = {v: known for v in plan.types if (known := state.range_of(v)) is not None}
        self.sources: dict[ir.Value, ir.Value] = {}
        for value, kind in plan.types.items():
            self._activation(value, kind, plan)
        for value in plan.probabilities:
            unit = QParams(INT_TYPES["uint8"], np.float32(1 / 255), np.uint8(0))  # type: ignore[arg-type]
            self._insert(value, unit, value.producer(), readers(value))
        if options.weights != "none":
            books = self._codebooks(plan) if options.weights == "codebook" else None
            stored = INT_TYPES["int8" if books else options.weights]
            weights = Weights(model, stored, options.weight_block, report, latent=options.latent, books=books)
            weights.run(plan, self._input_scale)
            for node in plan.recurrent:
                self._tokens(node)
                quantize_states(node)
        for node, kind in plan.linear.items():
            if kind == "tokens":
                self._tokens(node)
            elif options.placement == "integer" or node.inputs[0] in self.sources:
                self._requantize_to_8_bits(node)
        for node in list(model.graph):
            if node.op_type == "MatMul" and node not in plan.linear and node in plan.lowerable:
                self._requantize_to_8_bits(node)
        attach(model)
        if options.weights == "codebook" and not options.latent:
            for saved in codebook.bake(model):
                report.count("weight bytes saved", saved)
        common.RemoveUnusedNodesPass()(model)
        common.NameFixPass()(model)
        report.count("activations quantized", len(plan.types) + len(plan.probabilities))
        report.count("per-token linears", sum(k == "tokens" for k in plan.linear.values()))
        if plan.recurrent and options.weights != "none":
            report.count("recurrent ops", len(plan.recurrent))
        report.count("static linears", sum(k == "static" for k in plan.linear.values()))
        report.details["kept float"] = plan.kept_float

    def _codebooks(self, plan: Plan) -> Codebooks:
        options = self.options
        shares: dict[str, int] = {}
        if options.share == "gradient":
            gradients = self.context.state.gradients
            names = dict.fromkeys(node.inputs[1].name or "" for node in plan.linear)  # type: ignore[union-attr]
            if any(name not in gradients for name in names):
                raise QGraphError(
                    "pass 'quantize': share=gradient needs gradients of the weights; use it in a stage of a recipe that says "
                    "'gradients: 5', or share=equal"
                )
            shares = share_points({name: float(np.linalg.norm(gradients[name])) for name in names}, options.points)
        return Codebooks(options.points, options.levels, shares)

    def _activation(self, value: ir.Value, kind: str, plan: Plan) -> None:
        producer = value.producer()
        uses = [(n, i) for n, i in readers(value) if value not in plan.raw or n not in plan.joins.nodes]
        same = producer is not None and has(producer, Trait.MOVES) and producer.inputs[0] not in plan.joins.values
        if producer is not None and same and producer not in plan.embeddings:
            before = self.params.get(self.sources.get(producer.inputs[0], producer.inputs[0]))  # type: ignore[arg-type]
            if before is not None and before.type.name == kind and (producer.op_type != "Pad" or pads.holds(before, producer)):
                self._insert(value, before, producer, uses, raw=value in plan.raw)
                return
        known = self.ranges.get(value)
        if known is None:
            raise _unmeasured(value)
        is_int16 = kind == "int16"
        low, high = (known.minimum, known.maximum) if is_int16 else (known.low, known.high)
        if kind == "uint4" and known.narrow is not None:
            low, high = known.narrow
        if producer is not None and producer.op_type == "Pad":
            low, high = pads.widened(low, high, producer)
        params = from_range(low, high, INT_TYPES[kind], symmetric=is_int16)
        self._insert(value, params, producer, uses, raw=value in plan.raw)

    def _insert(
        self, value: ir.Value, params: QParams, near: ir.Node | None, uses: list[Reader], *, raw: bool = False
    ) -> ir.Value:
        """Put Q and DQ behind ``value`` and let ``uses`` read the result, which is returned; a ``raw`` output stays ``value``."""
        self.params[value] = params
        graph = self.model.graph
        like = near or (uses[0][0] if uses else graph[0])
        name = value.name or "value"
        stem = stem_of(name, 40)
        scale, zero = store_params(self.model, stem, params)
        quantize = new_node(like, "QuantizeLinear", [value, scale, zero], name=f"{stem}_quantize")
        codes = quantize.outputs[0]
        codes.name, codes.shape, codes.type = f"{stem}_codes", value.shape, zero.type
        dequantize = new_node(like, "DequantizeLinear", [codes, scale, zero], name=f"{stem}_dequantize")
        result = dequantize.outputs[0]
        result.name, result.shape, result.type = f"{stem}_quantized", value.shape, value.type
        if near is not None:
            graph.insert_after(near, [quantize, dequantize])
        else:
            graph.insert_before(graph[0], [quantize, dequantize])
        for reader, index in uses:
            reader.replace_input_with(index, result)
        if value.is_graph_output() and not raw:
            for place in [i for i, v in enumerate(graph.outputs) if v is value]:
                graph.outputs[place] = result
            value.name, result.name = f"{name}_raw", name
        self.params[result] = params
        self.sources[result] = value
        return result

    def _requantize_to_8_bits(self, node: ir.Node) -> None:
        """Static matrix products read 8 bits: quantize 16-bit inputs once more."""
        for i, value in enumerate(node.inputs[:2]):
            params = self.params.get(value) if value is not None else None
            if value is None or params is None or params.type.bits <= 8:
                continue
            source = self.sources[value]
            known, limit = self.ranges.get(source), float(params.scale) * 32767
            low, high = (known.low, known.high) if known is not None else (-limit, limit)
            params_8_bits = from_range(low, high, INT_TYPES["uint8"], symmetric=False)
            self._insert(value, params_8_bits, value.producer(), [(node, i)])
            self.params[value] = params

    def _tokens(self, node: ir.Node) -> None:
        x = node.inputs[0]
        assert x is not None
        producer = x.producer()
        if producer is not None and self.context.state.is_smoothing(producer):
            x, channel = producer.inputs[:2]
        else:
            channel = self._one()
        assert x is not None
        cached = [u.node for u in x.uses() if u.node.op_type == "FakeQuantizeTokens" and u.node.inputs[1] is channel]
        if cached:
            node.replace_input_with(0, cached[0].outputs[0])
            return
        fake = new_node(node, "FakeQuantizeTokens", [x, channel], domain="qgraph", name=f"{node.name}_tokens")
        out = fake.outputs[0]
        out.name, out.shape, out.type = f"{node.name}_tokens", x.shape, x.type
        node.graph.insert_before(node, fake)  # type: ignore[union-attr]
        node.replace_input_with(0, out)

    def _one(self) -> ir.Value:
        table = self.model.graph.initializers
        return table["qgraph.one"] if "qgraph.one" in table else store(self.model, "qgraph.one", np.ones(1, np.float32))

    def _input_scale(self, node: ir.Node) -> float | None:
        """Scale of a static linear's input, known once activations are quantized."""
        value = node.inputs[0]
        params = self.params.get(value) if value is not None else None
        if params is None:
            scale = constant(value.producer().inputs[1]) if is_op(value, "DequantizeLinear") else None  # type: ignore[union-attr]
            return float(scale.reshape(())) if scale is not None and scale.size == 1 else None
        if params.type.bits > 8:
            self._requantize_to_8_bits(node)
            params = self.params[node.inputs[0]]  # type: ignore[index]
        return float(params.scale)
