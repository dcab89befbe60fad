#include "ops/order.h"

#include <cmath>

namespace qgraph::ops {
namespace {

/// The one element of a known input, of any type of numbers, as an integer; `bad` where it is none.
int64_t whole_number(const Tensor& t, int64_t bad) {
  if (!t.known || t.size() != 1) return bad;
  switch (t.type) {
    case DType::F32: {
      const float v = t.as<float>()[0];
      return std::fabs(v) < 1e9f ? static_cast<int64_t>(v) : bad;
    }
    case DType::I64:
      return t.as<int64_t>()[0];
    case DType::I32:
      return t.as<int32_t>()[0];
    case DType::I16:
      return t.as<int16_t>()[0];
    case DType::I8:
      return t.as<int8_t>()[0];
    default:
      return t.as<uint8_t>()[0];
  }
}

}  // namespace

TopK::TopK(const OpSource& s)
    : IndexOp(s), largest(s.attributes.integer("largest", 1) != 0), axis_(s.attributes.integer("axis", -1)) {
  require(s.info.outputs.size() == 2 && s.output_type(1) == DType::I64, "it has two outputs, and the indices are int64");
}

void TopK::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32, DType::I64, DType::I32, DType::I16, DType::I8, DType::U8});
  require(out(v).type == x.type, "the values must have the input's type");
  split = split_at(x.shape, axis_, what());
  const auto count = known_integers(v, 1);
  require(count.size() == 1 && count[0] >= 0 && count[0] <= split.length, "k must be between 0 and the length of the axis");
  require(split.length < (int64_t{1} << 32), "the axis is too long");
  k = count[0];
  Shape shape = x.shape;
  shape[static_cast<size_t>(split.axis)] = k;
  out(v, 0).shape = out(v, 1).shape = shape;
}

void OneHot::infer(const Values& v) {
  const Tensor& index = in(v, 0, {DType::F32, DType::I64, DType::I32, DType::I16, DType::I8, DType::U8});
  const Tensor& values = in(v, 2);
  depth = whole_number(in(v, 1), -1);
  require(depth >= 0 && depth < (int64_t{1} << 31), "the depth must be one number, at least 0");
  require(values.rank() == 1 && values.size() == 2 && values.type == out(v).type, "the values must be two, of the output's type");
  Shape shape = index.shape;
  const int64_t at = axis_ < 0 ? axis_ + index.rank() + 1 : axis_;
  require(at >= 0 && at <= index.rank(), "the axis is out of range");
  inner = elements(Shape(shape.begin() + at, shape.end()));
  shape.insert(shape.begin() + at, depth);
  require(shape.size() <= kMaxRank, "more than 8 dims");
  elements(shape);
  out(v).shape = shape;
}

void EyeLike::infer(const Values& v) {
  require(in(v, 0).rank() == 2, "the input is no matrix");
  out(v).shape = in(v, 0).shape;
}

Unique::Unique(const OpSource& s)
    : Op(s),
      sorted(s.attributes.integer("sorted", 1) != 0),
      flat(!s.attributes.has("axis")),
      axis_(s.attributes.integer("axis", 0)) {
  require(s.info.outputs.size() <= 4, "it has no more than four outputs");
  for (size_t i = 1; i < s.info.outputs.size(); ++i) require(s.output_type(i) == DType::I64, "indices and counts are int64");
}

void Unique::infer(const Values& v) {
  const Tensor& x = in(v, 0);
  require(out(v).type == x.type, "the output's type must be the input's");
  split = flat ? AxisSplit{0, 1, x.size(), 1} : split_at(x.shape, axis_, what());
}

Compress::Compress(const OpSource& s) : Movement(s), flat(!s.attributes.has("axis")), axis_(s.attributes.integer("axis", 0)) {}

void Compress::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  require(in(v, 1, {DType::Bool}).rank() == 1, "the condition must have one dim");
  split = flat ? AxisSplit{0, 1, x.size(), 1} : split_at(x.shape, axis_, what());
}

}  // namespace qgraph::ops
