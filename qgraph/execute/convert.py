"""``to_torch``: a graph as a ``torch.fx.GraphModule``.

Initializers become parameters and buffers under their own names, every op one call, and these become one fused call:

    Add(MatMul(x, W), b)                                     ->  linear
    MatMul(Softmax(MatMul(q, k) * scale + mask), v)          ->  scaled_dot_product_attention
    DequantizeLinear(QuantizeLinear(x))                      ->  a FakeQuantize module, with its gradient
    Mask(W, mask)                                            ->  a MaskWeight module

What a graph computes from shapes stays in Python integers (``numbers``).
"""

from __future__ import annotations

from typing import Literal, overload

import onnx_ir as ir
from torch import fx

from qgraph.execute.converter import Converter
from qgraph.execute.exact import ExactGraph
from qgraph.execute.quantizers import Ranges


@overload
def to_torch(model: ir.Model, *, exact: Literal[True]) -> ExactGraph: ...
@overload
def to_torch(
    model: ir.Model, *, weights: Ranges = ..., activations: Ranges = ..., stochastic: bool = ..., exact: Literal[False] = ...
) -> fx.GraphModule: ...
def to_torch(
    model: ir.Model,
    *,
    weights: Ranges = "fixed",
    activations: Ranges = "fixed",
    stochastic: bool = False,
    exact: bool = False,
) -> fx.GraphModule | ExactGraph:
    """Make ``model`` (float or quantized dialect) a torch module of the same function.

    Args:
        weights, activations: what the ranges of quantizers of constants, and of other values, do in training; see
            ``FakeQuantize``.
        stochastic: round weights stochastically in training.
        exact: compute in integers instead, bit for bit what the program of the quantized model computes; without gradients.

    Returns:
        A module in evaluation mode. Its inputs are the graph's in order; it returns a dict of output name to tensor. Float
        initializers of more than one element are parameters, all else is buffers; ``module.meta["names"]`` maps the names of
        values to those of the state dict.

    Raises:
        QGraphError: an op, or an attribute of one, has no torch form; the message names the node.
    """
    if exact:
        return ExactGraph(model)
    return Converter(model, weights, activations, stochastic).run()
