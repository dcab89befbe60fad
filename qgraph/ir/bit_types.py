"""What stores numbers: one row a type, with its ONNX type, what ONNX Runtime runs in its place, and its number in a program.

A new width is one row here, one entry of ``runtime/schema/program.fbs`` and one kernel row an instruction set.
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from qgraph.numerics.affine import INT_TYPES, IntType


@dataclasses.dataclass(frozen=True)
class BitType:
    """A storage type.

    Attributes:
        name: as in ``numerics.affine.INT_TYPES`` where it holds codes.
        onnx: the ONNX data type.
        program: its number in a program file (``Type`` of ``program.fbs``), None where no program holds it.
        carrier: the ONNX type that stores the same codes for ONNX Runtime, where that lacks ``onnx``.
    """

    name: str
    onnx: ir.DataType
    program: int | None = None
    carrier: ir.DataType | None = None

    @property
    def codes(self) -> IntType | None:
        """Width and range of its codes; None where it holds no codes."""
        return INT_TYPES.get(self.name)


D = ir.DataType
BIT_TYPES = (
    BitType("int2", D.INT2, 8, carrier=D.INT4),
    BitType("uint2", D.UINT2, 10, carrier=D.UINT4),
    BitType("int4", D.INT4, 7),
    BitType("uint4", D.UINT4, 9),
    BitType("int8", D.INT8, 4),
    BitType("uint8", D.UINT8, 5),
    BitType("int16", D.INT16, 3),
    BitType("uint16", D.UINT16),
    BitType("int32", D.INT32, 2),
    BitType("int64", D.INT64, 1),
    BitType("float32", D.FLOAT, 0),
    BitType("bool", D.BOOL, 6),
)
_BY_ONNX = {row.onnx: row for row in BIT_TYPES}
_BY_NAME = {row.name: row for row in BIT_TYPES}


def onnx_type(kind: IntType) -> ir.DataType:
    """The ONNX type of codes of ``kind``."""
    return _BY_NAME[kind.name].onnx


def code_type(dtype: ir.DataType | None) -> IntType | None:
    """Width and range of codes stored as ``dtype``; None where it holds no codes."""
    row = _BY_ONNX.get(dtype) if dtype is not None else None
    return None if row is None else row.codes


def program_number(dtype: ir.DataType | None) -> int | None:
    """The number of ``dtype`` in a program file; None where no program holds it."""
    row = _BY_ONNX.get(dtype) if dtype is not None else None
    return None if row is None else row.program


def carrier(dtype: ir.DataType) -> ir.DataType | None:
    """The type that stores the codes of ``dtype`` for ONNX Runtime; None where that has ``dtype`` itself."""
    row = _BY_ONNX.get(dtype)
    return None if row is None else row.carrier


def smallest_unsigned(count: int) -> IntType:
    """The packed type of as few bits as hold ``count`` different indices (at most 16)."""
    return next(kind for name in ("uint2", "uint4") if (kind := INT_TYPES[name]).qmax >= count - 1)
