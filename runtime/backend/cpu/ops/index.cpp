// The small float, int64 and bool ops that shapes, indices and masks need.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "ops/op.h"

namespace qgraph {
namespace {

class Small : public Op {
 public:
  using Op::Op;
  bool foldable(const Context& c) const override { return c.out[0]->size() <= (1 << 16); }
};

class ShapeOf : public Small {
 public:
  explicit ShapeOf(const OpSource& s) : Small(s.info), size_(s.info.kind == "Size") {
    start_ = s.attributes.integer("start", 0, -kMaxRank, kMaxRank);
    end_ = s.attributes.integer("end", kMaxRank, -kMaxRank, kMaxRank);
    require(s.output_type() == DType::I64, "the output must be int64");
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0);
    const int64_t rank = x.rank();
    auto clamp = [&](int64_t v) { return std::min(std::max<int64_t>(v < 0 ? v + rank : v, 0), rank); };
    first_ = clamp(start_);
    out(c).shape = size_ ? Shape{} : Shape{std::max<int64_t>(clamp(end_) - first_, 0)};
  }
  void run(Context& c) override {
    auto* y = c.out[0]->as<int64_t>();
    if (size_) {
      *y = c.in[0]->size();
      return;
    }
    for (int64_t i = 0; i < c.out[0]->size(); ++i) y[i] = c.in[0]->shape[static_cast<size_t>(first_ + i)];
  }

 private:
  bool size_;
  int64_t start_, end_, first_ = 0;
};

template <typename T>
T saturate(double v) {
  if (std::isnan(v)) return 0;
  if (v <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (v >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(v);
}

class Cast : public Small {
 public:
  explicit Cast(const OpSource& s) : Small(s.info) {}
  void infer(Context& c) override { out(c).shape = in(c, 0, {DType::F32, DType::I64, DType::I32, DType::Bool}).shape; }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t n = x.size();
    switch (x.type) {
      case DType::F32:
        return from(x.as<float>(), n, *c.out[0]);
      case DType::I64:
        return from(x.as<int64_t>(), n, *c.out[0]);
      case DType::I32:
        return from(x.as<int32_t>(), n, *c.out[0]);
      default:
        return from(x.as<uint8_t>(), n, *c.out[0]);
    }
  }

 private:
  template <typename T>
  void from(const T* x, int64_t n, Tensor& y) const {
    for (int64_t i = 0; i < n; ++i) {
      if (y.type == DType::F32)
        y.as<float>()[i] = static_cast<float>(x[i]);
      else if (y.type == DType::Bool)
        y.as<uint8_t>()[i] = x[i] != T{0};
      else if (y.type == DType::I64)
        y.as<int64_t>()[i] =
            std::is_floating_point_v<T> ? saturate<int64_t>(static_cast<double>(x[i])) : static_cast<int64_t>(x[i]);
      else if (y.type == DType::I32)
        y.as<int32_t>()[i] =
            std::is_floating_point_v<T> ? saturate<int32_t>(static_cast<double>(x[i])) : static_cast<int32_t>(x[i]);
      else
        fail("this cast is not known");
    }
  }
};

/// Offsets of a broadcast operand while the output is walked in order.
class Walker {
 public:
  Walker(const Shape& shape, const Shape& full) : full_(full), strides_(full.size(), 0) {
    const auto own = strides_of(shape);
    const size_t lead = full.size() - shape.size();
    for (size_t i = 0; i < shape.size(); ++i) strides_[lead + i] = shape[i] == 1 ? 0 : own[i];
    same_ = shape == full;
  }
  int64_t at(int64_t i) const {
    if (same_) return i;
    int64_t offset = 0;
    for (size_t d = full_.size(); d-- > 0;) {
      offset += i % full_[d] * strides_[d];
      i /= full_[d];
    }
    return offset;
  }

 private:
  Shape full_;
  std::vector<int64_t> strides_;
  bool same_ = false;
};

int64_t safe_div(int64_t a, int64_t b) { return b == 0 || (b == -1 && a == INT64_MIN) ? 0 : a / b; }
int64_t wrap(int64_t a, int64_t b, char op) {
  const auto x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);
  return static_cast<int64_t>(op == '+' ? x + y : op == '-' ? x - y : x * y);
}

// Arithmetic, comparison and logic of two operands of one type.
class Elementwise : public Small {
 public:
  explicit Elementwise(const OpSource& s) : Small(s.info), kind_(s.info.kind) {
    compares_ = kind_ == "Equal" || kind_ == "Greater" || kind_ == "Less" || kind_ == "GreaterOrEqual" || kind_ == "LessOrEqual";
    logic_ = kind_ == "And" || kind_ == "Or" || kind_ == "Xor";
  }
  void infer(Context& c) override {
    const Tensor &a = in(c, 0, {DType::F32, DType::I64, DType::I32, DType::Bool}),
                 &b = in(c, 1, {DType::F32, DType::I64, DType::I32, DType::Bool});
    require(a.type == b.type, "the operands differ in type");
    require(!logic_ || a.type == DType::Bool, "logic needs bool operands");
    require(out(c).type == (compares_ || logic_ ? DType::Bool : a.type), "the output has the wrong type");
    out(c).shape = broadcast(a.shape, b.shape, what_);
  }
  void run(Context& c) override {
    switch (c.in[0]->type) {
      case DType::F32:
        return typed<float>(c);
      case DType::I64:
        return typed<int64_t>(c);
      case DType::I32:
        return typed<int32_t>(c);
      default:
        return typed<uint8_t>(c);
    }
  }

