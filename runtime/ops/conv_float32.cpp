#include "ops/conv_float32.h"

#include <algorithm>

namespace qgraph::ops {
namespace {

constexpr int64_t kLimit = 1 << 20;  // of strides, dilations and pads

bool within(const std::vector<int64_t>& values, int64_t low) {
  return std::all_of(values.begin(), values.end(), [low](int64_t v) { return v >= low && v < kLimit; });
}

}  // namespace

FloatConvBase::FloatConvBase(const OpSource& s, bool transposed, size_t bias_place)
    : Op(s),
      bias(bias_place),
      has_bias(s.has(bias_place)),
      groups(s.attributes.integer("group", 1)),
      auto_pad_(choice<dialect::AutoPad>(s.attributes, "auto_pad")),
      transposed_(transposed),
      strides_(s.attributes.integers("strides")),
      dilations_(s.attributes.integers("dilations")),
      pads_(s.attributes.integers("pads")),
      kernel_shape_(s.attributes.integers("kernel_shape")) {
  require(groups >= 1 && within(strides_, 1) && within(dilations_, 1) && within(pads_, -kLimit),
          "bad group, strides, dilations or pads");
  if (s.input(1).data != nullptr) take_weights(s.input(1).shape);
}

void FloatConvBase::take_weights(const Shape& w) {
  require(w.size() >= 3 && w.size() <= 5, "a convolution has one to three spatial axes");
  const size_t n = w.size() - 2;
  first_ = 3 - n;
  auto fits = [n](const std::vector<int64_t>& values, size_t count) { return values.empty() || values.size() == count * n; };
  require(fits(strides_, 1) && fits(dilations_, 1) && fits(pads_, 2) && fits(kernel_shape_, 1),
          "strides, dilations or pads do not fit the number of axes");
  kernel = stride = dilation = {1, 1, 1};
  taps = 1;
  for (size_t i = 0; i < n; ++i) {
    const size_t axis = first_ + i;
    kernel[axis] = w[i + 2];
    require(kernel_shape_.empty() || kernel_shape_[i] == kernel[axis], "kernel_shape is not that of the weights");
    require(kernel[axis] >= 1 && kernel[axis] < kLimit, "the kernel is empty or too large");
    if (!strides_.empty()) stride[axis] = strides_[i];
    if (!dilations_.empty()) dilation[axis] = dilations_[i];
    taps *= kernel[axis];
  }
  inputs = transposed_ ? w[0] : w[1] * groups;
  outputs = transposed_ ? w[1] * groups : w[0];
  require(inputs % groups == 0 && outputs % groups == 0, "the groups do not divide the channels");
}

void FloatConvBase::take_inputs(const Values& v) {
  const Tensor &x = in(v, 0, {DType::F32}), &w = in(v, 1, {DType::F32});
  take_weights(w.shape);
  require(x.rank() == w.rank() && x.shape[1] == inputs, "the input does not fit the weights and groups");
  batch = x.shape[0];
  size = {1, 1, 1};
  begin = end = {0, 0, 0};
  for (size_t axis = first_; axis < 3; ++axis) {
    size[axis] = x.shape[axis - first_ + 2];
    if (pads_.empty() || auto_pad_ != dialect::AutoPad::Notset) continue;
    begin[axis] = pads_[axis - first_];
    end[axis] = pads_[axis - first_ + 3 - first_];
  }
  if (has_bias) require(in(v, bias, {DType::F32}).size() == outputs, "there must be one bias a channel");
}

void FloatConvBase::set_output(const Values& v) {
  Shape shape{batch, outputs};
  for (size_t axis = 0; axis < 3; ++axis) {
    require(out_size[axis] >= 0 && out_size[axis] < (int64_t{1} << 31), "the output would be empty or too large");
    if (axis >= first_) shape.push_back(out_size[axis]);
  }
  out(v).shape = shape;
  pixels = out_size[0] * out_size[1] * out_size[2];
}

void FloatConvBase::spread(size_t axis, int64_t total) {
  begin[axis] = auto_pad_ == dialect::AutoPad::SameLower ? (total + 1) / 2 : total / 2;
  end[axis] = total - begin[axis];
}

void FloatConvBase::find_places() {
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t room = size[axis] + begin[axis] + end[axis] - extent(axis);
    require(room >= 0 || size[axis] == 0, "the input is smaller than the kernel");
    out_size[axis] = room < 0 ? 0 : room / stride[axis] + 1;
  }
}

