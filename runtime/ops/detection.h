// RoiAlign and NonMaxSuppression.
#pragma once

#include "ops/dialect_generated.h"
#include "ops/op.h"

namespace qgraph::ops {

/// Inputs: x [N, C, H, W], regions [R, 4], the batch of each.
class RoiAlign : public Op {
 public:
  explicit RoiAlign(const OpSource& s);
  void infer(const Values& v) override;

  bool largest, half_pixel;
  int64_t bins[2];  // along height and width
  int64_t sampling_ratio;
  float spatial_scale;
};

/// Inputs: boxes [N, n, 4], scores [N, classes, n], the most boxes of a class, the overlap and the score from which on
/// (optional).
class NonMaxSuppression : public Op {
 public:
  explicit NonMaxSuppression(const OpSource& s);
  bool shape_from_data() const override { return true; }
  void infer(const Values& v) override;

  bool centred;
};

}  // namespace qgraph::ops
