// LayerNorm (last axes), GroupNorm (InstanceNorm is one group a channel), Softmax, LocalResponseNorm.
#pragma once

#include "ops/quantization.h"

namespace qgraph::ops {

/// Inputs: x, gamma, beta (float32, already divided by the output's scale). epsilon is divided by the input scale squared.
class LayerNorm : public Op {
 public:
  explicit LayerNorm(const OpSource& s);
  void infer(const Values& v) override;

  OutputFormat output;
  float epsilon;
  const float *gamma, *beta;
  int64_t n;  // elements that are normalized together
};

/// Inputs: x [batch, channels, ...], gamma, beta (one a channel). Statistics over a group's channels and positions.
class GroupNorm : public Op {
 public:
  explicit GroupNorm(const OpSource& s);
  void infer(const Values& v) override;

  OutputFormat output;
  float epsilon;
  const float *gamma, *beta;
  int64_t channels, groups;
};

/// Softmax over one axis; output uint8 or int16 codes of scale 1 / qmax, or float32.
class Softmax : public Op {
 public:
  explicit Softmax(const OpSource& s);
  void infer(const Values& v) override;

  OutputFormat output;
  float scale, qmax;
  int32_t x_zero;
  int64_t n = 0, inner = 1;  // elements of the axis, and from one to the next

 private:
  int64_t axis_;
};

/// y = x / (bias + alpha / size * sum of squares over neighbouring channels) ^ beta.
class LocalResponseNorm : public Op {
 public:
  explicit LocalResponseNorm(const OpSource& s);
  void infer(const Values& v) override;

  OutputFormat output;
  int64_t size;
  int32_t x_zero;
  float factor;  // alpha / size * scale^2
  float bias, beta;
  float multiplier;  // input scale / output scale
};

}  // namespace qgraph::ops
