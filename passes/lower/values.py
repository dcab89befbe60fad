"""What the lowering knows about values: quantized tensors, constant weights, and wanted output types."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.dialects import KINDS, ONNX_TYPES
from qgraph.ir.ops.fake_quantize_codebook import chosen_levels, index_type
from qgraph.ir.patterns import attr, constant
from qgraph.ir.scopes import where
from qgraph.numerics.affine import INT_TYPES, IntType, QParams


@dataclasses.dataclass(frozen=True)
class Out:
    """The wanted output of a kernel: ``uint8`` (up to ``top``) or ``int16`` codes of (scale, zero), or float32."""

    type: ir.DataType
    scale: float = 1.0
    zero: int = 0
    top: int = 255

    @property
    def attributes(self) -> dict[str, int]:
        if self.type == ir.DataType.FLOAT:
            return {}
        return {"y_zero": self.zero, **({"clamp_max": self.top} if self.top < 255 else {})}

    @property
    def limits(self) -> tuple[int, int]:
        return (0, self.top) if self.type == ir.DataType.UINT8 else (-32768, 32767)

    def code(self, x: float) -> int:
        """The code of the real number ``x``."""
        low, high = self.limits
        return int(np.clip(np.rint(x / self.scale) + self.zero, low, high))


FLOAT = Out(ir.DataType.FLOAT)


@dataclasses.dataclass(frozen=True)
class Codes:
    """A quantized tensor of the integer graph: its codes there, and their scale and zero point."""

    value: ir.Value
    out: Out

    @property
    def scale(self) -> float:
        return self.out.scale

    @property
    def zero(self) -> int:
        return self.out.zero

    @property
    def wide(self) -> bool:
        return self.out.type != ir.DataType.UINT8

    @property
    def reach(self) -> int:
        """The largest |code - zero|."""
        low, high = self.out.limits
        return max(high - self.zero, self.zero - low)


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
            return self.codes, ONNX_TYPES[self.kind.name]
        return np.searchsorted(self.levels, self.codes), index_type(len(self.levels))

    def table(self) -> list[int]:
        """The levels, one for each index that the stored type can hold."""
        assert self.levels is not None
        count = 1 << INT_TYPES[KINDS[index_type(len(self.levels))]].bits
        return np.pad(self.levels, (0, count - len(self.levels)), mode="edge").tolist()  # type: ignore[no-any-return]


def out_of(node: ir.Node) -> Out:
    """The type that a QuantizeLinear or DequantizeLinear node speaks of (int8 becomes uint8 with 128 added)."""
    scale, zero = constant(node.inputs[1]), constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros((), np.uint8)
    if scale is None or zero is None:
        raise QGraphError(f"{where(node)} has a scale or zero point that is computed; only constants can be compiled")
    if scale.size != 1:
        raise QGraphError(f"{where(node)} quantizes an activation per channel; use one scale for the whole tensor")
    kind = KINDS.get(ir.DataType.from_numpy(zero.dtype))
    number, point = float(scale.reshape(())), int(zero.reshape(()))
    if kind in ("uint8", "uint4"):  # fewer bits lie in bytes
        return Out(ir.DataType.UINT8, number, point, INT_TYPES[kind].qmax)
    if kind == "int8":
        return Out(ir.DataType.UINT8, number, point + 128)
    if kind == "int16":
        return Out(ir.DataType.INT16, number, point)
    raise QGraphError(f"{where(node)} quantizes an activation to {kind}; use uint4, uint8, int8 or int16")


def weight_of(node: ir.Node) -> Weight | None:
    """The constant that a DequantizeLinear node unpacks."""
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
    kind = INT_TYPES["int8" if levels is not None else KINDS[source.const_value.dtype]]  # type: ignore[union-attr]
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    zeros = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    codes = array.astype(np.int32 if kind.bits == 32 else np.int8 if kind.signed else np.uint8)
    axis = attr(node, "axis", 1) if scale.ndim else None
    if axis is not None and axis < 0:
        axis += codes.ndim
    if scale.ndim == 1 and scale.size == 1 and (axis is None or codes.shape[axis] != 1):
        scale, zeros, axis = scale.reshape(()), zeros.reshape(()), None
    return Weight(source.name or "", codes, QParams(kind, scale, zeros, axis, attr(node, "block_size", 0)), levels)
