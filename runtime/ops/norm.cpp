#include "ops/norm.h"

#include "ops/shape.h"

namespace qgraph::ops {

LayerNorm::LayerNorm(const OpSource& s) : Op(s), output(read_output_format(s)), epsilon(s.attributes.number("epsilon")) {
  gamma = finite_constant(s, 1);
  n = elements(s.input(1).shape);
  beta = finite_constant(s, 2, n);
  require(n > 0 && n <= (1 << 20) && epsilon >= 0, "bad parameters");
}

void LayerNorm::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16});
  int64_t tail = 1;
  size_t i = x.shape.size();
  while (i > 0 && tail < n) tail *= x.shape[--i];
  require(tail == n || x.size() == 0, "gamma does not fit the last axes");
  out(v).shape = x.shape;
}

GroupNorm::GroupNorm(const OpSource& s) : Op(s), output(read_output_format(s)), epsilon(s.attributes.number("epsilon")) {
  gamma = finite_constant(s, 1);
  channels = elements(s.input(1).shape);
  beta = finite_constant(s, 2, channels);
  groups = s.attributes.integer("groups", 1);
  require(channels > 0 && channels % groups == 0 && epsilon >= 0, "bad parameters");
}

void GroupNorm::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16});
  require(x.rank() >= 2 && x.shape[1] == channels, "the channels do not fit");
  out(v).shape = x.shape;
}

Softmax::Softmax(const OpSource& s) : Op(s), output(read_output_format(s)) {
  scale = s.attributes.number("scale");
  qmax = s.attributes.number("top", 255.0f);
  axis_ = s.attributes.integer("axis", -1);
  x_zero = code_attribute(s.attributes, "x_zero");
  require(qmax > 0, "bad output scale");
}

void Softmax::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16});
  require(axis_ >= -x.rank() && axis_ < x.rank(), "the axis is out of range");
  out(v).shape = x.shape;
  const size_t axis = static_cast<size_t>(axis_ < 0 ? axis_ + x.rank() : axis_);
  n = x.shape[axis];
  inner = strides_of(x.shape)[axis];
}

LocalResponseNorm::LocalResponseNorm(const OpSource& s) : Op(s), output(read_output_format(s)) {
  const Attributes& a = s.attributes;
  size = a.integer("size", 1);
  x_zero = code_attribute(a, "x_zero");
  factor = a.number("factor");
  bias = a.number("bias");
  beta = a.number("beta");
  multiplier = a.number("multiplier");
}

void LocalResponseNorm::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16});
  require(x.rank() >= 2, "the input needs channels");
  out(v).shape = x.shape;
}

}  // namespace qgraph::ops
