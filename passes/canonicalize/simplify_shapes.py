"""Resolve shape arithmetic under symbolic dims.

    Reshape(x[b,l,384], Concat(Shape...))   ->  Reshape(x, [0, 0, 12, 32])
    Gather(Shape(x[b,64,80,80]), 2)         ->  80
    Reshape -> Transpose(0,2,1) -> Reshape  ->  Transpose(0,1,3,2)      (the exporter's batched key transpose)

Int64 vectors that are made of dims are followed as lists of numbers and symbols; a Reshape whose target becomes
known with at most one free dim gets a constant target, and its shape arithmetic falls away as dead code.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import add_initializer, attr, constant, is_op, new_node, nodes, replace
from qgraph.pipeline import Pass, PassReport, register

Dim = int | str


def dims_of(value: ir.Value | None) -> list[Dim] | None:
    """Shape as numbers and symbol names; None when some dim is unknown."""
    if value is None or value.shape is None:
        return None
    dims = [d if isinstance(d, int) else d.value for d in value.shape]
    return None if any(d is None for d in dims) else [d if isinstance(d, int) else str(d) for d in dims]


def symbolic_vector(value: ir.Value | None, known: dict[ir.Value, list[Dim]]) -> list[Dim] | None:
    """The elements of an int64 scalar or vector as numbers and symbols."""
    if value is None:
        return None
    if value in known:
        return known[value]
    array = constant(value)
    if array is not None and array.ndim <= 1 and array.size <= 16 and array.dtype.kind == "i":
        return [int(i) for i in array.reshape(-1)]
    return None


def follow(node: ir.Node, known: dict[ir.Value, list[Dim]]) -> list[Dim] | None:
    """The symbolic elements of the node's first output, if it is made of dims."""
    first = node.inputs[0] if node.inputs else None
    if node.op_type == "Shape":
        dims = dims_of(first)
        return None if dims is None else dims[attr(node, "start", 0) : attr(node, "end")]
    vectors = [symbolic_vector(v, known) for v in node.inputs if v is not None]
    if node.op_type in ("Squeeze", "Unsqueeze", "Identity", "Reshape", "Cast"):
        out = node.outputs[0]
        small = out.dtype in (ir.DataType.INT64, None) and (out.shape is None or len(out.shape) <= 1)
        return vectors[0] if vectors and small else None
    if any(v is None for v in vectors):
        return None
    if node.op_type == "Concat":
        return [d for v in vectors for d in v or []]
    if node.op_type == "Slice" and vectors[0] is not None:
        start, end = (int(v[0]) for v in vectors[1:3] if v)
        step = int(vectors[4][0]) if len(vectors) > 4 and vectors[4] else 1
        return vectors[0][slice(start, max(min(end, 2**31), -(2**31)), step)]
    if node.op_type == "Gather" and vectors[0] is not None and vectors[1] is not None:
        inside = all(isinstance(i, int) and -len(vectors[0]) <= i < len(vectors[0]) for i in vectors[1])
        return [vectors[0][int(i)] for i in vectors[1]] if inside else None
    return None


def resolve(source: list[Dim], target: list[Dim]) -> list[Dim] | None:
    """The output dims of Reshape(source, target) with 0 and -1 replaced, or None."""
    out = [source[i] if d == 0 and i < len(source) else d for i, d in enumerate(target)]
    if -1 not in out:
        return out
    numbers = [math.prod(d for d in dims if isinstance(d, int) and d != -1) for dims in (source, out)]
    symbols = [Counter(d for d in dims if isinstance(d, str)) for dims in (source, out)]
    left = symbols[0] - symbols[1]
    if symbols[1] - symbols[0] or not numbers[1] or numbers[0] % numbers[1]:
        return None
    ratio = numbers[0] // numbers[1]
    if not left:
        free: Dim = ratio
    elif sum(left.values()) == 1 and ratio == 1:
        free = next(iter(left))
    else:
        return None
    out[out.index(-1)] = free
    return out


def constant_target(source: list[Dim], out: list[Dim]) -> list[int] | None:
    """A Reshape target of numbers, 0 (dim kept in place) and at most one -1 that yields ``out``."""
    target = [d if isinstance(d, int) else 0 if i < len(source) and source[i] == d else -1 for i, d in enumerate(out)]
    if target.count(-1) > 1 or any(isinstance(d, int) and d == 0 for d in out):
        return None
    return target


