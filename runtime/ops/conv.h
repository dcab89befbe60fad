// Conv and ConvTranspose over one or two spatial axes, channels last, uint8 x int8.
#pragma once

#include "ops/quantization.h"
#include "ops/weight_codes.h"

namespace qgraph::ops {

/// Where a window lies: two axes each, the first of length 1 where there is one spatial axis.
struct Window {
  int64_t kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1}, begin[2] = {0, 0}, end[2] = {0, 0};

  int64_t taps() const { return kernel[0] * kernel[1]; }
  /// Input places from the first tap to the last of an axis, both counted.
  int64_t extent(int axis) const { return dilation[axis] * (kernel[axis] - 1) + 1; }
};

/// Inputs: x [n, size..., c], weights, multiplier [o], bias int32 [o].
class ConvBase : public Op {
 public:
  OutputFormat output;
  Window window;
  int64_t groups = 1, inputs = 0, outputs = 0;  // channels, of all groups
  int32_t x_zero = 0;
  const float* multiplier = nullptr;
  const int32_t* bias = nullptr;
  int64_t batch = 0, size[2] = {1, 1}, out_size[2] = {1, 1}, pixels = 0;  // pixels: of one output image

 protected:
  ConvBase(const OpSource& s, bool transposed);
  void take_input(const Values& v);
  void set_output(const Values& v);
  int64_t macs_of(int64_t places) const { return batch * places * window.taps() * inputs / groups * outputs; }

  int spatial_ = 2;
};

/// Weights [o, kernel..., c / groups]; input 4 is a residual like the output.
class Conv : public ConvBase {
 public:
  explicit Conv(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return macs_of(pixels); }

  Residual residual;
};

/// Weights [c, kernel..., o / groups]; each input pixel spreads into the outputs under the kernel.
class ConvTranspose : public ConvBase {
 public:
  explicit ConvTranspose(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return macs_of(size[0] * size[1]); }

 private:
  int64_t output_padding_[2] = {0, 0};
};

}  // namespace qgraph::ops
