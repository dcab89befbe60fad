// How the codes of outputs and residuals are quantized: attributes that many ops share.
#pragma once

#include "ops/op.h"

namespace qgraph {

/// Type and quantization parameters of an output: code = clamp(rne(t), low, high) + zero, or t itself where it is float32.
struct OutputFormat {
  DType type = DType::U8;
  int32_t zero = 0;
  int32_t low = 0, high = 255;  // without the zero point
};

/// Attributes y_zero, clamp_min, clamp_max, and the type of output 0.
OutputFormat read_output_format(const OpSource& source);

/// What is added to an output before it is rounded. Where there is an intermediate code, the output is first rounded to that:
///   t = rne(clamp(t, intermediate_low, intermediate_high)) * intermediate_multiplier
///   t = t + float(residual - zero) * multiplier
struct Residual {
  bool given = false;
  DType type = DType::I16;
  int32_t zero = 0;
  float multiplier = 0;
  bool intermediate = false;
  int32_t intermediate_low = 0, intermediate_high = 0;  // without the zero point
  float intermediate_multiplier = 0;
};

/// Input `index`, if there is one, and the attributes residual_zero, residual_multiplier, staged, mid_zero, mid_min, mid_max and
/// mid_multiplier.
Residual read_residual(const OpSource& source, size_t index);

/// Input `index`, a constant of float32 numbers without NaN and infinity (`n` of them, when n >= 0).
const float* finite_constant(const OpSource& source, size_t index, int64_t n = -1);

/// A zero point, or another code.
inline int32_t code_attribute(const Attributes& a, const char* name, int32_t otherwise = 0) {
  return static_cast<int32_t>(a.integer(name, otherwise));
}

}  // namespace qgraph
