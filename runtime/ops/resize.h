// Resize over the last one or two axes: nearest (copies codes) and linear (half-pixel, align-corners, asymmetric).
#pragma once

#include "ops/dialect_generated.h"
#include "ops/quantization.h"
#include "ops/resize_axis.h"

namespace qgraph::ops {

/// Inputs: x, scales (float32) or sizes (int64), one for each of the spatial axes.
class Resize : public Op {
 public:
  explicit Resize(const OpSource& s);
  void infer(const Values& v) override;

  OutputFormat output;
  bool linear;
  dialect::ResizeCoordinates coordinates;
  dialect::ResizeNearest nearest;
  int32_t x_zero;
  float multiplier;
  ResizedAxis axes[2];  // the last two; without two_axes the second alone is resized
  bool two_axes = false;
};

}  // namespace qgraph::ops
