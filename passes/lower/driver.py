"""Quantized dialect -> integer dialect.

    Q(op(DQ(x), ...))  ->  kernel(x, ...)          one integer kernel with its requantization
    DQ(x) at the end   ->  a kernel that writes float32, or Dequantize
    masks, shapes      ->  the same small ops

The graph is walked once in order; every quantizer asks the ops before it for a kernel. What has none is refused,
with the names of all such nodes.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from qgraph.passes.lower import (
    attention,
    control,
    conv,
    fuse_float32,
    index,
    layout,
    linear,
    linear_float32,
    movement,
    norm,
    pointwise,
    pool,
    recurrent,
    resize,
)
from qgraph.passes.lower.context import Lowering
from qgraph.passes.lower.registry import NESTED_FORMS
from qgraph.passes.lower.values import QuantizedValue, spec_of

from qgraph.errors import QGraphError
from qgraph.ir.bit_types import program_number
from qgraph.ir.dialects import INTEGER, QDQ, dialect_of
from qgraph.ir.integer_ops import INTEGER_OPS
from qgraph.ir.op_traits import family, traits
from qgraph.ir.patterns import is_op
from qgraph.ir.scopes import where
from qgraph.ir.weights import Weight, quantizer_params, read_weight
from qgraph.numerics.affine import quantize
from qgraph.pipeline import Pass, PassReport, register

FAMILIES = (attention, control, conv, index, linear, linear_float32, movement, norm, pointwise, pool, recurrent, resize)
"""Importing them fills the table of ``registry``."""
DYNAMIC = {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"}
"""Integer ops of files that other tools quantized dynamically."""
LISTED = 4
"""Nodes of a kind that a refusal names."""
PATTERNS = (linear.linear, norm.rms_norm, pointwise.lookup, movement.embedding)


def lower(model: ir.Model) -> tuple[ir.Graph, Lowering]:
    """The integer graph of a quantized model, and the state of the walk that made it."""
    low = Lowering(model, PATTERNS)
    graph = model.graph
    inputs = []
    for value in graph.inputs:
        new = ir.Value(name=low.build.unique(value.name or "input"), shape=value.shape, type=value.type)
        low.new[value] = new
        inputs.append(new)
    for node in graph:
        if node.op_type == "QuantizeLinear" and not node.domain:
            _quantize(low, node)
        elif node.op_type == "DequantizeLinear" and not node.domain:
            _dequantize(low, node)
    outputs = [_output(low, v) for v in graph.outputs]
    if low.refused:
        raise _no_kernel(list(low.refused))
    nodes = low.build.live(outputs)
    made = ir.Graph(
        inputs,
        outputs,
        nodes=nodes,
        initializers=list(low.build.initializers.values()),
        opset_imports={**graph.opset_imports, INTEGER: 1},
        name=graph.name,
    )
    return made, low


def _no_kernel(refused: list[ir.Node]) -> QGraphError:
    """Says of ``refused`` which nodes are of ops that no program has, and which would have a kernel if they were quantized."""
    refused = list(dict.fromkeys(cause for node in refused for cause in _causes(node)))
    known = [n for n in refused if not _is_foreign(n)]
    foreign = [n for n in refused if n not in known]
    parts, ways = [], "replace them in the model, or deploy with 'qgraph export' on ONNX Runtime"
    if foreign:
        ops = ", ".join(dict.fromkeys(n.op_type for n in foreign))
        parts.append(f"{_listed(foreign)} (no program has {ops})")
    if known:
        parts.append(f"{_listed(known)} (not quantized before and behind, or not in the form that a kernel has)")
        ways = f"quantize them (--preset int8; placement=integer, do not exclude them), {ways}"
    return QGraphError(f"no integer kernel computes {len(refused)} of the nodes: {'; '.join(parts)}; {ways}")


def _is_foreign(node: ir.Node) -> bool:
    """Whether no program has the op of ``node``, quantized or not."""
    row = traits(node)
    return row is None or not (row.has_integer_form or (node.domain, node.op_type) in INTEGER_OPS or node.op_type in NESTED_FORMS)


def _causes(node: ir.Node) -> list[ir.Node]:
    """The nodes without a form in a program from which ``node`` has its float values, or itself."""
    found, seen, ahead = list[ir.Node](), {node}, [node]
    while ahead:
        one = ahead.pop()
        if _is_foreign(one):
            found.append(one)
            continue
        makers = [v.producer() for v in one.inputs if v is not None and v.dtype == ir.DataType.FLOAT]
        more = [n for n in makers if n is not None and n not in seen and not n.domain and n.op_type not in QDQ]
        seen.update(more)
        ahead += more
    return found or [node]


def _listed(nodes: list[ir.Node]) -> str:
    more = f" and {len(nodes) - LISTED} more" if len(nodes) > LISTED else ""
    return "; ".join(where(n) for n in nodes[:LISTED]) + more


def _quantize(low: Lowering, node: ir.Node) -> None:
    value, result = node.inputs[0], node.outputs[0]
    assert value is not None
    array, params = low.float_constant(value), quantizer_params(node)
    if array is not None and params is not None:  # a weight that was left float in front of its quantizer
        low.baked[result] = Weight(f"{value.name}.codes", quantize(array, params), params)
        return
    spec = spec_of(node)
    scores = attention.match(low, value)
    if scores is not None and spec.scale == np.float32(1 / 255) and spec.zero_point == 0:
        users = [u.node for d in result.uses() for u in d.node.outputs[0].uses()]
        if users and all(u.op_type == "MatMul" for u in users):
            for use in result.uses():
                low.scores[use.node.outputs[0]] = scores
            return
    if value.producer() in low.refused:
        return
    low.new[result] = low.produce(value, spec)


def _dequantize(low: Lowering, node: ir.Node) -> None:
    source, result = node.inputs[0], node.outputs[0]
    if result in low.scores or source is None:
        return
    if (weight := read_weight(node)) is not None:
        low.weights[result] = weight
        return
    if source in low.baked:
        low.weights[result] = low.baked[source]
        return
    if is_op(source, "Gather"):  # an embedding is produced on demand, unless all its rows have one scale
        rows = movement.codes_of_table(low, source, node)
        if rows is not None:
            low.codes[result] = rows
        return
    if source in low.new:
        low.codes[result] = QuantizedValue(low.new[source], spec_of(node))


def _output(low: Lowering, value: ir.Value) -> ir.Value:
    if value.is_graph_input():
        return low.new[value]
    made = low.any(value)
    assert made is not None
    if made.name == value.name and made.producer() is not None:
        return made
    name = value.name or "output"
    low.build.release(name)
    if made.producer() is not None and sum(v is made for v in low.new.values()) == 1:
        made.name = low.build.unique(name)
        return made
    like = next(iter(low.model.graph), None) or ir.Node("", "Identity", [], name="constant")  # no node: constants only
    assert made.dtype is not None
    return low.build.add(like, "Identity", [made], name=name, type=made.dtype, shape=value.shape, domain="")


def _is_quantized(value: ir.Value) -> bool:
    """Whether ``value`` holds codes: a quantizer makes it, or a DequantizeLinear reads it."""
    maker = value.producer()
    around = [use.node for use in value.uses()] + ([] if maker is None else [maker])
    return any(node.op_type in QDQ or family(node) == "quantized" for node in around)


@contextlib.contextmanager
def _recursion(nodes: int) -> Iterator[None]:
    """Room for a value that is computed from so many nodes one behind the other: each asks the one before it."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 1000 + 20 * nodes))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@register("lower")
