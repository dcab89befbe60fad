"""Weights: what stands behind a linear op's second input, its axes, its grid, and the codes chosen on that grid.

    DequantizeLinear(codes, scale, zero_point)                        a quantized weight
    DequantizeLinear(Gather(levels, Cast(indices)), scale)            one of a codebook

Whatever chooses codes (rounding to nearest, trained quantizers, a codebook) reads weights here and stores codes here.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.bit_types import code_type, onnx_type, smallest_unsigned
from qgraph.ir.op_traits import traits
from qgraph.ir.ops.fake_quantize_codebook import chosen_levels
from qgraph.ir.patterns import add_initializer, attr, constant, stem_of
from qgraph.ir.scopes import where
from qgraph.numerics.affine import INT_TYPES, IntType, QParams

LEAST_SCALE = np.finfo(np.float32).tiny
"""The smallest float32 that processors do not flush to zero."""

MULTIPLE_OF = "qgraph.multiple_of"
"""Key in the ``meta`` of a constant: the scales of a weight (float32) and the factor by which its op multiplies them."""

CODES = "qgraph.codes"
"""Key in the ``meta`` of a float32 constant: the ``Weight`` that it was computed from, which a file holds in its place."""


def check_scale(node: ir.Node, scale: np.ndarray) -> None:
    """Refuse scales of a quantizer that are no finite numbers above zero.

    Raises:
        QGraphError: an element is NaN, infinite, zero, negative or below the normal numbers of float32.
    """
    wrong = ~((scale >= LEAST_SCALE) & np.isfinite(scale))
    if wrong.any():
        raise QGraphError(
            f"{where(node)} has the scale {scale.reshape(-1)[wrong.reshape(-1).argmax()]:g}; scales are finite and at least "
            f"{LEAST_SCALE:g}: quantize the model again, or correct the initializer {node.inputs[1].name!r}"  # type: ignore[union-attr]
        )


def check_zero_point(node: ir.Node, kind: IntType, zero: np.ndarray) -> None:
    """Refuse a zero point that is no code of ``kind``.

    Raises:
        QGraphError: an element lies outside the type.
    """
    wrong = (zero < kind.qmin) | (zero > kind.qmax)
    if wrong.any():
        raise QGraphError(
            f"{where(node)} has the zero point {zero.reshape(-1)[wrong.reshape(-1).argmax()]}, which is no {kind.name}; "
            f"correct the initializer {node.inputs[2].name!r}"  # type: ignore[union-attr]
        )


@dataclasses.dataclass(frozen=True)
class Weight:
    """A constant behind a DequantizeLinear: integer codes (one an element) and their parameters.

    ``levels`` (int8, sorted) are what the codes take where they come from a codebook.
    """

    name: str
    codes: np.ndarray
    params: QParams
    levels: np.ndarray | None = None

    @property
    def kind(self) -> IntType:
        return self.params.type

    def stored(self) -> tuple[np.ndarray, ir.DataType]:
        """What the program stores: the codes, or the indices of their levels, and the type of as few bits as hold them."""
        if self.levels is None:
            return self.codes, onnx_type(self.kind)
        return np.searchsorted(self.levels, self.codes), onnx_type(smallest_unsigned(len(self.levels)))

    def table(self) -> list[int]:
        """The levels, one for each index that the stored type can hold."""
        assert self.levels is not None
        count = smallest_unsigned(len(self.levels)).qmax + 1
        return np.pad(self.levels, (0, count - len(self.levels)), mode="edge").tolist()  # type: ignore[no-any-return]


def read_weight(node: ir.Node) -> Weight | None:
    """The constant that a DequantizeLinear node unpacks; None where it unpacks none."""
    source, levels = node.inputs[0], None
    array, scale = constant(source), constant(node.inputs[1])
    if (codebook := chosen_levels(source)) is not None:
        source = codebook[1]
        levels, index = constant(codebook[0]), constant(source)
        if levels is None or index is None or levels.dtype != np.int8 or levels.ndim != 1:
            return None
        array = levels[index.astype(np.int64)]
    if array is None or scale is None or source is None:
        return None
    stored = source.const_value.dtype  # type: ignore[union-attr]
    kind = INT_TYPES["int8"] if levels is not None else code_type(stored)
    if kind is None:
        raise QGraphError(f"{where(node)} unpacks a weight of {stored.name.lower()}; use integers of 2 to 32 bits")
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    zeros = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    check_scale(node, scale)
    check_zero_point(node, kind, zeros)
    codes = array.astype(np.int32 if kind.bits == 32 else np.int8 if kind.signed else np.uint8)
    axis = attr(node, "axis", 1) if scale.ndim else None
    if axis is not None and axis < 0:
        axis += codes.ndim
    if scale.ndim == 1 and scale.size == 1 and (axis is None or axis >= codes.ndim or codes.shape[axis] != 1):
        scale, zeros, axis = scale.reshape(()), zeros.reshape(()), None
    return Weight(source.name or "", codes, QParams(kind, scale, zeros, axis, attr(node, "block_size", 0)), levels)


def quantizer_params(node: ir.Node) -> QParams | None:
    """The parameters of a QuantizeLinear node whose scale and zero point are constants; None for another."""
    scale = constant(node.inputs[1])
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if scale is None or zero is None:
        return None
    kind = code_type(node.inputs[2].const_value.dtype)  # type: ignore[union-attr]
    assert kind is not None
    axis = attr(node, "axis", 1) if scale.ndim else None
    return QParams(kind, scale, zero.astype(kind.container), axis, attr(node, "block_size", 0))


def weight_axes(node: ir.Node) -> tuple[int, int]:
    """The axes of a linear op's weight that run over its input and output channels (of one group, for a convolution)."""
    row = traits(node)
    weight = node.inputs[1]
    assert row is not None and row.weight_axes is not None and weight is not None
    rank = len(weight.shape) if weight.shape is not None else constant(weight).ndim  # type: ignore[union-attr]
    inputs, outputs = (max(0, axis + rank) if axis < 0 else axis for axis in row.weight_axes)
    return (outputs, inputs) if attr(node, "transB", 0) else (inputs, outputs)


def input_axis(node: ir.Node) -> int:
    """The axis of the weight that runs over input channels."""
    return weight_axes(node)[0]


def output_axis(node: ir.Node) -> int:
    """The axis of the weight that runs over output channels."""
    return weight_axes(node)[1]


def store(model: ir.Model, name: str, array: np.ndarray, kind: IntType | None = None) -> ir.Value:
    """Add ``array`` as an initializer; ``kind`` names the storage type of integer codes (packed below 8 bits)."""
    if kind is None or kind.bits >= 8:
        return add_initializer(model, name, array)
    dtype = onnx_type(kind)
    return add_initializer(model, name, array.astype(dtype.numpy()), dtype)


def store_params(model: ir.Model, name: str, params: QParams) -> tuple[ir.Value, ir.Value]:
    """Add scale (float32) and zero point (of the storage type) of what is called ``name`` as initializers."""
    name = stem_of(name)
    scale = store(model, f"{name}_scale", np.asarray(params.scale, np.float32))
    zero = np.asarray(params.zero_point, params.type.container)
    return scale, store(model, f"{name}_zero_point", zero, params.type)


def store_codes(model: ir.Model, value: ir.Value, codes: np.ndarray, params: QParams) -> ir.Value:
    """Add the codes chosen for the weight ``value`` as an initializer."""
    stored = store(model, f"{value.name or 'weight'}.codes", codes, params.type)
    stored.metadata_props.update(value.metadata_props)
    return stored
