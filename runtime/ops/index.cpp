#include "ops/index.h"

#include <algorithm>
#include <cmath>

#include "ops/dialect_generated.h"

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

namespace {

bool is_whole(DType type) {  // integers of whole bytes
  return type == DType::I64 || type == DType::I32 || type == DType::I16 || type == DType::I8 || type == DType::U8;
}

bool is_number(DType type) { return type == DType::F32 || is_whole(type); }

bool is_one_of(const std::string& kind, std::initializer_list<const char*> kinds) {
  return std::any_of(kinds.begin(), kinds.end(), [&](const char* other) { return kind == other; });
}

}  // namespace

void Cast::infer(const Values& v) {
  const Tensor& x = in(v, 0);
  const auto known = [](DType type) { return is_number(type) || type == DType::Bool; };
  require(known(x.type) && known(out(v).type), "this cast is not known");
  out(v).shape = x.shape;
}

Elementwise::Elementwise(const OpSource& s)
    : IndexOp(s),
      fmod(s.attributes.integer("fmod", 0) != 0),
      right(choice<dialect::ShiftDirection>(s.attributes, "direction") == dialect::ShiftDirection::Right),
      compares_(is_one_of(kind(), {"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"})),
      logic_(is_one_of(kind(), {"And", "Or", "Xor"})) {}

void Elementwise::infer(const Values& v) {
  const Tensor &a = in(v, 0), &b = in(v, 1);
  require(a.type == b.type || kind() == "Pow", "the operands differ in type");
  require(out(v).type == (compares_ || logic_ ? DType::Bool : a.type), "the output has the wrong type");
  if (logic_)
    require(a.type == DType::Bool, "logic needs bool operands");
  else if (is_one_of(kind(), {"BitwiseAnd", "BitwiseOr", "BitwiseXor"}))
    require(is_whole(a.type), "it needs integers");
  else if (kind() == "BitShift")
    require(a.type == DType::U8, "it needs uint8");
  else if (kind() == "PRelu")
    require(a.type == DType::F32, "it needs float32");
  else if (kind() == "Pow")
    for (const Tensor* t : {&a, &b})
      require(t->type == DType::F32 || t->type == DType::I64 || t->type == DType::I32, "it needs float32, int64 or int32");
  else
    require(is_number(a.type) || (kind() == "Equal" && a.type == DType::Bool), "it needs numbers");
  out(v).shape = broadcast(a.shape, b.shape, what());
  require(kind() != "PRelu" || out(v).shape == a.shape, "the slope does not broadcast to x");
}

void Variadic::infer(const Values& v) {
  Shape shape;
  for (size_t i = 0; i < v.in.size(); ++i) {
    const Tensor& x = in(v, i);
    require(x.type == DType::F32 || (is_whole(x.type) && is_one_of(kind(), {"Max", "Min"})), "it does not take this type");
    require(x.type == out(v).type, "the operands differ in type");
    shape = broadcast(shape, x.shape, what());
  }
  require(!v.in.empty(), "it needs an operand");
  out(v).shape = shape;
}

Unary::Unary(const OpSource& s)
    : IndexOp(s),
      negative(s.attributes.integer("detect_negative", 1) != 0),
      positive(s.attributes.integer("detect_positive", 1) != 0) {}

void Unary::infer(const Values& v) {
  const Tensor& x = in(v, 0);
  const bool asks = is_one_of(kind(), {"IsNaN", "IsInf"});
  if (kind() == "Not")
    require(x.type == DType::Bool, "Not needs bool");
  else if (kind() == "BitwiseNot")
    require(is_whole(x.type), "it needs integers");
  else
    require(asks ? x.type == DType::F32 : is_number(x.type), "it does not take this type");
  require(out(v).type == (asks ? DType::Bool : x.type), "the output has the wrong type");
  out(v).shape = x.shape;
}

void Clip::infer(const Values& v) {
  const Tensor& x = in(v, 0);
  require(is_number(x.type), "it needs numbers");
  for (size_t i = 1; i < v.in.size(); ++i)
    require(!given(v, i) || (in(v, i).type == x.type && in(v, i).size() == 1), "a bound must be one element of the type of x");
  require(out(v).type == x.type, "the output has the wrong type");
  out(v).shape = x.shape;
}

FloatFunction::FloatFunction(const OpSource& s)
    : IndexOp(s), tanh(choice<dialect::GeluApproximation>(s.attributes, "approximate") == dialect::GeluApproximation::Tanh) {
  const auto number = [&](const char* name, double otherwise) {
    return s.attributes.number(name, static_cast<float>(otherwise));
  };
  if (kind() == "Shrink") {
    a = number("bias", 0.0);
    b = number("lambd", 0.5);
  } else if (kind() == "HardSigmoid") {
    a = number("alpha", 0.2);
    b = number("beta", 0.5);
  } else if (kind() == "Selu") {
    a = number("alpha", 1.6732632423543772);
    b = number("gamma", 1.0507009873554805);
  } else {
    a = number("alpha", kind() == "LeakyRelu" ? 0.01 : 1.0);
  }
}

void FloatFunction::infer(const Values& v) {
  require(out(v).type == DType::F32, "the output must be float32");
  out(v).shape = in(v, 0, {DType::F32}).shape;
}

void Dropout::infer(const Values& v) {
  require(out(v).type == in(v, 0).type, "the output has the wrong type");
  out(v).shape = in(v, 0).shape;
  if (v.out.size() < 2) return;
  require(v.out[1]->type == DType::Bool, "the mask must be bool");
  v.out[1]->shape = in(v, 0).shape;
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
  const DType type = in(v, 0, {DType::F32, DType::I64, DType::I32, DType::I16}).type;
  for (size_t i = 0; i < 3; ++i) {
    require(in(v, i, {type}).known, "its bounds must be known");
    require(in(v, i).size() == 1, "its bounds must be scalars");
  }
  require(out(v).type == type, "the output must have the type of the bounds");
  const double bound = static_cast<double>(int64_t{1} << 40);
  if (type == DType::F32) {
    first = *in(v, 0).as<float>();
    delta = *in(v, 2).as<float>();
    const float limit = *in(v, 1).as<float>();
    const double count = std::ceil((static_cast<double>(limit) - static_cast<double>(first)) / static_cast<double>(delta));
    require(delta != 0 && count < bound, "bad bounds");  // nor NaN
    out(v).shape = {count > 0 ? static_cast<int64_t>(count) : 0};
    return;
  }
  int64_t bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    const Tensor& t = in(v, i);
    bounds[i] = type == DType::I64 ? *t.as<int64_t>() : type == DType::I32 ? *t.as<int32_t>() : *t.as<int16_t>();
    require(std::fabs(static_cast<double>(bounds[i])) < bound, "bad bounds");
  }
  start = bounds[0];
  step = bounds[2];
  require(step != 0, "a step of 0 ends nowhere");
  out(v).shape = {std::max<int64_t>(0, (bounds[1] - start + step + (step > 0 ? -1 : 1)) / step)};
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
