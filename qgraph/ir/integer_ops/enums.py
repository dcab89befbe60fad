"""Numbers that attributes of programs carry, by name. The C++ enums are generated from these (qgraph.tools.generate_dialect)."""

from __future__ import annotations

import enum


class AutoPad(enum.IntEnum):
    """``auto_pad`` of convolutions and pools; the names are those of ONNX."""

    NOTSET = 0
    SAME_UPPER = 1
    SAME_LOWER = 2
    VALID = 3


class BinaryOp(enum.IntEnum):
    """``op`` of Binary."""

    ADD = 0
    SUB = 1
    MUL = 2
    DIV = 3
    MAX = 4
    MIN = 5


class PadMode(enum.IntEnum):
    """``mode`` of Pad; the names are those of ONNX in capitals."""

    CONSTANT = 0
    REFLECT = 1
    EDGE = 2
    WRAP = 3


class ResizeCoordinates(enum.IntEnum):
    """``coordinates`` of Resize; the names are those of ONNX's coordinate_transformation_mode in capitals."""

    HALF_PIXEL = 0
    ASYMMETRIC = 1
    ALIGN_CORNERS = 2
    PYTORCH_HALF_PIXEL = 3


class ResizeNearest(enum.IntEnum):
    """``nearest`` of Resize; the names are those of ONNX's nearest_mode in capitals."""

    ROUND_PREFER_FLOOR = 0
    ROUND_PREFER_CEIL = 1
    FLOOR = 2
    CEIL = 3


class SparseForm(enum.IntEnum):
    """``sparse`` of Linear: what the packed weights leave out. Two of every four neighbours along k, or words of 16 x 4 zeros."""

    DENSE = 0
    TWO_OF_FOUR = 1
    WORDS = 2

    def __str__(self) -> str:
        return {0: "dense", 1: "2:4", 2: "blocks of 16 x 4"}[self.value]


ENUMS: tuple[type[enum.IntEnum], ...] = (AutoPad, BinaryOp, PadMode, ResizeCoordinates, ResizeNearest, SparseForm)
