// GridSample and AffineGrid.
#pragma once

#include "ops/dialect_generated.h"
#include "ops/op.h"

namespace qgraph::ops {

/// Inputs: x [N, C, ...], where to read [N, ..., 2 or 3].
class GridSample : public Op {
 public:
  explicit GridSample(const OpSource& s);
  void infer(const Values& v) override;

  dialect::Interpolation mode;
  dialect::GridPadding padding;
  bool align_corners;
};

/// Inputs: theta [N, 2, 3] or [N, 3, 4], the size [N, C, ...].
class AffineGrid : public Op {
 public:
  explicit AffineGrid(const OpSource& s) : Op(s), align_corners(s.attributes.integer("align_corners", 0) != 0) {}
  void infer(const Values& v) override;

  bool align_corners;
};

}  // namespace qgraph::ops
