// Linear and MatMul.
#pragma once

#include "ops/quantization.h"
#include "ops/weight_codes.h"

namespace qgraph::ops {

/// y = x [..., k] times constant weights [n, k]. Inputs: x (uint8), weights, multiplier, bias (int32, or float32 with row scales
/// or blocks), row scales, residual.
class Linear : public Op {
 public:
  explicit Linear(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return rows * n * k; }

  OutputFormat output;
  Residual residual;
  int64_t n = 0, k = 0;
  int64_t block = 0, blocks = 1;  // depth that has one multiplier a column, 0 where all has one
  int32_t x_zero = 0;
  const float* multiplier = nullptr;  // [blocks, n]
  const int32_t* bias = nullptr;      // [n]
  const float* float_bias = nullptr;  // [n]
  SparseForm sparse = SparseForm::Dense;
  int64_t rows = 0;  // of x
};

/// y = a [..., m, k] times b [..., k, n], both uint8, leading dims broadcast.
class MatMul : public Op {
 public:
  explicit MatMul(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return elements(lead) * m * n * k; }

  OutputFormat output;
  int32_t a_zero = 0, b_zero = 0;
  float multiplier = 1;
  int64_t m = 0, k = 0, n = 0;
  Shape a_lead, b_lead, lead;
};

}  // namespace qgraph::ops
