// Reductions over axes, in float32 and on integers; all of the ONNX standard.
#pragma once

#include "ops/index.h"

namespace qgraph::ops {

enum class Fold { Max, Min, Sum, Mean, Prod, L1, L2, SumSquare };

/// Inputs: data, axes; or x alone, whose axes behind the first two are reduced (GlobalAveragePool and its like).
class Reduce : public IndexOp {
 public:
  explicit Reduce(const OpSource& s);
  void infer(const Values& v) override;
  /// Several stages need scratch, which there is none of yet while shapes are inferred.
  bool foldable(const Values& v) const override { return stages.size() == 1 && IndexOp::foldable(v); }

  Fold fold;
  /// Adjacent axes that are reduced as one, the last ones first; each split is of the shape that those before it leave. There is
  /// always one.
  std::vector<AxisSplit> stages;
  int64_t count = 1;  // elements that make one

 private:
  bool global_, keep_dims_, noop_;
};

}  // namespace qgraph::ops