FloatConv::FloatConv(const OpSource& s) : FloatConvBase(s, false), has_residual(s.has(3)), clamp(read_clamp(s.attributes)) {}

void FloatConv::infer(const Values& v) {
  take_inputs(v);
  const bool same = auto_pad_ == dialect::AutoPad::SameUpper || auto_pad_ == dialect::AutoPad::SameLower;
  for (size_t axis = 0; axis < 3; ++axis) {
    if (same)
      spread(axis, std::max<int64_t>(
                       0, ((size[axis] + stride[axis] - 1) / stride[axis] - 1) * stride[axis] + extent(axis) - size[axis]));
  }
  find_places();
  set_output(v);
  if (has_residual) require(in(v, 3, {DType::F32}).shape == out(v).shape, "the residual must have the output's shape");
}

FloatDeformConv::FloatDeformConv(const OpSource& s)
    : FloatConvBase(s, false, 3), offset_groups(s.attributes.integer("offset_group", 1)), has_mask(s.has(4)) {
  require(offset_groups >= 1, "bad offset_group");
}

void FloatDeformConv::infer(const Values& v) {
  take_inputs(v);
  require(first_ == 1, "its convolutions have two spatial axes; replace it in the model");
  require(inputs % offset_groups == 0, "the offset groups do not divide the channels");
  find_places();
  set_output(v);
  const int64_t moved = offset_groups * taps;
  require(in(v, 2, {DType::F32}).shape == Shape{batch, moved * 2, out_size[1], out_size[2]}, "the offsets do not fit the output");
  if (has_mask)
    require(in(v, 4, {DType::F32}).shape == Shape{batch, moved, out_size[1], out_size[2]}, "the mask does not fit the output");
}

FloatConvTranspose::FloatConvTranspose(const OpSource& s)
    : FloatConvBase(s, true),
      output_padding_(s.attributes.integers("output_padding")),
      output_shape_(s.attributes.integers("output_shape")) {
  require(within(output_padding_, 0), "bad output_padding");
}

void FloatConvTranspose::infer(const Values& v) {
  take_inputs(v);
  const size_t n = 3 - first_;
  require(output_padding_.empty() || output_padding_.size() == n, "output_padding does not fit the number of axes");
  require(output_shape_.empty() || output_shape_.size() == n || output_shape_.size() == n + 2,
          "output_shape does not fit the number of axes");
  const bool same = auto_pad_ == dialect::AutoPad::SameUpper || auto_pad_ == dialect::AutoPad::SameLower;
  for (size_t axis = 0; axis < 3; ++axis) {
    const bool real = axis >= first_;
    const int64_t extra = real && !output_padding_.empty() ? output_padding_[axis - first_] : 0;
    const int64_t full = size[axis] == 0 ? 0 : stride[axis] * (size[axis] - 1) + extra + extent(axis);
    if (real && !output_shape_.empty()) {
      out_size[axis] = output_shape_[axis - first_ + output_shape_.size() - n];
      const int64_t total = std::max<int64_t>(0, full - out_size[axis]);
      begin[axis] = auto_pad_ == dialect::AutoPad::SameUpper ? total / 2 : (total + 1) / 2;
      end[axis] = total - begin[axis];
    } else if (same) {
      out_size[axis] = size[axis] * stride[axis];
      spread(axis, std::max<int64_t>(0, full - out_size[axis]));
    } else {
      out_size[axis] = full - begin[axis] - end[axis];
    }
  }
  set_output(v);
}

}  // namespace qgraph::ops
