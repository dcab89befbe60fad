// Quantize, Dequantize, Requantize, QuantizeTokens, Lookup, Curve, Binary.
#pragma once

#include "ops/dialect_generated.h"
#include "ops/quantization.h"

namespace qgraph::ops {

class Quantize : public Op {
 public:
  explicit Quantize(const OpSource& s);
  void infer(const Values& v) override;

  OutputFormat output;
  float scale;
};

class Dequantize : public Op {
 public:
  explicit Dequantize(const OpSource& s);
  void infer(const Values& v) override;

  int32_t x_zero;
  float scale;
};

/// Inputs: x, multiplier (one element, or one for each index of the last axis).
class Requantize : public Op {
 public:
  explicit Requantize(const OpSource& s);
  void infer(const Values& v) override;

  OutputFormat output;
  int32_t x_zero;
  const float* multiplier;
  int64_t multipliers;
};

/// Inputs: x (uint8, int16 or float32), channel (float32, optional). Outputs: codes (uint8, zero point 128), row scales.
class QuantizeTokens : public Op {
 public:
  explicit QuantizeTokens(const OpSource& s);
  void infer(const Values& v) override;

  int32_t x_zero;
  float scale;
  const float* channel = nullptr;
  int64_t channels = 0;
};

/// Inputs: x, table of [256] or [65536], or [channels, 256] with the channel axis given.
class Lookup : public Op {
 public:
  explicit Lookup(const OpSource& s);
  void infer(const Values& v) override;

  const uint8_t* table;
  size_t entry_bytes;
  int64_t entries, channels, axis;
};

/// Inputs: x (int16), coefficients [5, 32]: in each of 32 segments of 2^shift codes, the first from `start`, a polynomial of
/// degree 4.
///   i = clamp((x - start) >> shift, 0, 31), d = float(x - start - i * 2^shift - 2^shift / 2)    (the outer segments have no end)
///   t = (((c[4][i] * d + c[3][i]) * d + c[2][i]) * d + c[1][i]) * d + c[0][i]
class Curve : public Op {
 public:
  static constexpr int kSegments = 32, kTerms = 5;
  explicit Curve(const OpSource& s);
  void infer(const Values& v) override;

  OutputFormat output;
  const float* coefficients;
  int32_t start;
  int shift;
};

/// y = a op b with broadcasting.
class Binary : public Op {
 public:
  explicit Binary(const OpSource& s);
  void infer(const Values& v) override;

  OutputFormat output;
  dialect::BinaryOp op;
  int32_t a_zero, b_zero;
  float a_multiplier, b_multiplier;
};

}  // namespace qgraph::ops
