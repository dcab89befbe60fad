"""The nodes of a graph, one by one, as calls of an fx graph."""

from __future__ import annotations

import keyword
import operator
import re
from typing import Any

import onnx_ir as ir
import onnx_ir.passes.common as common
import torch
from torch import fx, nn

from qgraph.errors import QGraphError
from qgraph.execute import numbers
from qgraph.execute.fusions import FUSIONS
from qgraph.execute.quantizers import Ranges
from qgraph.execute.tensors import DTYPES, tensor_of
from qgraph.execute.torch_ops import TORCH_OPS, TorchOp, as_tensor
from qgraph.ir.matchers.recurrent import quantizes_states
from qgraph.ir.parameters import is_parameter, tied_to
from qgraph.ir.patterns import attr, constant
from qgraph.ir.scopes import where

STATISTICS = (3, 4)
"""Inputs of BatchNormalization that are statistics, not parameters."""
OF_ROOT = frozenset(dir(fx.GraphModule(nn.Module(), fx.Graph()))) | {"masks", "quantizers"}
OF_MODULES = frozenset(dir(nn.Module()))
"""Attributes that a module has before it has any parameter: ``training``, ``forward``, ``type``."""
GENERATED = frozenset(("self", "torch", "device", "inf", "nan", "NoneType", "fx_pytree", "pytree", "getattr", "slice"))
"""What the code that fx generates for ``forward`` may mention."""


def _reserved(path: str) -> bool:
    """Whether a part of a dotted name cannot be the name of a parameter or submodule."""
    first, *others = path.split(".")
    return first in OF_ROOT or any(part in OF_MODULES for part in others) or any(map(keyword.iskeyword, path.split(".")))


def check_inputs(module: nn.Module, args: tuple[Any, ...]) -> None:
    """Refuse inputs that are no tensors, or of another kind of number than the graph takes."""
    weight = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    for (name, dtype), value in zip(module.meta["inputs"], args, strict=False):  # type: ignore[index]
        if isinstance(value, fx.Proxy):  # the module is a part of one that is traced
            continue
        if not isinstance(value, torch.Tensor):
            raise QGraphError(
                f"input {name!r} is {type(value).__name__}, the module takes tensors; convert it with torch.as_tensor"
            )
        wrong = dtype is not None and value.is_floating_point() != dtype.is_floating_point
        if wrong or (value.dtype == torch.float64 and dtype == torch.float32 and weight != torch.float64):
            raise QGraphError(f"input {name!r} is {value.dtype}, the module takes {dtype}; convert it")


class Converter:
    """The graph that grows node by node, its root module, and which fx node holds which value."""

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
        self.ties: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.statistics = {
            v.inputs[i] for v in model.graph if v.op_type == "BatchNormalization" for i in STATISTICS if len(v.inputs) > i
        }
        self.arguments: set[str] = set()
        self._training: fx.Node | None = None

    def run(self) -> fx.GraphModule:
        for value in self.model.graph.inputs:
            if value.name not in self.model.graph.initializers:
                self.env[value] = self.graph.placeholder(self._argument(value))
        for node in self.model.graph:
            self._node(node)
        self.graph.output({v.name or "": self.value(v) for v in self.model.graph.outputs})
        self.graph.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output"))
        names = self._register()
        module = fx.GraphModule(self.root, self.graph, "Graph")
        used = {str(n.target) for n in self.graph.nodes if n.op == "call_module"}
        module.meta["names"] = names
        module.meta["quantizers"] = {k: v for k, v in self.quantizers.items() if k in used}
        module.meta["statistics"] = [names[v.name or ""] for v in self.statistics if v is not None and v.name in names]
        module.meta["ties"] = self.ties
        inputs = [value for value in self.env if value.is_graph_input()]
        module.meta["inputs"] = [(v.name or "", DTYPES.get(v.dtype) if v.dtype is not None else None) for v in inputs]
        module.register_forward_pre_hook(check_inputs)
        module.meta["masks"] = {k: v for k, v in self.masks.items() if k in used}
        return module.eval()

    # values

    def value(self, value: ir.Value | None, *, tensor: bool = True) -> Any:
        """The fx node that holds ``value``, None for None; with ``tensor`` also what is kept in Python integers is a tensor."""
        if value is None:
            return None
        if value not in self.env:
            if value.const_value is None:
                raise QGraphError(f"value {value.name!r} is read and never made; the model is damaged")
            tied = tied_to(value, self.model.graph) if value.const_value is not None else None
            if tied is not None:
                self.env[value] = self.graph.call_function(torch.permute, (self.value(tied[0]), tied[1]))
                self.ties[value.name or ""] = tied[0].name or "", tied[1]
            else:
                self.env[value] = self.graph.get_attr(self._path(value))
        if tensor and value in self.shapes:
            return self.graph.call_function(as_tensor, (self.env[value], self._like()))
        return self.env[value]

    def _like(self) -> fx.Node:
        for node in self.graph.nodes:
            if node.op == "placeholder":
                return node
        raise QGraphError("a graph without inputs has no torch form; give it an input")

    def _argument(self, value: ir.Value) -> str:
        """The name of an input among the arguments of forward: a Python name, and not that of another input."""
        name = re.sub(r"\W", "_", value.name or "input")
        if not name.isidentifier() or keyword.iskeyword(name) or name in GENERATED:
            name = f"input_{name}"
        while name in self.arguments:
            name += "_"
        self.arguments.add(name)
        return name

    def _path(self, value: ir.Value) -> str:
        """The name of a constant in the root module: its own, changed where Python or ``nn.Module`` has another use for it."""
        if value not in self.paths:
            name = re.sub(r"[^\w.]", "_", value.name or "constant").strip(".") or "constant"
            name = re.sub(r"\.+", ".", name)
            taken = self.attributes
            while _reserved(name) or any(name == t or name.startswith(t + ".") or t.startswith(name + ".") for t in taken):
                name = name.replace(".", "_") + "_"
            self.attributes[name], self.paths[value] = value, name
        return self.paths[value]

    def static(self, value: ir.Value | None) -> Any:
        """Python numbers where the value is a constant, else what computes it."""
        array = constant(value)
        if array is not None and array.dtype.kind in "iufb" and array.ndim <= 1:
            return array.tolist() if array.ndim else array.item()
        return self.value(value, tensor=False)

    # nodes

    def _node(self, node: ir.Node) -> None:
        if node.op_type == "Constant" and not node.domain:
            self._constant(node)
            return
        for fusion in FUSIONS:
            made = fusion(self, node)
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
        return [self.static(v) if i in torch_op.static else self.value(v) for i, v in enumerate(node.inputs)]

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
        if quantizes_states(node):
            given["tokens"] = True
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
        arguments = tuple(self.static(v) for v in node.inputs)
        keywords = {k: attr(node, k) for k in node.attributes}
        self.env[node.outputs[0]] = self.graph.call_function(numbers.SHAPE_OPS[node.op_type], arguments, keywords)
        self.shapes.add(node.outputs[0])
        return True

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
            if is_parameter(value) and value not in self.statistics:
                owner.register_parameter(leaf, nn.Parameter(tensor))
            else:
                owner.register_buffer(leaf, tensor)
            names[value.name or path] = path
        return names
