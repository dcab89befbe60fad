"""Small helpers over onnx_ir that passes share: constants, shapes, single uses, replacement."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.ir.scopes import copy_origin


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The array of an initializer (that is not a graph input) or Constant node, masked where a mask is on it; else None."""
    if value is None or value.is_graph_input():
        return None
    if is_op(value, "Mask", domain="qgraph"):
        array, mask = (constant(v) for v in value.producer().inputs)  # type: ignore[union-attr]
        return None if array is None or mask is None else array * mask.astype(array.dtype)
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """The number held by a constant of one element, else None."""
    array = constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def is_op(value: ir.Value | None, *ops: str, domain: str = "") -> bool:
    """Whether ``value`` is the first output of a node of one of ``ops``."""
    node = value.producer() if value is not None else None
    return node is not None and node.domain == domain and node.op_type in ops and node.outputs[0] is value


def only_user(value: ir.Value) -> ir.Node | None:
    """The single node that reads ``value``; None when there are several, it is a graph output, or a branch or loop reads it."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = uses[0].node
    return node if node.graph is value.graph or value.graph is None else None


def attr(node: ir.Node, name: str, default: Any = None) -> Any:
    """An attribute's Python value, or ``default``."""
    found = node.attributes.get(name)
    if found is None:
        return default
    value = found.value
    return list(value) if isinstance(value, tuple) else value


def rank(value: ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)


def static_shape(value: ir.Value) -> tuple[int, ...] | None:
    """The shape as integers, or None when unknown or symbolic."""
    if value.shape is None or not all(isinstance(d, int) for d in value.shape):
        return None
    return tuple(int(d) for d in value.shape)  # type: ignore[arg-type]


def unused(name: str, taken: Container[str | None]) -> str:
    """``name``, or ``name`` with the first number that makes it none of ``taken``."""
    names = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(1)))
    return next(n for n in names if n not in taken)


def add_initializer(model: ir.Model, name: str, array: np.ndarray, dtype: ir.DataType | None = None) -> ir.Value:
    """Add ``array`` under ``name`` (made unique) to the main graph; ``dtype`` names a packed type such as INT4."""
    unique = unused(name, model.graph.initializers)
    tensor = ir.Tensor(array, dtype=dtype, name=unique)
    value = ir.Value(name=unique, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    model.graph.initializers[unique] = value
    return value


def stem_of(name: str, longest: int = 64) -> str:
    """What the names of a value's codes, scale and quantizers begin with: its name, cut where a dozen copies would weigh."""
    return name if len(name) <= longest else f"{name[:12]}~{zlib.crc32(name.encode()):08x}"


def new_node(
    like: ir.Node,
    op: str,
    inputs: Sequence[ir.Value | None],
    attributes: dict[str, Any] | None = None,
    *,
    domain: str = "",
    outputs: int = 1,
    name: str | None = None,
) -> ir.Node:
    """A node with the origin of ``like``; not yet in a graph."""
    attrs = [ir.convenience.convert_attribute(k, v) for k, v in (attributes or {}).items() if v is not None]
    node = ir.Node(domain, op, inputs, attrs, num_outputs=outputs, name=name)
    copy_origin(like, node)
    return node


def replace(old: ir.Value, new: ir.Value) -> None:
    """Let every reader of ``old`` read ``new``; ``new`` takes over name, shape and the place among the outputs."""
    if new.shape is None:
        new.shape = old.shape
    if new.type is None:
        new.type = old.type
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    name = old.name
    old.name = f"{name}__replaced" if name else None
    if new.producer() is not None:
        new.name = name


def nodes(model: ir.Model, *ops: str, domain: str = "") -> list[ir.Node]:
    """A snapshot of the main graph's nodes of the given ops (all nodes when none are given)."""
    return [n for n in model.graph if not ops or (n.domain == domain and n.op_type in ops)]
