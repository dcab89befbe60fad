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


class ScatterReduction(enum.IntEnum):
    """``reduction`` of ScatterElements and ScatterND; the names are those of ONNX in capitals."""

    NONE = 0
    ADD = 1
    MUL = 2
    MAX = 3
    MIN = 4


class CacheMode(enum.IntEnum):
    """``mode`` of TensorScatter; the names are those of ONNX in capitals."""

    LINEAR = 0
    CIRCULAR = 1


class ResizeCoordinates(enum.IntEnum):
    """``coordinates`` of Resize; the names are those of ONNX's coordinate_transformation_mode in capitals. Codes have the first
    four.
    """

    HALF_PIXEL = 0
    ASYMMETRIC = 1
    ALIGN_CORNERS = 2
    PYTORCH_HALF_PIXEL = 3
    HALF_PIXEL_SYMMETRIC = 4
    TF_CROP_AND_RESIZE = 5


class ResizeNearest(enum.IntEnum):
    """``nearest`` of Resize; the names are those of ONNX's nearest_mode in capitals."""

    ROUND_PREFER_FLOOR = 0
    ROUND_PREFER_CEIL = 1
    FLOOR = 2
    CEIL = 3


class RecurrentDirection(enum.IntEnum):
    """``direction`` of LSTM, GRU and RNN; the names are those of ONNX in capitals."""

    FORWARD = 0
    REVERSE = 1
    BIDIRECTIONAL = 2


class RecurrentFunction(enum.IntEnum):
    """``activations`` of LSTM, GRU and RNN; the names are those of ONNX in capitals."""

    AFFINE = 0
    RELU = 1
    LEAKYRELU = 2
    THRESHOLDEDRELU = 3
    TANH = 4
    SCALEDTANH = 5
    SIGMOID = 6
    HARDSIGMOID = 7
    ELU = 8
    SOFTSIGN = 9
    SOFTPLUS = 10


class Interpolation(enum.IntEnum):
    """``mode`` of Resize and GridSample in float32; the names are those of ONNX in capitals."""

    NEAREST = 0
    LINEAR = 1
    CUBIC = 2


class AspectRatio(enum.IntEnum):
    """``keep_aspect_ratio_policy`` of Resize; the names are those of ONNX in capitals."""

    STRETCH = 0
    NOT_LARGER = 1
    NOT_SMALLER = 2


class GridPadding(enum.IntEnum):
    """``padding_mode`` of GridSample; the names are those of ONNX in capitals."""

    ZEROS = 0
    BORDER = 1
    REFLECTION = 2


class RoiMode(enum.IntEnum):
    """``mode`` of RoiAlign; the names are those of ONNX in capitals."""

    AVG = 0
    MAX = 1


class RoiCoordinates(enum.IntEnum):
    """``coordinate_transformation_mode`` of RoiAlign; the names are those of ONNX in capitals."""

    HALF_PIXEL = 0
    OUTPUT_HALF_PIXEL = 1


class ShiftDirection(enum.IntEnum):
    """``direction`` of BitShift."""

    LEFT = 0
    RIGHT = 1


class GeluApproximation(enum.IntEnum):
    """``approximate`` of Gelu; the names are those of ONNX in capitals."""

    NONE = 0
    TANH = 1


class SparseForm(enum.IntEnum):
    """``sparse`` of Linear: what the packed weights leave out. Two of every four neighbours along k, or words of 16 x 4 zeros."""

    DENSE = 0
    TWO_OF_FOUR = 1
    WORDS = 2

    def __str__(self) -> str:
        return {0: "dense", 1: "2:4", 2: "blocks of 16 x 4"}[self.value]


ENUMS: tuple[type[enum.IntEnum], ...] = tuple(
    kind for kind in list(globals().values()) if isinstance(kind, type) and issubclass(kind, enum.IntEnum)
)
