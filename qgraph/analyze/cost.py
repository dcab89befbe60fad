"""What a model weighs: bytes and bits of every layer's weights, ops, multiply-accumulates."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping

import onnx_ir as ir

from qgraph.ir.io import stored_values
from qgraph.ir.op_traits import Trait, family, has
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import module_path


@dataclasses.dataclass
class Layer:
    """One stored tensor that is large enough to matter."""

    name: str
    op: str
    module: str
    bits: float
    elements: int
    bytes: int


def bits_of(dtype: ir.DataType) -> float:
    return dtype.itemsize * 8


def first_reader(value: ir.Value) -> ir.Node | None:
    """The first node that reads the value itself, rather than its shape."""
    readers = [use.node for use in value.uses()]
    return next((n for n in readers if n.op_type not in ("Shape", "Size")), readers[0] if readers else None)


def weights(model: ir.Model) -> list[tuple[ir.Value, ir.Node | None]]:
    """Stored tensors of two dims or more, also those of branches and loops, and the op that first computes with them."""
    weights = []
    for value in stored_values(model):
        if len(ir.convenience.get_const_tensor(value).shape) < 2:  # type: ignore[union-attr]
            continue
        reader = first_reader(value)
        while reader is not None and reader.op_type in ("DequantizeLinear", "Transpose", "Identity", "Mask"):
            reader = first_reader(reader.outputs[0]) or reader
            if not reader.outputs[0].uses():
                break
        weights.append((value, reader))
    return weights


def stored_name(value: ir.Value) -> str:
    """The name of a weight, whether its codes are stored or its elements."""
    return (value.name or "").removesuffix(".codes")


def layers(model: ir.Model) -> list[Layer]:
    """The stored tensors of two dims or more."""
    layers = []
    for value, reader in weights(model):
        tensor = ir.convenience.get_const_tensor(value)
        assert tensor is not None
        module, op = (module_path(reader), reader.op_type) if reader is not None else ("", "")
        layers.append(Layer(stored_name(value), op, module, bits_of(tensor.dtype), tensor.size, tensor.nbytes))
    return layers


def ops(model: ir.Model) -> dict[str, int]:
    """Number of nodes by op type, most frequent first; those of branches and loops too."""
    names = (f"{n.domain}.{n.op_type}" if n.domain else n.op_type for n in model.graph.all_nodes())
    return dict(collections.Counter(names).most_common())


def macs(model: ir.Model, sizes: Mapping[tuple[ir.Value, int], int] | None = None) -> int | None:
    """Multiply-accumulates of linear and recurrent ops at the static shapes; symbolic dims count as 1. None without shapes.

    Args:
        sizes: other lengths of some axes.
    """
    counts = [node_macs(node, sizes) for node in model.graph if has_products(node)]
    return None if None in counts else sum(n for n in counts if n is not None)


def has_products(node: ir.Node) -> bool:
    """Whether ``node`` multiplies with a weight, input 1."""
    return has(node, Trait.LINEAR) or family(node) == "recurrent"


def node_macs(node: ir.Node, sizes: Mapping[tuple[ir.Value, int], int] | None = None) -> int | None:
    """Multiply-accumulates of one op that ``has_products``, as ``macs`` counts them."""
    changed = sizes or {}

    def dims(value: ir.Value) -> list[int]:
        assert value.shape is not None
        return [changed.get((value, i), int(d) if isinstance(d, int) else 1) for i, d in enumerate(value.shape)]

    weight = node.inputs[1]
    if node.outputs[0].shape is None or weight is None or weight.shape is None:
        return None
    out, shape = dims(node.outputs[0]), dims(weight)
    if family(node) == "recurrent":  # a hidden unit of a step: its rows of W and R
        depth = shape[1] * (shape[2] + out[-1]) // max(1, out[-1])
    elif node.op_type == "Conv":
        depth = math.prod(shape[1:])
    elif node.op_type == "ConvTranspose":
        depth = math.prod(shape[1:]) * shape[0] // max(1, shape[1] * attr(node, "group", 1))
    else:
        depth = shape[-1] if node.op_type == "Gemm" and attr(node, "transB", 0) else shape[-2] if len(shape) > 1 else 1
    return math.prod(out) * depth
