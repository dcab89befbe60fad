"""``to_torch``: a graph as a ``torch.fx.GraphModule``.

Initializers become parameters and buffers under their own names, every op one call, and these become one fused call:

    Add(MatMul(x, W), b)                                     ->  linear
    MatMul(Softmax(MatMul(q, k) * scale + mask), v)          ->  scaled_dot_product_attention
    DequantizeLinear(QuantizeLinear(x))                      ->  a FakeQuantize module, with its gradient
    Mask(W, mask)                                            ->  a MaskWeight module

What a graph computes from shapes stays in Python integers (``numbers``).
"""

from __future__ import annotations

import operator
import re
from typing import Any, Literal, overload

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
import torch
from torch import fx, nn

from qgraph.errors import QGraphError
from qgraph.execute import numbers
from qgraph.execute.exact import ExactGraph
from qgraph.execute.masks import MaskWeight
from qgraph.execute.quantizers import FakeQuantize, Ranges, fake_quantize_tokens, least_squares_scale
from qgraph.execute.tensors import tensor_of
from qgraph.execute.torch_ops import TORCH_OPS, TorchOp, as_tensor
from qgraph.execute.torch_ops.attention import attention
from qgraph.execute.torch_ops.linear import linear
from qgraph.execute.torch_ops.movement import gather
from qgraph.execute.torch_ops.quantized import dequantize_linear
from qgraph.ir.dialects import DOMAIN
from qgraph.ir.matchers.attention import probabilities
from qgraph.ir.matchers.linear import added_bias
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.ops.fake_quantize_codebook import chosen_levels
from qgraph.ir.ops.mask import INPUT_AXIS, MOVED
from qgraph.ir.patterns import attr, constant, is_op, only_user
from qgraph.ir.scopes import where
from qgraph.numerics.affine import INT_TYPES

STATISTICS = (3, 4)
"""Inputs of BatchNormalization that are statistics, not parameters."""


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
    return _Converter(model, weights, activations, stochastic).run()


