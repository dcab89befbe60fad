// ScatterElements, ScatterND and TensorScatter: a copy of the data with updates at some places.
#pragma once

#include "ops/dialect_generated.h"
#include "ops/movement.h"
#include "ops/shape.h"

namespace qgraph::ops {

/// Inputs: data, indices, updates. An index out of range is an error, never a write outside.
class ScatterElements : public Movement {
 public:
  explicit ScatterElements(const OpSource& s);
  void infer(const Values& v) override;

  dialect::ScatterReduction reduction;
  size_t axis = 0;

 private:
  int64_t given_axis_;
};

/// The same; the last axis of the indices has the places along the first `depth` axes of the data.
class ScatterND : public Movement {
 public:
  explicit ScatterND(const OpSource& s);
  void infer(const Values& v) override;

  dialect::ScatterReduction reduction;
  size_t depth = 1;
};

/// Inputs: data, update, where to begin in each batch (optional).
class TensorScatter : public Movement {
 public:
  explicit TensorScatter(const OpSource& s);
  void infer(const Values& v) override;

  bool circular;
  AxisSplit split{};  // of the data
  int64_t update_length = 0;

 private:
  int64_t axis_;
};

}  // namespace qgraph::ops
