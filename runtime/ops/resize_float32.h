// Resize of ONNX: nearest elements of any type along any axes, linear and cubic in float32.
#pragma once

#include "ops/op.h"
#include "ops/resize_axis.h"

namespace qgraph::ops {

/// Inputs: x, roi (optional), scales (optional), sizes (where there are no scales).
class OnnxResize : public Op {
 public:
  explicit OnnxResize(const OpSource& s);
  void infer(const Values& v) override;

  dialect::Interpolation mode;
  dialect::ResizeCoordinates coordinates;
  dialect::ResizeNearest nearest;
  bool antialias, exclude_outside;
  double cubic_coeff_a;
  float extrapolation_value;
  std::vector<ResizedAxis> axes;  // those that change, in order

 private:
  dialect::AspectRatio policy_;
  std::vector<int64_t> axes_;
};

}  // namespace qgraph::ops
