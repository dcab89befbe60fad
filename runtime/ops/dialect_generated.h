// The integer dialect. Generated from qgraph/ir/integer_ops by qgraph.tools.generate_dialect; not to be edited.
#pragma once

#include <cstdint>

namespace qgraph::dialect {

/// auto_pad of convolutions and pools; the names are those of ONNX.
enum class AutoPad : int { Notset = 0, SameUpper = 1, SameLower = 2, Valid = 3 };

/// op of Binary.
enum class BinaryOp : int { Add = 0, Sub = 1, Mul = 2, Div = 3, Max = 4, Min = 5 };

/// mode of Pad; the names are those of ONNX in capitals.
enum class PadMode : int { Constant = 0, Reflect = 1, Edge = 2, Wrap = 3 };

/// coordinates of Resize; the names are those of ONNX's coordinate_transformation_mode in capitals. Codes have the first four.
enum class ResizeCoordinates : int {
  HalfPixel = 0,
  Asymmetric = 1,
  AlignCorners = 2,
  PytorchHalfPixel = 3,
  HalfPixelSymmetric = 4,
  TfCropAndResize = 5
};

/// nearest of Resize; the names are those of ONNX's nearest_mode in capitals.
enum class ResizeNearest : int { RoundPreferFloor = 0, RoundPreferCeil = 1, Floor = 2, Ceil = 3 };

/// direction of BitShift.
enum class ShiftDirection : int { Left = 0, Right = 1 };

/// approximate of Gelu; the names are those of ONNX in capitals.
enum class GeluApproximation : int { None = 0, Tanh = 1 };

/// sparse of Linear: what the packed weights leave out. Two of every four neighbours along k, or words of 16 x 4 zeros.
enum class SparseForm : int { Dense = 0, TwoOfFour = 1, Words = 2 };

}  // namespace qgraph::dialect
