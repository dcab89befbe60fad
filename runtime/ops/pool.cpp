#include "ops/pool.h"

namespace qgraph::ops {

Pool::Pool(const OpSource& s) : Op(s), average(s.info.kind == "AveragePool"), output(read_output_format(s)) {
  const Attributes& a = s.attributes;
  const auto window = a.integers("kernel"), strides = a.integers("strides"), dilations = a.integers("dilations"),
             pads = a.integers("pads");
  const size_t n = window.size();
  require((n == 1 || n == 2) && strides.size() == n && dilations.size() == n && pads.size() == 2 * n, "bad window");
  spatial_ = static_cast<int>(n);
  for (size_t i = 0; i < n; ++i) {
    const size_t axis = i + 2 - n;
    const int64_t limit = 1 << 20;
    for (int64_t v : {window[i], strides[i], dilations[i]}) require(v >= 1 && v < limit, "bad window");
    for (int64_t v : {pads[i], pads[i + n]}) require(v >= 0 && v < limit, "bad pads");
    kernel[axis] = window[i];
    stride[axis] = strides[i];
    dilation[axis] = dilations[i];
    begin[axis] = pads[i];
    end[axis] = pads[i + n];
  }
  require(kernel[0] * kernel[1] <= (1 << 15), "the window is too large");
  ceil_ = a.integer("ceil", 0) != 0;
  count_include_pad = a.integer("count_include_pad", 0) != 0;
  if (!average) return;
  x_zero = code_attribute(a, "x_zero");
  multiplier = a.number("multiplier");
}

void Pool::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16});
  require(x.rank() == spatial_ + 2, "the input does not fit the window");
  require(average || out(v).type == x.type, "the output's type must be the input's");
  size[0] = spatial_ == 2 ? x.shape[1] : 1;
  size[1] = x.shape[x.shape.size() - 2];
  channels = x.shape.back();
  for (int i = 0; i < 2; ++i) {
    const int64_t room = size[i] + begin[i] + end[i] - (dilation[i] * (kernel[i] - 1) + 1);
    require(room >= 0, "the input is smaller than the window");
    out_size[i] = (ceil_ ? (room + stride[i] - 1) / stride[i] : room / stride[i]) + 1;
    if (ceil_ && (out_size[i] - 1) * stride[i] >= size[i] + begin[i]) --out_size[i];  // no window starts in the padding
  }
  Shape shape{x.shape[0], out_size[0], out_size[1], channels};
  if (spatial_ == 1) shape.erase(shape.begin() + 1);
  out(v).shape = shape;
}

Reduction::Reduction(const OpSource& s)
    : Op(s), axes_(s.attributes.integers("axes")), keep_dims_(s.attributes.integer("keepdims", 1) != 0) {}

void Reduction::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16});
  std::vector<bool> reduced(x.shape.size());
  for (int64_t a : axes_) {
    if (a < 0) a += x.rank();
    require(a >= 0 && a < x.rank(), "an axis is out of range");
    reduced[static_cast<size_t>(a)] = true;
  }
  Shape shape;
  for (auto* list : {&kept_shape, &kept_strides, &reduced_shape, &reduced_strides}) list->clear();
  const auto strides = strides_of(x.shape);
  for (size_t i = 0; i < x.shape.size(); ++i) {
    (reduced[i] ? reduced_shape : kept_shape).push_back(x.shape[i]);
    (reduced[i] ? reduced_strides : kept_strides).push_back(strides[i]);
    if (!reduced[i] || keep_dims_) shape.push_back(reduced[i] ? 1 : x.shape[i]);
  }
  last_kept = !reduced.empty() && !reduced.back();
  out(v).shape = shape;
}

ReduceMean::ReduceMean(const OpSource& s)
    : Reduction(s),
      output(read_output_format(s)),
      x_zero(code_attribute(s.attributes, "x_zero")),
      multiplier(s.attributes.number("multiplier")) {}

CumSum::CumSum(const OpSource& s)
    : Op(s), exclusive(s.attributes.integer("exclusive", 0) != 0), reverse(s.attributes.integer("reverse", 0) != 0) {}

void CumSum::infer(const Values& v) {
  const Tensor &x = in(v, 0, {DType::F32, DType::I64, DType::I32}), &axis = in(v, 1, {DType::I64, DType::I32});
  require(out(v).type == x.type, "the output's type must be the input's");
  require(axis.known && axis.size() == 1, "the axis must be one number that is known");
  split = split_at(x.shape, axis.type == DType::I64 ? *axis.as<int64_t>() : *axis.as<int32_t>(), what());
  out(v).shape = x.shape;
}

ReduceMax::ReduceMax(const OpSource& s) : Reduction(s) {
  require(s.output_type() == s.input(0).type, "the output's type must be the input's");
}

}  // namespace qgraph::ops
