"""Inputs and dims that are bound to a value, as ``--fix NAME=VALUE`` says.

sr=16000        the input ``sr`` is a constant from now on
batch=1         the dim ``batch`` of every input is 1
x=1,576         the dims of the input ``x``, which has more than one element
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError, suggest

Fixed = Mapping[str, str]


def parse_fixed(given: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` texts as a table.

    Raises:
        QGraphError: a text is no such pair, or a name comes twice.
    """
    table: dict[str, str] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        if not equals or not name or not value:
            raise QGraphError(f"--fix {text!r} is not NAME=VALUE; write an input or a dim and its value, such as --fix batch=1")
        if name in table:
            raise QGraphError(f"--fix gives {name!r} twice; give it one value")
        table[name] = value
    return table


def fix_inputs(model: ir.Model, fixed: Fixed, origin: str) -> None:
    """Bind inputs and dims of ``model`` in place; ``origin`` names it in errors.

    Raises:
        QGraphError: a name is neither an input nor a dim of one, or a value does not fit.
    """
    inputs = {v.name or "": v for v in model.graph.inputs}
    dims = {str(d) for v in model.graph.inputs for d in v.shape or () if not isinstance(d, int) and d.value is not None}
    for name, text in fixed.items():
        if name in inputs:
            _bind(model, inputs[name], text, origin)
        elif name in dims:
            _set_dim(model, name, text, origin)
        else:
            known = ", ".join(map(repr, [*inputs, *sorted(dims)]))
            near = suggest(name, [*inputs, *dims]) or f"; there are {known}"
            raise QGraphError(f"{origin}: --fix {name}={text}: no input or dim has that name{near}")


def _bind(model: ir.Model, value: ir.Value, text: str, origin: str) -> None:
    """Make an input a constant, or set its dims where it is a tensor of several elements."""
    many = value.shape is None or any(d != 1 for d in value.shape)
    if many and value.shape is not None:
        _set_shape(value, text, origin)
        return
    kind = value.dtype
    try:
        if kind == ir.DataType.BOOL:
            array = np.array({"true": True, "false": False, "1": True, "0": False}[text.lower()])
        else:
            array = np.array(float(text) if kind is not None and kind.is_floating_point() else int(text)).astype(
                ir.DataType.INT64.numpy() if kind is None else kind.numpy()
            )
    except (KeyError, ValueError, OverflowError, TypeError):
        name = "a number" if kind is None else kind.name.lower()
        raise QGraphError(f"{origin}: --fix {value.name}={text}: the input is {name}; give such a value") from None
    shape = () if value.shape is None else tuple(int(d) for d in value.shape)  # type: ignore[arg-type]
    model.graph.inputs.remove(value)
    value.const_value = ir.Tensor(array.reshape(shape), name=value.name)
    value.shape, value.type = ir.Shape(shape), ir.TensorType(value.const_value.dtype)
    model.graph.register_initializer(value)


def _set_shape(value: ir.Value, text: str, origin: str) -> None:
    assert value.shape is not None
    parts = text.strip("[]() ").replace("x", ",").split(",")
    sizes = [_size(p, f"{origin}: --fix {value.name}={text}") for p in parts]
    fits = len(sizes) == len(value.shape) and all(
        not isinstance(d, int) or d == n for d, n in zip(value.shape, sizes, strict=True)
    )
    if not fits:
        wanted = [d if isinstance(d, int) else str(d.value or "?") for d in value.shape]
        raise QGraphError(f"{origin}: --fix {value.name}={text}: the input has the dims {wanted}; give one number for each")
    value.shape = ir.Shape(sizes)


def _set_dim(model: ir.Model, name: str, text: str, origin: str) -> None:
    size = _size(text, f"{origin}: --fix {name}={text}")
    for graph in model.graphs():
        for value in [*graph.inputs, *(v for n in graph for v in n.outputs)]:
            if value.shape is not None:
                value.shape = ir.Shape([size if not isinstance(d, int) and d.value == name else d for d in value.shape])


def _size(text: str, what: str) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise QGraphError(f"{what}: a dim is a whole number above zero")
    return int(text)
