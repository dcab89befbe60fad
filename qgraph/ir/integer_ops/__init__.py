"""The integer dialect: every op that a program can hold."""

from __future__ import annotations

from qgraph.ir.integer_ops.enums import BinaryOp, PadMode, ResizeCoordinates, ResizeNearest, SparseForm

__all__ = ["BinaryOp", "PadMode", "ResizeCoordinates", "ResizeNearest", "SparseForm"]
