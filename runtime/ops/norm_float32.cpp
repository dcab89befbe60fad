#include "ops/norm_float32.h"

#include <algorithm>

namespace qgraph::ops {

void FloatSoftmax::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32});
  require(out(v).type == DType::F32, "the output must be float32");
  split = split_at(x.shape, axis_, what());
  out(v).shape = x.shape;
}

RowNormalization::RowNormalization(const OpSource& s)
    : Op(s),
      centred(kind() == "LayerNormalization"),
      epsilon(s.attributes.number("epsilon", 1e-5f)),
      axis_(s.attributes.integer("axis", -1)) {}

void RowNormalization::infer(const Values& v) {
  const Tensor &x = in(v, 0, {DType::F32}), &scale = in(v, 1, {DType::F32});
  const AxisSplit split = split_at(x.shape, axis_, what());
  n = split.length * split.inner;
  each = scale.size() != 1;
  require(!each || scale.size() == n, "scale does not fit the normalized axes");
  require(!given(v, 2) || in(v, 2, {DType::F32}).size() == scale.size(), "bias must have the shape of scale");
  for (const Tensor* y : v.out) require(y->type == DType::F32, "the outputs must be float32");
  out(v).shape = x.shape;
  for (size_t i = 1; i < v.out.size(); ++i) {
    require(centred, "it has one output");
    v.out[i]->shape = x.shape;
    std::fill(v.out[i]->shape.begin() + split.axis, v.out[i]->shape.end(), 1);
  }
}

GroupNormalization::GroupNormalization(const OpSource& s)
    : Op(s), epsilon(s.attributes.number("epsilon", 1e-5f)), groups(s.attributes.integer("num_groups", 0)) {}

void GroupNormalization::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32});
  require(x.rank() >= 2, "the input needs channels");
  require(groups == 0 || x.shape[1] % groups == 0, "the groups do not divide the channels");
  for (size_t i = 1; i < 3; ++i)
    require(in(v, i, {DType::F32}).size() == x.shape[1], "scale and bias need one element a channel");
  require(out(v).type == DType::F32, "the output must be float32");
  out(v).shape = x.shape;
}

void BatchNormalization::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32});
  require(x.rank() >= 1, "the input needs channels");
  const int64_t channels = x.rank() == 1 ? 1 : x.shape[1];
  for (size_t i = 1; i < 5; ++i) require(in(v, i, {DType::F32}).size() == channels, "it needs one parameter a channel");
  require(out(v).type == DType::F32, "the output must be float32");
  out(v).shape = x.shape;
}

ResponseNormalization::ResponseNormalization(const OpSource& s)
    : Op(s),
      size(s.attributes.integer("size", 1)),
      factor(static_cast<double>(s.attributes.number("alpha", 1e-4f)) / static_cast<double>(size)),
      beta(s.attributes.number("beta", 0.75f)),
      bias(s.attributes.number("bias", 1.0f)) {}

void ResponseNormalization::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32});
  require(x.rank() >= 2, "the input needs channels");
  require(out(v).type == DType::F32, "the output must be float32");
  out(v).shape = x.shape;
}

LpNormalization::LpNormalization(const OpSource& s)
    : Op(s), squares(s.attributes.integer("p", 2) == 2), axis_(s.attributes.integer("axis", -1)) {}

void LpNormalization::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32});
  split = split_at(x.shape, axis_, what());
  require(out(v).type == DType::F32, "the output must be float32");
  out(v).shape = x.shape;
}

MeanVarianceNormalization::MeanVarianceNormalization(const OpSource& s) : Op(s), axes_{0, 2, 3} {
  if (s.attributes.has("axes")) axes_ = s.attributes.integers("axes");
}

void MeanVarianceNormalization::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32});
  axes.clear();
  kept.clear();
  for (int64_t axis : axes_) axes.push_back(split_at(x.shape, axis, what()).axis);
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  for (int64_t d = 0; d < x.rank(); ++d)
    if (!std::binary_search(axes.begin(), axes.end(), d)) kept.push_back(d);
  require(out(v).type == DType::F32, "the output must be float32");
  out(v).shape = x.shape;
}

}  // namespace qgraph::ops