@register("simplify-shapes")
class SimplifyShapes(Pass):
    """Turn Reshape targets that follow from symbolic dims into constants; recognise batched transposes."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        known: dict[ir.Value, list[Dim]] = {}
        for node in list(model.graph):
            if node.domain:
                continue
            if (vector := follow(node, known)) is not None:
                known[node.outputs[0]] = vector
                self._numbers(model, node.outputs[0], vector, report)
            self._shape(node, known)
            if node.op_type == "Reshape" and constant(node.inputs[1]) is None:
                self._reshape(model, node, known, report)
        for node in nodes(model, "Reshape"):
            self._batched_transpose(node, report)
        if report.counts:
            common.RemoveUnusedNodesPass()(model)

    @staticmethod
    def _numbers(model: ir.Model, value: ir.Value, vector: list[Dim], report: PassReport) -> None:
        """Let the readers of ``value`` read a constant, where it holds numbers alone."""
        shape = dims_of(value)
        if any(isinstance(d, str) for d in vector) or shape not in ([], [len(vector)]) or value.is_graph_output():
            return
        if value.dtype == ir.DataType.INT64 and value.uses():
            array = np.array(vector, np.int64).reshape([len(vector)] if shape else [])
            ir.convenience.replace_all_uses_with(value, add_initializer(model, f"{value.name}_value", array))
            report.count("dims resolved")

    @staticmethod
    def _shape(node: ir.Node, known: dict[ir.Value, list[Dim]]) -> None:
        """Fill in the output shape where ONNX shape inference lost the symbols."""
        out = node.outputs[0]
        if dims_of(out) is not None:
            return
        inputs = [dims_of(v) for v in node.inputs if v is not None]
        shape: list[Dim] | None = None
        if node.op_type == "Reshape" and inputs[0] is not None:
            target = symbolic_vector(node.inputs[1], known)
            shape = resolve(inputs[0], target) if target is not None else None
        elif node.op_type == "Transpose" and inputs[0] is not None:
            perm = attr(node, "perm", list(range(len(inputs[0])))[::-1])
            shape = [inputs[0][i] for i in perm]
        elif has(node, Trait.SAME_SHAPE):
            shape = inputs[0]
        elif node.op_type == "MatMul" and all(i is not None and len(i) >= 2 for i in inputs):
            a, b = inputs
            assert a is not None and b is not None
            lead = broadcast([a[:-2], b[:-2]])
            shape = None if lead is None else [*lead, a[-2], b[-1]]
        elif has(node, Trait.ELEMENTWISE) and all(i is not None for i in inputs):
            shape = broadcast([i for i in inputs if i is not None])
        elif node.op_type == "Expand" and inputs[0] is not None:
            target = symbolic_vector(node.inputs[1], known)
            shape = broadcast([inputs[0], target]) if target is not None else None
        if shape is not None:
            out.shape = ir.Shape(shape)

    @staticmethod
    def _reshape(model: ir.Model, node: ir.Node, known: dict[ir.Value, list[Dim]], report: PassReport) -> None:
        source, out = dims_of(node.inputs[0]), dims_of(node.outputs[0])
        target = constant_target(source, out) if source is not None and out is not None else None
        if target is None:
            return
        shape = add_initializer(model, f"{node.outputs[0].name}_shape", np.array(target, np.int64))
        node.replace_input_with(1, shape)
        node.attributes.pop("allowzero", None)
        report.count("reshapes resolved")

    @staticmethod
    def _batched_transpose(node: ir.Node, report: PassReport) -> None:
        inner = node.inputs[0]
        if not is_op(inner, "Transpose") or inner is None:
            return
        transpose = inner.producer()
        assert transpose is not None
        before = transpose.inputs[0]
        if attr(transpose, "perm") != [0, 2, 1] or not is_op(before, "Reshape") or before is None:
            return
        source = before.producer().inputs[0]  # type: ignore[union-attr]
        dims, out = dims_of(source), dims_of(node.outputs[0])
        if dims is None or out is None or len(dims) != 4 or out != [dims[0], dims[1], dims[3], dims[2]]:
            return
        new = new_node(node, "Transpose", [source], {"perm": [0, 1, 3, 2]}, name=f"{node.name}_transpose")
        node.graph.insert_before(node, new)  # type: ignore[union-attr]
        replace(node.outputs[0], new.outputs[0])
        report.count("batched transposes recognised")


def broadcast(shapes: list[list[Dim]]) -> list[Dim] | None:
    out: list[Dim] = []
    for i in range(1, max(map(len, shapes), default=0) + 1):
        dims = {s[-i] for s in shapes if len(s) >= i} - {1}
        if len(dims) > 1:
            return None
        out.insert(0, dims.pop() if dims else 1)
    return out
