// Products of float32 matrices: MatMul and Gemm of ONNX, and a MatMul with what follows it.
#pragma once

#include "ops/op.h"

namespace qgraph::ops {

/// Bounds of an output: y = low > t ? low : t, then high < y ? high : y; one that is left out is infinite.
struct Clamp {
  bool given = false;
  float low = 0, high = 0;
};
/// From the attributes clamp_min and clamp_max.
Clamp read_clamp(const Attributes& attributes);

/// y = a [..., m, k] times b [..., k, n], leading dims broadcast, each with its last two dims swapped where it is transposed.
/// What follows is done to each sum in this order: * alpha, + bias [n], + beta * c (which broadcasts to y), + residual, the
/// clamp.
class FloatMatMul : public Op {
 public:
  explicit FloatMatMul(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return elements(lead) * m * n * k; }

  static constexpr size_t kNone = 99;
  bool a_transposed = false, b_transposed = false;
  float alpha = 1, beta = 1;
  Clamp clamp;
  size_t bias = kNone, c = kNone, residual = kNone;  // their places among the inputs
  int64_t m = 0, k = 0, n = 0;
  Shape a_lead, b_lead, lead;
  int64_t c_row = 0, c_column = 0;  // steps of c from row to row and from column to column of y
};

}  // namespace qgraph::ops
