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

/// reduction of ScatterElements and ScatterND; the names are those of ONNX in capitals.
enum class ScatterReduction : int { None = 0, Add = 1, Mul = 2, Max = 3, Min = 4 };

/// mode of TensorScatter; the names are those of ONNX in capitals.
enum class CacheMode : int { Linear = 0, Circular = 1 };

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

/// direction of LSTM, GRU and RNN; the names are those of ONNX in capitals.
enum class RecurrentDirection : int { Forward = 0, Reverse = 1, Bidirectional = 2 };

/// activations of LSTM, GRU and RNN; the names are those of ONNX in capitals.
enum class RecurrentFunction : int {
  Affine = 0,
  Relu = 1,
  Leakyrelu = 2,
  Thresholdedrelu = 3,
  Tanh = 4,
  Scaledtanh = 5,
  Sigmoid = 6,
  Hardsigmoid = 7,
  Elu = 8,
  Softsign = 9,
  Softplus = 10
};

/// mode of Resize and GridSample in float32; the names are those of ONNX in capitals.
enum class Interpolation : int { Nearest = 0, Linear = 1, Cubic = 2 };

/// keep_aspect_ratio_policy of Resize; the names are those of ONNX in capitals.
enum class AspectRatio : int { Stretch = 0, NotLarger = 1, NotSmaller = 2 };

/// padding_mode of GridSample; the names are those of ONNX in capitals.
enum class GridPadding : int { Zeros = 0, Border = 1, Reflection = 2 };

/// mode of RoiAlign; the names are those of ONNX in capitals.
enum class RoiMode : int { Avg = 0, Max = 1 };

/// coordinate_transformation_mode of RoiAlign; the names are those of ONNX in capitals.
enum class RoiCoordinates : int { HalfPixel = 0, OutputHalfPixel = 1 };

/// direction of BitShift.
enum class ShiftDirection : int { Left = 0, Right = 1 };

/// approximate of Gelu; the names are those of ONNX in capitals.
enum class GeluApproximation : int { None = 0, Tanh = 1 };

/// sparse of Linear: what the packed weights leave out. Two of every four neighbours along k, or words of 16 x 4 zeros.
enum class SparseForm : int { Dense = 0, TwoOfFour = 1, Words = 2 };

}  // namespace qgraph::dialect
