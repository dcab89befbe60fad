// Conv and ConvTranspose of float32 over one to three spatial axes, channels first as in ONNX.
#pragma once

#include <array>

#include "ops/dialect_generated.h"
#include "ops/linear_float32.h"

namespace qgraph::ops {

/// Lengths along the spatial axes; where there are fewer than three, the first ones are 1 (or 0 of a pad).
using Space = std::array<int64_t, 3>;

/// Inputs: x [n, c, size...], weights, and at `bias` one [o].
class FloatConvBase : public Op {
 public:
  size_t bias;
  bool has_bias = false;
  int64_t groups = 1, batch = 0, inputs = 0, outputs = 0;  // channels, of all groups
  Space kernel{}, stride{}, dilation{}, begin{}, end{}, size{}, out_size{};
  int64_t taps = 0, pixels = 0;  // of one kernel, of one channel of y

 protected:
  FloatConvBase(const OpSource& s, bool transposed, size_t bias = 2);
  /// Kernel, strides and dilations, for weights of that shape.
  void take_weights(const Shape& w);
  void take_inputs(const Values& v);
  void set_output(const Values& v);
  int64_t macs_of(int64_t places) const { return batch * places * taps * inputs / groups * outputs; }
  int64_t extent(size_t axis) const { return dilation[axis] * (kernel[axis] - 1) + 1; }
  /// Output places of pads, stride and dilation.
  void find_places();
  /// Divide pads among both ends.
  void spread(size_t axis, int64_t total);

  dialect::AutoPad auto_pad_;
  size_t first_ = 0;  // axis

 private:
  Space spatial(const Attributes& attributes, const char* name, int64_t otherwise) const;

  bool transposed_;
  std::vector<int64_t> strides_, dilations_, pads_, kernel_shape_;
};

/// Weights [o, c / groups, kernel...]; input 3 is a residual of the shape of y.
class FloatConv : public FloatConvBase {
 public:
  explicit FloatConv(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return macs_of(pixels); }

  bool has_residual = false;
  Clamp clamp;
};

/// A Conv over two axes whose taps are moved: by input 2, offsets [n, offset groups * taps * 2, places...], and at will
/// multiplied by input 4, a mask [n, offset groups * taps, places...].
class FloatDeformConv : public FloatConvBase {
 public:
  explicit FloatDeformConv(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return macs_of(pixels); }

  int64_t offset_groups = 1;
  bool has_mask = false;
};

/// Weights [c, o / groups, kernel...].
class FloatConvTranspose : public FloatConvBase {
 public:
  explicit FloatConvTranspose(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return macs_of(size[0] * size[1] * size[2]); }

 private:
  std::vector<int64_t> output_padding_, output_shape_;
};

}  // namespace qgraph::ops
