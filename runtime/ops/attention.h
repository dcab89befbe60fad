// Attention: softmax(q k^T * scale + mask) v.
#pragma once

#include "ops/quantization.h"

namespace qgraph::ops {

/// Inputs: q, k, v (uint8), mask (float32, added to the scores; optional). Layout: [batch, heads, length, width], or
/// [batch, length, heads, width] with attribute token_major = 1.
class Attention : public Op {
 public:
  explicit Attention(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return batch * heads * rows * keys * (width + v_width); }

  OutputFormat output;
  int32_t q_zero = 0, k_zero = 0, v_zero = 0;
  float scale = 1, multiplier = 1;
  bool token_major = false;
  int64_t batch = 0, heads = 0, rows = 0, keys = 0, width = 0, v_width = 0;
  int64_t mask_strides[4] = {0, 0, 0, 0};  // of [batch, heads, rows, keys]
};

}  // namespace qgraph::ops