 private:
  template <typename T>
  void typed(Context& c) const {
    if (kind_ == "Equal") return go<T, uint8_t>(c, [](T a, T b) { return a == b; });
    if (kind_ == "Greater") return go<T, uint8_t>(c, [](T a, T b) { return a > b; });
    if (kind_ == "Less") return go<T, uint8_t>(c, [](T a, T b) { return a < b; });
    if (kind_ == "GreaterOrEqual") return go<T, uint8_t>(c, [](T a, T b) { return a >= b; });
    if (kind_ == "LessOrEqual") return go<T, uint8_t>(c, [](T a, T b) { return a <= b; });
    if (kind_ == "And") return go<T, uint8_t>(c, [](T a, T b) { return a != 0 && b != 0; });
    if (kind_ == "Or") return go<T, uint8_t>(c, [](T a, T b) { return a != 0 || b != 0; });
    if (kind_ == "Xor") return go<T, uint8_t>(c, [](T a, T b) { return (a != 0) != (b != 0); });
    if (kind_ == "Max") return go<T, T>(c, [](T a, T b) { return a > b ? a : b; });
    if (kind_ == "Min") return go<T, T>(c, [](T a, T b) { return a < b ? a : b; });
    if constexpr (std::is_floating_point_v<T>) {
      if (kind_ == "Add") return go<T, T>(c, [](T a, T b) { return a + b; });
      if (kind_ == "Sub") return go<T, T>(c, [](T a, T b) { return a - b; });
      if (kind_ == "Mul") return go<T, T>(c, [](T a, T b) { return a * b; });
      if (kind_ == "Div") return go<T, T>(c, [](T a, T b) { return a / b; });
    } else {
      if (kind_ == "Add") return go<T, T>(c, [](T a, T b) { return static_cast<T>(wrap(a, b, '+')); });
      if (kind_ == "Sub") return go<T, T>(c, [](T a, T b) { return static_cast<T>(wrap(a, b, '-')); });
      if (kind_ == "Mul") return go<T, T>(c, [](T a, T b) { return static_cast<T>(wrap(a, b, '*')); });
      if (kind_ == "Div") return go<T, T>(c, [](T a, T b) { return static_cast<T>(safe_div(a, b)); });
      if (kind_ == "Mod")
        return go<T, T>(c, [](T a, T b) {
          if (b == 0) return T{0};
          const int64_t q = safe_div(a, b), r = wrap(a, wrap(q, b, '*'), '-');
          return static_cast<T>(r != 0 && (r < 0) != (b < 0) ? r + b : r);
        });
    }
    fail("this op is not known for " + std::string(name(c.in[0]->type)));
  }
  template <typename T, typename R, typename F>
  void go(Context& c, F f) const {
    const Walker a(c.in[0]->shape, c.out[0]->shape), b(c.in[1]->shape, c.out[0]->shape);
    const T *x = c.in[0]->as<T>(), *y = c.in[1]->as<T>();
    R* out = c.out[0]->as<R>();
    const int64_t n = c.out[0]->size();
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<R>(f(x[a.at(i)], y[b.at(i)]));
  }
  std::string kind_;
  bool compares_ = false, logic_ = false;
};

class Unary : public Small {
 public:
  explicit Unary(const OpSource& s) : Small(s.info), kind_(s.info.kind) {}
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::F32, DType::I64, DType::Bool});
    require(kind_ != "Not" || x.type == DType::Bool, "Not needs bool");
    require(kind_ != "IsNaN" || x.type == DType::F32, "IsNaN needs float32");
    require((kind_ != "Neg" && kind_ != "Abs") || x.type != DType::Bool, "bool has no sign");
    require(out(c).type == (kind_ == "IsNaN" ? DType::Bool : x.type), "the output has the wrong type");
    out(c).shape = x.shape;
  }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    for (int64_t i = 0; i < x.size(); ++i) {
      if (kind_ == "Not")
        c.out[0]->as<uint8_t>()[i] = x.as<uint8_t>()[i] == 0;
      else if (kind_ == "IsNaN")
        c.out[0]->as<uint8_t>()[i] = std::isnan(x.as<float>()[i]);
      else if (x.type == DType::F32)
        c.out[0]->as<float>()[i] = kind_ == "Neg" ? -x.as<float>()[i] : std::fabs(x.as<float>()[i]);
      else {
        const int64_t v = x.as<int64_t>()[i];
        c.out[0]->as<int64_t>()[i] = kind_ == "Neg" || v < 0 ? wrap(0, v, '-') : v;
      }
    }
  }

 private:
  std::string kind_;
};

