// Pools and reductions over axes, in float32 and on integers; all of the ONNX standard.
#pragma once

#include "ops/dialect_generated.h"
#include "ops/index.h"

namespace qgraph::ops {

enum class Fold { Max, Min, Sum, Mean, Prod, L1, L2, Lp, SumSquare, LogSum, LogSumExp };

/// Inputs: data, axes; or x alone, whose axes behind the first two are reduced (GlobalAveragePool and its like).
class Reduce : public IndexOp {
 public:
  explicit Reduce(const OpSource& s);
  void infer(const Values& v) override;
  /// What needs scratch is not: there is none yet while shapes are inferred.
  bool foldable(const Values& v) const override { return stages.size() == 1 && fold != Fold::LogSumExp && IndexOp::foldable(v); }

  Fold fold;
  int64_t p = 2;  // the exponent of Lp
  /// Adjacent axes that are reduced as one, the last ones first; each split is of the shape that those before it leave. There is
  /// always one.
  std::vector<AxisSplit> stages;
  int64_t count = 1;  // elements that make one

 private:
  bool global_, keep_dims_, noop_;
};

/// Where the window of a pool stands; one number a spatial axis.
struct PoolWindow {
  std::vector<int64_t> kernel, stride, dilation, begin, end, size, places;

  size_t axes() const { return kernel.size(); }
};

/// MaxPool, with indices where there are two outputs, AveragePool and LpPool.
class WindowPool : public Op {
 public:
  explicit WindowPool(const OpSource& s);
  void infer(const Values& v) override;

  enum class How { Largest, Mean, Norm };
  How how;
  bool count_include_pad, first_axis_fastest;
  int64_t p;  // the exponent of a norm
  PoolWindow window;

 private:
  dialect::AutoPad auto_pad_;
  bool ceil_;
  std::vector<int64_t> pads_;
};

/// Inputs: x, indices, output_shape.
class MaxUnpool : public Op {
 public:
  explicit MaxUnpool(const OpSource& s);
  void infer(const Values& v) override;

  Shape counted;  // the shape over which indices are counted, which the output's begins with

 private:
  std::vector<int64_t> kernel_, strides_, pads_;
};

/// Inputs: x, rois.
class MaxRoiPool : public Op {
 public:
  explicit MaxRoiPool(const OpSource& s);
  void infer(const Values& v) override;

  int64_t height, width;
  float scale;
};

}  // namespace qgraph::ops
