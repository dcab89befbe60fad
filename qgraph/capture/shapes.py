"""Declared shapes that contradict what the ops compute: the inferred ones are right.

    x [20,1,8210] -> Reshape by [20,1,8210] -> y, declared [1,164200]     y is [20,1,8210]

ONNX Runtime warns of such a file and computes what the ops say; every later stage here reads the shape of a value.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common

LONG = 1 << 24
"""Length of an axis of an input from which on shapes are inferred without the values of vectors."""


def infer_shapes(model: ir.Model) -> None:
    """Infer the shapes of values, in place, as far as onnx can; shapes that are declared stay."""
    shapes = [value.shape for value in model.graph.inputs if value.shape is not None]
    # onnx keeps what it knows of a vector's elements one by one: a long one would take all memory
    long = any(isinstance(dim, int) and dim > LONG for shape in shapes for dim in shape)
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=not long)(model)


def correct_shapes(model: ir.Model) -> None:
    """Replace, in place, the shapes of the main graph's values that shape inference from the inputs alone contradicts."""
    if all(v.shape is None for n in model.graph for v in n.outputs):
        return
    declared = {value: value.shape for node in model.graph for value in node.outputs if value.shape is not None}
    for value in declared:
        value.shape = None
    infer_shapes(model)
    named = {str(d) for v in model.graph.inputs for d in v.shape or () if not isinstance(d, int)}
    for value, shape in declared.items():
        if value.shape is None or not _contradicts(shape, value.shape, named):
            value.shape = shape


def _contradicts(declared: ir.Shape, found: ir.Shape, named: set[str]) -> bool:
    """Whether both cannot be true; ``named``: dims that are free in the model's inputs, so that no number is theirs."""
    if len(declared) != len(found):
        return True
    return any(
        isinstance(d, int) and (d != f if isinstance(f, int) else str(f) in named) for d, f in zip(declared, found, strict=True)
    )