class _Converter:
    def __init__(self, model: ir.Model, weights: Ranges, activations: Ranges, stochastic: bool) -> None:
        kept = {(domain, name, "") for domain, name in TORCH_OPS if domain}
        if any(key not in kept for key in model.functions):
            model = model.clone()
            for key in kept & set(model.functions):
                del model.functions[key]
            common.InlinePass()(model)
        self.model, self.weights, self.activations, self.stochastic = model, weights, activations, stochastic
        self.graph, self.root = fx.Graph(), nn.Module()
        self.env: dict[ir.Value, fx.Node] = {}
        self.shapes: set[ir.Value] = set()
        self.attributes: dict[str, ir.Value] = {}
        self.paths: dict[ir.Value, str] = {}
        self.quantizers: dict[str, dict[str, list[str]]] = {}
        self.masks: dict[str, dict[str, str]] = {}
        self.by_scale: dict[tuple[str, bool], FakeQuantize] = {}
        self.statistics = {
            v.inputs[i] for v in model.graph if v.op_type == "BatchNormalization" for i in STATISTICS if len(v.inputs) > i
        }
        self._training: fx.Node | None = None

    def run(self) -> fx.GraphModule:
        for value in self.model.graph.inputs:
            if value.name not in self.model.graph.initializers:
                self.env[value] = self.graph.placeholder(re.sub(r"\W", "_", value.name or "input"))
        for node in self.model.graph:
            self._node(node)
        self.graph.output({v.name or "": self._value(v) for v in self.model.graph.outputs})
        self.graph.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output"))
        names = self._register()
        module = fx.GraphModule(self.root, self.graph, "Graph")
        used = {str(n.target) for n in self.graph.nodes if n.op == "call_module"}
        module.meta["names"] = names
        module.meta["quantizers"] = {k: v for k, v in self.quantizers.items() if k in used}
        module.meta["statistics"] = [names[v.name or ""] for v in self.statistics if v is not None and v.name in names]
        module.meta["masks"] = {k: v for k, v in self.masks.items() if k in used}
        return module.eval()

    # values

    def _value(self, value: ir.Value | None, *, tensor: bool = True) -> Any:
        if value is None:
            return None
        if value not in self.env:
            if value.const_value is None:
                raise QGraphError(f"value {value.name!r} is read and never made; the model is damaged")
            self.env[value] = self.graph.get_attr(self._path(value))
        if tensor and value in self.shapes:
            return self.graph.call_function(as_tensor, (self.env[value], self._like()))
        return self.env[value]

    def _like(self) -> fx.Node:
        for node in self.graph.nodes:
            if node.op == "placeholder":
                return node
        raise QGraphError("a graph without inputs has no torch form; give it an input")

    def _path(self, value: ir.Value) -> str:
        if value not in self.paths:
            name = re.sub(r"[^\w.]", "_", value.name or "constant").strip(".") or "constant"
            name = re.sub(r"\.+", ".", name)
            taken = self.attributes
            while any(name == t or name.startswith(t + ".") or t.startswith(name + ".") for t in taken) or hasattr(
                nn.Module, name
            ):
                name = name.replace(".", "_") + "_"
            self.attributes[name], self.paths[value] = value, name
        return self.paths[value]

    def _static(self, value: ir.Value | None) -> Any:
        """Numbers where the value is a constant, else what computes it."""
        array = constant(value)
        if array is not None and array.dtype.kind in "iufb" and array.ndim <= 1:
            return array.tolist() if array.ndim else array.item()
        return self._value(value, tensor=False)

    # nodes

    def _node(self, node: ir.Node) -> None:
        if node.op_type == "Constant" and not node.domain:
            self._constant(node)
            return
        for fused in (self._mask, self._linear, self._attention, self._fake_quantize, self._embedding, self._tokens):
            made = fused(node)
            if made is not None:
                self.env[node.outputs[0]] = made
                return
        if self._shape_arithmetic(node):
            return
        torch_op = TORCH_OPS.get((node.domain, node.op_type))
        if torch_op is None:
            raise QGraphError(
                f"{where(node)} has no torch form; quantize or export the model without training it, or exclude that part"
            )
        made = self.graph.call_function(torch_op.function, tuple(self._inputs(node, torch_op)), self._keywords(node, torch_op))
        if torch_op.returns_tuple or len(node.outputs) > 1:
            for i, out in enumerate(node.outputs):
                self.env[out] = self.graph.call_function(operator.getitem, (made, i))
            return
        self.env[node.outputs[0]] = made
        if torch_op.returns_numbers:
            self.shapes.add(node.outputs[0])

    def _inputs(self, node: ir.Node, torch_op: TorchOp) -> list[Any]:
        return [self._static(v) if i in torch_op.static else self._value(v) for i, v in enumerate(node.inputs)]

    def _keywords(self, node: ir.Node, torch_op: TorchOp) -> dict[str, Any]:
        given = {}
        for name, attribute in node.attributes.items():
            if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
                raise QGraphError(f"{where(node)} is control flow, which has no torch form; take it out of the model")
            if attribute.type == ir.AttributeType.TENSOR:
                array = attribute.as_tensor().numpy()
                given["value"], given["dtype"] = array.reshape(-1)[0].item(), tensor_of(array).dtype
            else:
                found = attr(node, name)
                given[name] = (
                    found.decode() if isinstance(found, bytes) else int(found) if isinstance(found, ir.DataType) else found
                )
        if torch_op.training:
            if self._training is None:
                self._training = self.graph.get_attr("training")
            given["training"] = self._training
        if torch_op.like:
            given["like"] = self._like()
        code = getattr(torch_op.function, "__code__", None)
        accepted = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        if "outputs" in accepted:
            given["outputs"] = len(node.outputs)
        unknown = [k for k in given if k not in accepted]
        if unknown:
            raise QGraphError(f"{where(node)} has the attribute {unknown[0]!r}, which has no torch form")
        return given

    def _constant(self, node: ir.Node) -> None:
        tensor = ir.convenience.get_const_tensor(node.outputs[0])
        if tensor is None:
            raise QGraphError(f"{where(node)} holds no tensor; it has no torch form")
        node.outputs[0].const_value = tensor

    def _shape_arithmetic(self, node: ir.Node) -> bool:
        known = [v in self.shapes or constant(v) is not None for v in node.inputs if v is not None]
        if (
            node.domain
            or node.op_type not in numbers.SHAPE_OPS
            or not any(v in self.shapes for v in node.inputs)
            or not all(known)
        ):
            return False
        if node.op_type == "Gather" and node.inputs[0] not in self.shapes:
            return False
        arrays = [constant(v) for v in node.inputs if v is not None]
        if any(a is not None and (a.dtype.kind not in "iu" or a.ndim > 1) for a in arrays):
            return False
        if node.op_type == "Cast" and attr(node, "to") not in (6, 7):
            return False
        arguments = tuple(self._static(v) for v in node.inputs)
        keywords = {k: attr(node, k) for k in node.attributes}
        self.env[node.outputs[0]] = self.graph.call_function(numbers.SHAPE_OPS[node.op_type], arguments, keywords)
        self.shapes.add(node.outputs[0])
        return True

    # fused calls

    def _linear(self, node: ir.Node) -> fx.Node | None:
        if node.domain or node.op_type not in ("Add", "MatMul"):
            return None
        bias, product = None, node.outputs[0]
        if node.op_type == "Add":
            parts = added_bias(product)
            if parts is None or only_user(parts[0]) is not node:
                return None
            product, bias = parts
        source = product.producer()
        assert source is not None
        x, weight = source.inputs
        matrix = _matrix(weight)
        if matrix is None or (bias is not None and constant(bias).shape != matrix.shape[1:]):  # type: ignore[union-attr]
            return None
        return self.graph.call_function(linear, (self._value(x), self._value(weight), self._value(bias)))

    def _attention(self, node: ir.Node) -> fx.Node | None:
        if node.op_type != "MatMul" or node.domain:
            return None
        p, v = node.inputs
        scores = probabilities(p)
        if scores is None or len(scores.added) > 1 or any(x is None or x.shape is None or len(x.shape) != 4 for x in (p, v)):
            return None
        mask = next(iter(scores.added), None)
        arguments = (self._value(scores.q), self._value(scores.kt), self._value(v), self._value(mask), scores.factor)
        return self.graph.call_function(attention, arguments)

    def _fake_quantize(self, node: ir.Node) -> fx.Node | None:
        if node.op_type != "DequantizeLinear" or not is_op(node.inputs[0], "QuantizeLinear"):
            return None
        first = node.inputs[0].producer()  # type: ignore[union-attr]
        assert first is not None
        source, scale, zero = (*first.inputs, None)[:3]
        if scale is None or source is None or constant(scale) is None:
            return None
        path = self._tied(source, scale) or f"quantizers.{re.sub(r'[^A-Za-z0-9]+', '_', source.name or 'value')}"
        if path not in self.quantizers:
            is_weight = constant(source) is not None
            ranges = self.weights if is_weight else "fixed" if is_op(source, "Softmax") else self.activations
            module = self._quantizer(first, scale, zero, ranges, is_weight)
            self.quantizers[path] = {"scale": [], "zero": [], "of": [source.name or ""]}
            if not hasattr(self.root, "quantizers"):
                self.root.add_module("quantizers", nn.Module())
            self.root.quantizers.add_module(path.split(".")[1], module)  # type: ignore[operator, union-attr]
        entry = self.quantizers[path]
        for one in (first, node):
            for kind, value in zip(("scale", "zero"), one.inputs[1:], strict=False):
                if value is not None and value.name not in entry[kind]:
                    entry[kind].append(value.name or "")
        return self.graph.call_module(path, (self._value(source),))

    def _mask(self, node: ir.Node) -> fx.Node | None:
        if node.op_type != "Mask" or node.domain != DOMAIN:
            return None
        value, mask = node.inputs
        array = constant(mask)
        if value is None or mask is None or array is None or value.const_value is None:
            raise QGraphError(f"{where(node)} masks a value that is computed; only weights can be masked")
        path = f"masks.{re.sub(r'[^A-Za-z0-9]+', '_', value.name or 'weight')}"
        if not hasattr(self.root, "masks"):
            self.root.add_module("masks", nn.Module())
        self.root.masks.add_module(path.split(".")[1], MaskWeight(torch.from_numpy(array.astype(bool))))  # type: ignore[operator, union-attr]
        self.masks[path] = {
            "mask": mask.name or "",
            "weight": value.name or "",
            "inputs": node.metadata_props.get(INPUT_AXIS, "0"),
            "movement": node.metadata_props.get(MOVED, ""),
        }
        return self.graph.call_module(path, (self._value(value),))

    def _tokens(self, node: ir.Node) -> fx.Node | None:
        """FakeQuantizeTokens with a channel of ones, which is no channel."""
        if node.op_type != "FakeQuantizeTokens" or not np.array_equal(constant(node.inputs[1]), np.ones(1, np.float32)):  # type: ignore[arg-type]
            return None
        return self.graph.call_function(fake_quantize_tokens, (self._value(node.inputs[0]),))

    def _tied(self, source: ir.Value, scale: ir.Value) -> str | None:
        """The quantizer in front of an op that only moves elements, which the one behind it must equal."""
        node = source.producer()
        before = node.inputs[0] if node is not None and has(node, Trait.MOVES) else None
        if not is_op(before, "DequantizeLinear") or not is_op(before.producer().inputs[0], "QuantizeLinear"):  # type: ignore[union-attr]
            return None
        quantizer = before.producer().inputs[0].producer()  # type: ignore[union-attr]
        if not np.array_equal(constant(quantizer.inputs[1]), constant(scale)):  # type: ignore[union-attr, arg-type]
            return None
        made = self.env.get(before)  # type: ignore[arg-type]
        return str(made.target) if made is not None and made.op == "call_module" else None

    def _embedding(self, node: ir.Node) -> fx.Node | None:
        """Gather(DequantizeLinear(codes)): gather the codes and dequantize what was gathered."""
        if node.op_type != "Gather" or node.domain or attr(node, "axis", 0) != 0 or not is_op(node.inputs[0], "DequantizeLinear"):
            return None
        table = node.inputs[0].producer()  # type: ignore[union-attr]
        assert table is not None
        codes, scale, zero = (*table.inputs, None)[:3]
        array, steps = constant(codes), constant(scale)
        if (
            array is None
            or steps is None
            or steps.ndim > 1
            or (steps.ndim and attr(table, "axis", 1) % array.ndim != array.ndim - 1)
        ):
            return None
        if attr(table, "block_size", 0):
            return None
        rows = self.graph.call_function(gather, (self._value(codes), self._value(node.inputs[1])))
        return self.graph.call_function(dequantize_linear, (rows, self._value(scale), self._value(zero)), {"axis": -1})

    def _quantizer(self, node: ir.Node, scale: ir.Value, zero: ir.Value | None, ranges: Ranges, is_weight: bool) -> FakeQuantize:
        steps = tensor_of(constant(scale))  # type: ignore[arg-type]
        point = constant(zero)
        kind = INT_TYPES["uint8"]
        if zero is not None and zero.dtype is not None:
            kind = INT_TYPES[zero.dtype.name.lower()]
        whole = torch.zeros_like(steps) if point is None else torch.from_numpy(np.asarray(point, np.float32))
        axis = attr(node, "axis", 1) if steps.ndim else None
        block = attr(node, "block_size", 0)
        if is_weight and ranges == "learned":  # a start that suits few bits better than the range of the largest weight
            array = constant(node.inputs[0])
            steps = least_squares_scale(tensor_of(array).float(), whole, kind, steps, axis, block)  # type: ignore[arg-type]
        return FakeQuantize(steps, whole, kind, axis, block, ranges, self.stochastic and is_weight)

    def _register(self) -> dict[str, str]:
        """Put the tensors that the graph reads into the root module; returns value name -> state dict name."""
        names = {}
        for path in dict.fromkeys(str(n.target) for n in self.graph.nodes if n.op == "get_attr"):
            if path == "training":
                continue
            value = self.attributes[path]
            array = value.const_value.numpy()  # type: ignore[union-attr]
            tensor = tensor_of(array)
            owner: nn.Module = self.root
            *outer, leaf = path.split(".")
            for part in outer:
                if not hasattr(owner, part):
                    owner.add_module(part, nn.Module())
                owner = getattr(owner, part)
            if tensor.is_floating_point() and tensor.numel() > 1 and value not in self.statistics:
                owner.register_parameter(leaf, nn.Parameter(tensor))
            else:
                owner.register_buffer(leaf, tensor)
            names[value.name or path] = path
        return names


def _matrix(weight: ir.Value | None) -> np.ndarray | None:
    """The constant matrix behind ``weight``, quantized or not; None where it is something else."""
    while is_op(weight, "DequantizeLinear", "QuantizeLinear") or is_op(weight, "FakeQuantizeCodebook", domain="qgraph"):
        weight = weight.producer().inputs[0]  # type: ignore[union-attr]
    if (codebook := chosen_levels(weight)) is not None:
        weight = codebook[1]
    array = constant(weight)
    return array if array is not None and array.ndim == 2 else None