class Lower(Pass):
    """Turn a quantized model into an integer program's graph; refuses nodes without an integer kernel."""

    def requires(self, model: ir.Model) -> None:
        dialect = dialect_of(model)
        dynamic = [n for n in model.graph if not n.domain and n.op_type in DYNAMIC]
        if dynamic:
            raise QGraphError(
                f"pass 'lower': {where(dynamic[0])} works with one scale a tensor that is measured in every run, as no program "
                "does; start from the float model with --preset int8 or int8-dynamic, or deploy with 'qgraph export'"
            )
        if dialect == "integer":
            raise QGraphError("pass 'lower': the model is in the integer dialect already; take 'lower' out")
        for what, values in (("input", model.graph.inputs), ("output", model.graph.outputs)):
            for value in values:
                if value.dtype == ir.DataType.INT8 and _is_quantized(value):
                    raise QGraphError(
                        f"pass 'lower': {what} {value.name!r} is int8 and a program's codes are uint8; quantize with uint8, let "
                        "the model take and give float32, or deploy with 'qgraph export' on ONNX Runtime"
                    )
                if value.dtype is not None and program_number(value.dtype) is None:
                    raise QGraphError(
                        f"pass 'lower': {what} {value.name!r} is {value.dtype.name.lower()}, which no program takes; let the "
                        "model take and give float32 and convert outside of it, or deploy with 'qgraph export' on ONNX Runtime"
                    )

    def apply(self, model: ir.Model, report: PassReport) -> None:
        common.InlinePass(criteria=lambda function: function.domain not in ("qgraph",))(model)
        common.TopologicalSortPass()(model)
        with _recursion(len(model.graph)):
            model.graph, lowering = lower(model)
        layout.sink(model.graph)
        fused = layout.fuse_add(model.graph)
        if behind := fuse_float32.fuse(model.graph):
            report.count("float ops fused into products", behind)
        model.metadata_props["qgraph.scales"] = json.dumps(lowering.build.scales)
        model.functions.clear()
        if fused:
            report.count("residual sums fused", fused)
        report.count("integer kernels", sum(n.domain == INTEGER for n in model.graph))
        report.count("data movement and index ops", sum(not n.domain for n in model.graph))
