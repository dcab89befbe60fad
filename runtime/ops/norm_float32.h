// Normalisations and softmax of float32, as ONNX names and means them.
#pragma once

#include "ops/op.h"
#include "ops/shape.h"

namespace qgraph::ops {

/// Softmax, LogSoftmax and Hardmax along an axis.
class FloatSoftmax : public Op {
 public:
  explicit FloatSoftmax(const OpSource& s) : Op(s), axis_(s.attributes.integer("axis", -1)) {}
  void infer(const Values& v) override;

  AxisSplit split{};

 private:
  int64_t axis_;
};

/// LayerNormalization and RMSNormalization. Inputs: x, scale, bias (optional); outputs: y, and of each row mean and inverse.
class RowNormalization : public Op {
 public:
  explicit RowNormalization(const OpSource& s);
  void infer(const Values& v) override;

  bool centred;  // LayerNormalization
  double epsilon;
  int64_t n = 1;     // elements that are normalized together
  bool each = true;  // an element of scale and bias for each of them, and not one for all

 private:
  int64_t axis_;
};

/// GroupNormalization and InstanceNormalization. Inputs: x [batch, channels, ...], scale, bias.
class GroupNormalization : public Op {
 public:
  explicit GroupNormalization(const OpSource& s);
  void infer(const Values& v) override;

  double epsilon;
  int64_t groups;  // 0: as many as channels
};

/// Inputs: x [batch, channels, ...], scale, bias, mean, variance.
class BatchNormalization : public Op {
 public:
  explicit BatchNormalization(const OpSource& s) : Op(s), epsilon(s.attributes.number("epsilon", 1e-5f)) {}
  void infer(const Values& v) override;

  double epsilon;
};

/// LRN. Input: x [batch, channels, ...].
class ResponseNormalization : public Op {
 public:
  explicit ResponseNormalization(const OpSource& s);
  void infer(const Values& v) override;

  int64_t size;
  double factor, beta, bias;
};

class LpNormalization : public Op {
 public:
  explicit LpNormalization(const OpSource& s);
  void infer(const Values& v) override;

  bool squares;
  AxisSplit split{};

 private:
  int64_t axis_;
};

class MeanVarianceNormalization : public Op {
 public:
  explicit MeanVarianceNormalization(const OpSource& s);
  void infer(const Values& v) override;

  Shape axes, kept;  // of the input, in order

 private:
  std::vector<int64_t> axes_;
};

}  // namespace qgraph::ops
