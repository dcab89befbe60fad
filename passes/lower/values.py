"""What the lowering knows about values: how a tensor is quantized, and which value of the integer graph holds its codes."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.bit_types import code_type
from qgraph.ir.patterns import attr, constant
from qgraph.ir.scopes import where
from qgraph.ir.weights import check_scale


def f32(x: float) -> float:
    """Rounded once to float32."""
    return float(np.float32(x))


@dataclasses.dataclass(frozen=True)
class QuantSpec:
    """How a kernel writes its output: ``uint8`` (up to ``qmax``) or ``int16`` codes of (scale, zero point), or float32."""

    type: ir.DataType
    scale: float = 1.0
    zero_point: int = 0
    qmax: int = 255

    @property
    def attributes(self) -> dict[str, int]:
        """The attributes of a kernel that writes it."""
        if self.type == ir.DataType.FLOAT:
            return {}
        return {"y_zero": self.zero_point, **({"clamp_max": self.qmax} if self.qmax < 255 else {})}

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and the highest code."""
        return (0, self.qmax) if self.type == ir.DataType.UINT8 else (-32768, 32767)

    @property
    def is_int16(self) -> bool:
        return self.type != ir.DataType.UINT8

    @property
    def max_abs_code(self) -> int:
        """The largest |code - zero point|."""
        low, high = self.limits
        return max(high - self.zero_point, self.zero_point - low)

    def code(self, x: float) -> int:
        """The code of the real number ``x``."""
        low, high = self.limits
        return int(np.clip(np.rint(x / self.scale) + self.zero_point, low, high))


FLOAT = QuantSpec(ir.DataType.FLOAT)


@dataclasses.dataclass(frozen=True)
class QuantizedValue:
    """A quantized tensor of the integer graph: the value that holds its codes, and what they mean."""

    value: ir.Value
    spec: QuantSpec

    @property
    def scale(self) -> float:
        return self.spec.scale

    @property
    def zero_point(self) -> int:
        return self.spec.zero_point

    @property
    def is_int16(self) -> bool:
        return self.spec.is_int16

    @property
    def max_abs_code(self) -> int:
        return self.spec.max_abs_code


def spec_of(node: ir.Node) -> QuantSpec:
    """What a QuantizeLinear or DequantizeLinear node of an activation says (int8 becomes uint8 with 128 added)."""
    given = node.inputs[2] if len(node.inputs) > 2 else None
    scale, zero = constant(node.inputs[1]), np.zeros((), np.uint8) if given is None else constant(given)
    if scale is None or zero is None:
        raise QGraphError(f"{where(node)} has a scale or zero point that is computed; only constants can be compiled")
    if scale.size != 1 or zero.size != 1:
        raise QGraphError(f"{where(node)} quantizes an activation per channel; use one scale for the whole tensor")
    check_scale(node, scale)
    dtype = _codes_type(node) if given is None else ir.DataType.from_numpy(zero.dtype)
    kind = code_type(dtype)
    name = dtype.name.lower()
    number, point = float(scale.reshape(())), int(zero.reshape(()))
    if kind is not None and name in ("uint8", "uint4"):  # fewer bits lie in bytes
        return QuantSpec(ir.DataType.UINT8, number, point, kind.qmax)
    if name == "int8":
        return QuantSpec(ir.DataType.UINT8, number, point + 128)
    if name == "int16":
        return QuantSpec(ir.DataType.INT16, number, point)
    raise QGraphError(f"{where(node)} quantizes an activation to {name}; use uint4, uint8, int8 or int16")


def _codes_type(node: ir.Node) -> ir.DataType:
    """The type of the codes of a QuantizeLinear or DequantizeLinear node without a zero point."""
    if node.op_type == "QuantizeLinear":
        return ir.DataType(attr(node, "output_dtype", 0) or ir.DataType.UINT8)
    dtype = node.inputs[0].dtype  # type: ignore[union-attr]
    return ir.DataType.UINT8 if dtype is None else dtype
