// MaxPool, AveragePool (one or two spatial axes, channels last), ReduceMean, ReduceMax, CumSum.
#pragma once

#include "ops/quantization.h"
#include "ops/shape.h"

namespace qgraph::ops {

/// MaxPool and AveragePool.
class Pool : public Op {
 public:
  explicit Pool(const OpSource& s);
  void infer(const Values& v) override;

  bool average, count_include_pad;
  OutputFormat output;
  int64_t kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1}, begin[2] = {0, 0}, end[2] = {0, 0};
  int64_t size[2] = {1, 1}, out_size[2] = {1, 1}, channels = 0;
  int32_t x_zero = 0;
  float multiplier = 1;

 private:
  bool ceil_;
  int spatial_ = 2;
};

/// Axes that are reduced, of codes.
class Reduction : public Op {
 public:
  void infer(const Values& v) override;

  bool last_kept = false;           // whether the last axis is not reduced
  Shape kept_shape, reduced_shape;  // the input's dims of each kind
  std::vector<int64_t> kept_strides, reduced_strides;

 protected:
  explicit Reduction(const OpSource& s);

 private:
  std::vector<int64_t> axes_;
  bool keep_dims_;
};

class ReduceMean : public Reduction {
 public:
  explicit ReduceMean(const OpSource& s);

  OutputFormat output;
  int32_t x_zero;
  float multiplier;
};

/// CumSum and CumProd. Inputs: x, axis.
class CumSum : public Op {
 public:
  explicit CumSum(const OpSource& s);
  void infer(const Values& v) override;

  bool exclusive, reverse;
  AxisSplit split{};
};

class ReduceMax : public Reduction {
 public:
  explicit ReduceMax(const OpSource& s);
};

}  // namespace qgraph::ops
