#include "ops/conv.h"

namespace qgraph::ops {

ConvBase::ConvBase(const OpSource& s, bool transposed) : Op(s), output(read_output_format(s)) {
  const TensorInfo& w = read_codes(s, 1).info;
  require(w.shape.size() == 3 || w.shape.size() == 4, "the weights must have 3 or 4 dims");
  spatial_ = static_cast<int>(w.shape.size()) - 2;
  groups = s.attributes.integer("group", 1);
  x_zero = code_attribute(s.attributes, "x_zero");
  for (int64_t d : w.shape) require(d >= 1, "the weights are empty");
  inputs = transposed ? w.shape[0] : w.shape.back() * groups;
  outputs = transposed ? w.shape.back() * groups : w.shape[0];
  require(inputs % groups == 0 && outputs % groups == 0, "the groups do not divide the channels");
  const auto strides = s.attributes.integers("strides"), dilations = s.attributes.integers("dilations"),
             pads = s.attributes.integers("pads");
  const size_t n = static_cast<size_t>(spatial_);
  require(strides.size() == n && dilations.size() == n && pads.size() == 2 * n, "bad strides, dilations or pads");
  for (size_t i = 0; i < n; ++i) {
    const size_t axis = i + 2 - n;
    window.kernel[axis] = w.shape[i + 1];
    window.stride[axis] = strides[i];
    window.dilation[axis] = dilations[i];
    window.begin[axis] = pads[i];
    window.end[axis] = pads[i + n];
    const int64_t limit = 1 << 20;
    require(strides[i] >= 1 && strides[i] < limit && dilations[i] >= 1 && dilations[i] < limit && pads[i] >= -limit &&
                pads[i] < limit && pads[i + n] >= -limit && pads[i + n] < limit && window.kernel[axis] < limit,
            "bad strides, dilations or pads");
  }
  multiplier = finite_constant(s, 2, outputs);
  if (s.has(3)) bias = reinterpret_cast<const int32_t*>(s.constant(3, DType::I32, outputs).data);
}

void ConvBase::take_input(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8});
  require(x.rank() == spatial_ + 2 && x.shape.back() == inputs, "the input does not fit the weights");
  batch = x.shape[0];
  size[0] = spatial_ == 2 ? x.shape[1] : 1;
  size[1] = x.shape[x.shape.size() - 2];
}

void ConvBase::set_output(const Values& v) {
  for (int64_t d : out_size) require(d >= 0 && d < (int64_t{1} << 31), "the output would be empty or too large");
  Shape shape{batch, out_size[0], out_size[1], outputs};
  if (spatial_ == 1) shape.erase(shape.begin() + 1);
  out(v).shape = shape;
  pixels = out_size[0] * out_size[1];
}

Conv::Conv(const OpSource& s) : ConvBase(s, false), residual(read_residual(s, 4)) {}

void Conv::infer(const Values& v) {
  take_input(v);
  for (int i = 0; i < 2; ++i) {
    const int64_t room = size[i] + window.begin[i] + window.end[i] - window.extent(i);
    require(room >= 0 || size[i] == 0, "the input is smaller than the kernel");
    out_size[i] = room < 0 ? 0 : room / window.stride[i] + 1;
  }
  set_output(v);
  if (residual.given)
    require(in(v, 4, {DType::U8, DType::I16}).shape == out(v).shape, "the residual must have the output's shape");
}

ConvTranspose::ConvTranspose(const OpSource& s) : ConvBase(s, true) {
  const auto padding = s.attributes.integers("output_padding");
  for (size_t i = 0; i < padding.size() && i < static_cast<size_t>(spatial_); ++i)
    output_padding_[i + 2 - static_cast<size_t>(spatial_)] = padding[i];
}

void ConvTranspose::infer(const Values& v) {
  take_input(v);
  for (int i = 0; i < 2; ++i) {
    require(output_padding_[i] >= 0 && output_padding_[i] < (1 << 20), "bad output padding");
    out_size[i] =
        size[i] == 0 ? 0
                     : window.stride[i] * (size[i] - 1) + output_padding_[i] + window.extent(i) - window.begin[i] - window.end[i];
  }
  set_output(v);
}

}  // namespace qgraph::ops
