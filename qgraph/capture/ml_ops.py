"""Ops of the domain ai.onnx.ml that are plain arithmetic become standard ops; exporters of scikit-learn put them around networks.

    Scaler(x)                  ->  (x - offset) * scale
    Binarizer(x)               ->  Cast(x > threshold)
    Imputer(x)                 ->  Where(x == replaced, imputed, x), IsNaN(x) where NaN is replaced
    LinearRegressor(x)         ->  x @ coefficients + intercepts
    ArrayFeatureExtractor(x,i) ->  Gather(x, i) along the last axis

Their definitions are in ONNX's operator document. The rest of the domain (trees, labels, strings) stays and is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.ir.patterns import add_initializer, attr, new_node, rank, replace

DOMAIN = "ai.onnx.ml"
Rewrite = Callable[["_Rewriter"], bool]
REWRITES: dict[str, Rewrite] = {}


def rewrite(function: Rewrite) -> Rewrite:
    """Register the rewrite of the op that the function is named after."""
    REWRITES[function.__name__.replace("_", "")] = function
    return function


def standardize(model: ir.Model) -> None:
    """Rewrite the ops of ai.onnx.ml in the main graph of ``model`` in place, where the table above has one."""
    for node in list(model.graph):
        function = REWRITES.get(node.op_type.lower()) if node.domain == DOMAIN else None
        if function is not None and function(_Rewriter(model, node)):
            model.graph.remove(node, safe=True)


class _Rewriter:
    """Builds the nodes that stand for one node, in front of it."""

    def __init__(self, model: ir.Model, node: ir.Node) -> None:
        self.model, self.node = model, node
        self.x = node.inputs[0]
        assert self.x is not None
        self.kind = self.x.dtype or ir.DataType.FLOAT

    def array(self, name: str) -> np.ndarray:
        """A list of floats among the attributes, as float32; one element when it is not given."""
        return np.array(attr(self.node, name, [0.0]), np.float32)

    def constant(self, what: str, array: np.ndarray) -> ir.Value:
        return add_initializer(self.model, f"{self.node.outputs[0].name}.{what}", array)

    def op(self, op: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        new = new_node(self.node, op, inputs, attributes)
        new.outputs[0].name = f"{self.node.outputs[0].name}.{op}"
        assert self.node.graph is not None
        self.node.graph.insert_before(self.node, new)
        return new.outputs[0]

    def floats(self) -> ir.Value | None:
        """The input as float32."""
        return self.x if self.kind == ir.DataType.FLOAT else self.op("Cast", self.x, to=int(ir.DataType.FLOAT))

    def done(self, value: ir.Value) -> bool:
        replace(self.node.outputs[0], value)
        return True


@rewrite
def scaler(r: _Rewriter) -> bool:
    centred = r.op("Sub", r.floats(), r.constant("offset", r.array("offset")))
    return r.done(r.op("Mul", centred, r.constant("scale", r.array("scale"))))


@rewrite
def binarizer(r: _Rewriter) -> bool:
    threshold = r.constant("threshold", np.array(attr(r.node, "threshold", 0.0), np.float32))
    return r.done(r.op("Cast", r.op("Greater", r.floats(), threshold), to=int(r.kind)))


@rewrite
def imputer(r: _Rewriter) -> bool:
    if r.kind != ir.DataType.FLOAT or "imputed_value_floats" not in r.node.attributes:
        return False
    replaced = attr(r.node, "replaced_value_float", 0.0)
    missing = (
        r.op("IsNaN", r.x) if np.isnan(replaced) else r.op("Equal", r.x, r.constant("replaced", np.array(replaced, np.float32)))
    )
    return r.done(r.op("Where", missing, r.constant("imputed", r.array("imputed_value_floats")), r.x))


@rewrite
def linear_regressor(r: _Rewriter) -> bool:
    if attr(r.node, "post_transform", "NONE") != "NONE" or "coefficients" not in r.node.attributes:
        return False
    coefficients = r.array("coefficients").reshape(attr(r.node, "targets", 1), -1).T
    product = r.op("MatMul", r.floats(), r.constant("coefficients", np.ascontiguousarray(coefficients)))
    return r.done(r.op("Add", product, r.constant("intercepts", r.array("intercepts"))))


@rewrite
def array_feature_extractor(r: _Rewriter) -> bool:
    places = r.node.inputs[1]
    if r.x is None or (rank(r.x) or 0) < 2 or places is None:
        return False
    flat = r.op("Reshape", places, r.constant("flat", np.array([-1])))
    return r.done(r.op("Gather", r.x, flat, axis=-1))
