#include "ops/index.h"

#include <algorithm>
#include <cmath>

namespace qgraph::ops {

ShapeOf::ShapeOf(const OpSource& s)
    : IndexOp(s),
      whole_size(kind() == "Size"),
      start_(s.attributes.integer("start", 0)),
      end_(s.attributes.integer("end", kMaxRank)) {
  require(s.output_type() == DType::I64, "the output must be int64");
}

void ShapeOf::infer(const Values& v) {
  const int64_t rank = in(v, 0).rank();
  auto clamp = [&](int64_t at) { return std::min(std::max<int64_t>(at < 0 ? at + rank : at, 0), rank); };
  first = clamp(start_);
  out(v).shape = whole_size ? Shape{} : Shape{std::max<int64_t>(clamp(end_) - first, 0)};
}

void Cast::infer(const Values& v) {
  out(v).shape = in(v, 0, {DType::F32, DType::I64, DType::I32, DType::Bool, DType::U8, DType::I8}).shape;
}

Elementwise::Elementwise(const OpSource& s)
    : IndexOp(s),
      compares_(kind() == "Equal" || kind() == "Greater" || kind() == "Less" || kind() == "GreaterOrEqual" ||
                kind() == "LessOrEqual"),
      logic_(kind() == "And" || kind() == "Or" || kind() == "Xor") {}

void Elementwise::infer(const Values& v) {
  const Tensor &a = in(v, 0, {DType::F32, DType::I64, DType::I32, DType::Bool}),
               &b = in(v, 1, {DType::F32, DType::I64, DType::I32, DType::Bool});
  require(a.type == b.type, "the operands differ in type");
  require(!logic_ || a.type == DType::Bool, "logic needs bool operands");
  require(out(v).type == (compares_ || logic_ ? DType::Bool : a.type), "the output has the wrong type");
  out(v).shape = broadcast(a.shape, b.shape, what());
}

void Unary::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32, DType::I64, DType::I32, DType::Bool});
  require(kind() != "Not" || x.type == DType::Bool, "Not needs bool");
  require(kind() != "IsNaN" || x.type == DType::F32, "IsNaN needs float32");
  require(kind() == "Not" || x.type != DType::Bool, "bool has no sign");
  require(out(v).type == (kind() == "IsNaN" ? DType::Bool : x.type), "the output has the wrong type");
  out(v).shape = x.shape;
}

ArgExtreme::ArgExtreme(const OpSource& s)
    : IndexOp(s),
      largest(kind() == "ArgMax"),
      last(s.attributes.integer("select_last_index", 0) != 0),
      axis_(s.attributes.integer("axis", 0)),
      keep_dims_(s.attributes.integer("keepdims", 1) != 0) {
  require(s.output_type() == DType::I64, "the output must be int64");
}

void ArgExtreme::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32, DType::I64, DType::I32});
  split = split_at(x.shape, axis_, what());
  require(split.length > 0, "the axis is empty");
  Shape shape = x.shape;
  const auto at = shape.begin() + split.axis;
  if (keep_dims_)
    *at = 1;
  else
    shape.erase(at);
  out(v).shape = shape;
}

void Where::infer(const Values& v) {
  const Tensor &a = in(v, 1), &b = in(v, 2);
  require(a.type == b.type && a.type == out(v).type, "the branches differ in type");
  out(v).shape = broadcast(broadcast(in(v, 0, {DType::Bool}).shape, a.shape, what()), b.shape, what());
}

NonZero::NonZero(const OpSource& s) : Op(s) { require(s.output_type() == DType::I64, "the output must be int64"); }

void Range::infer(const Values& v) {
  const DType type = out(v).type;
  for (size_t i = 0; i < 3; ++i) {
    require(in(v, i, {DType::I64, DType::I32, DType::F32}).known && in(v, i).type == type,
            "its bounds must be known, of one type");
    require(in(v, i).size() == 1, "its bounds must be scalars");
  }
  if (type == DType::F32) {
    float_start = *in(v, 0).as<float>();
    float_step = *in(v, 2).as<float>();
    const double limit = *in(v, 1).as<float>(), n = std::ceil((limit - float_start) / float_step);
    require(float_step != 0 && n < static_cast<double>(int64_t{1} << 40), "bad bounds");  // nor NaN
    out(v).shape = {n > 0 ? static_cast<int64_t>(n) : 0};
    return;
  }
  const auto read = [&](size_t i) { return type == DType::I64 ? *in(v, i).as<int64_t>() : *in(v, i).as<int32_t>(); };
  start = read(0);
  step = read(2);
  const int64_t limit = read(1), bound = int64_t{1} << 40;
  require(step != 0 && std::max({start, limit, step}) < bound && std::min({start, limit, step}) > -bound, "bad bounds");
  const int64_t span = limit - start;
  out(v).shape = {std::max<int64_t>(0, (span + step + (step > 0 ? -1 : 1)) / step)};
}

Fill::Fill(const OpSource& s) : IndexOp(s) {
  require(s.input(1).data != nullptr && elements(s.input(1).shape) == 1, "the value must be one constant");
}

void Fill::infer(const Values& v) {
  const Tensor& shape = in(v, 0, {DType::I64});
  require(shape.known, "the shape must be known");
  require(in(v, 1).type == out(v).type, "the output has the wrong type");
  out(v).shape.assign(shape.as<int64_t>(), shape.as<int64_t>() + shape.size());
  require(out(v).rank() <= kMaxRank, "more than 8 dims");
  elements(out(v).shape);
}

}  // namespace qgraph::ops