class Where : public Small {
 public:
  explicit Where(const OpSource& s) : Small(s.info) {}
  void infer(Context& c) override {
    const Tensor &a = in(c, 1), &b = in(c, 2);
    require(a.type == b.type && a.type == out(c).type, "the branches differ in type");
    out(c).shape = broadcast(broadcast(in(c, 0, {DType::Bool}).shape, a.shape, what_), b.shape, what_);
  }
  void run(Context& c) override {
    const Shape& full = c.out[0]->shape;
    const Walker w(c.in[0]->shape, full), a(c.in[1]->shape, full), b(c.in[2]->shape, full);
    const size_t size = byte_size(c.out[0]->type);
    for (int64_t i = 0; i < c.out[0]->size(); ++i) {
      const bool yes = c.in[0]->as<uint8_t>()[w.at(i)] != 0;
      const uint8_t* from = yes ? c.in[1]->as<uint8_t>() + static_cast<size_t>(a.at(i)) * size
                                : c.in[2]->as<uint8_t>() + static_cast<size_t>(b.at(i)) * size;
      std::memcpy(c.out[0]->as<uint8_t>() + static_cast<size_t>(i) * size, from, size);
    }
  }
};

class Range : public Small {
 public:
  explicit Range(const OpSource& s) : Small(s.info) {}
  void infer(Context& c) override {
    for (size_t i = 0; i < 3; ++i) {
      require(in(c, i, {DType::I64}).known, "its bounds depend on the data, not on the input shapes");
      require(in(c, i).size() == 1, "its bounds must be scalars");
    }
    require(out(c).type == DType::I64, "the output must be int64");
    start_ = *in(c, 0).as<int64_t>();
    step_ = *in(c, 2).as<int64_t>();
    const int64_t limit = *in(c, 1).as<int64_t>(), bound = int64_t{1} << 40;
    require(step_ != 0 && std::max({start_, limit, step_}) < bound && std::min({start_, limit, step_}) > -bound, "bad bounds");
    const int64_t span = limit - start_;
    out(c).shape = {std::max<int64_t>(0, (span + step_ + (step_ > 0 ? -1 : 1)) / step_)};
  }
  void run(Context& c) override {
    for (int64_t i = 0; i < c.out[0]->size(); ++i) c.out[0]->as<int64_t>()[i] = start_ + i * step_;
  }

 private:
  int64_t start_ = 0, step_ = 1;
};

// Input: shape; constant 1 is the value (one element).
class Fill : public Small {
 public:
  explicit Fill(const OpSource& s) : Small(s.info) {
    require(s.input(1).data != nullptr && elements(s.input(1).shape) == 1, "the value must be one constant");
  }
  void infer(Context& c) override {
    const Tensor& shape = in(c, 0, {DType::I64});
    require(shape.known, "the shape depends on the data, not on the input shapes");
    require(in(c, 1).type == out(c).type, "the output has the wrong type");
    out(c).shape.assign(shape.as<int64_t>(), shape.as<int64_t>() + shape.size());
    require(out(c).rank() <= kMaxRank, "more than 8 dims");
    elements(out(c).shape);
  }
  void run(Context& c) override {
    const size_t size = byte_size(c.out[0]->type);
    for (int64_t i = 0; i < c.out[0]->size(); ++i)
      std::memcpy(c.out[0]->as<uint8_t>() + static_cast<size_t>(i) * size, c.in[1]->data, size);
  }
};

}  // namespace

void add_index_ops(OpTable& table) {
  table.push_back(entry<ShapeOf>("Shape"));
  table.push_back(entry<ShapeOf>("Size"));
  table.push_back(entry<Cast>("Cast"));
  for (const char* kind : {"Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Equal", "Greater", "Less", "GreaterOrEqual",
                           "LessOrEqual", "And", "Or", "Xor"})
    table.push_back(entry<Elementwise>(kind));
  for (const char* kind : {"Not", "IsNaN", "Neg", "Abs"}) table.push_back(entry<Unary>(kind));
  table.push_back(entry<Where>("Where"));
  table.push_back(entry<Range>("Range"));
  table.push_back(entry<Fill>("ConstantOfShape"));
}

}  // namespace qgraph
