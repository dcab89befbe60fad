// Ops whose elements depend on one element of each operand: functions, arithmetic, comparison, logic, bits, casts, choices.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <unordered_map>

#include "backend/cpu/ops/broadcast.h"
#include "backend/cpu/ops/kernel.h"
#include "ops/index.h"

namespace qgraph::cpu {
namespace {

// Elements are walked in their order, by all threads; or a row of the last axis at a time, where every operand has the same
// elements in it or is a constant, so that it can take turns with its neighbours.
class ElementKernel : public CpuKernel {
 public:
  using CpuKernel::CpuKernel;

  size_t prepare(const Values& v) override {
    const Tensor& y = *v.out[0];
    row_ = y.shape.empty() ? 1 : std::max<int64_t>(1, y.shape.back());
    rows_ = y.size() / row_;
    for (const Tensor* x : v.in)
      if (x != nullptr && x->size() != y.size() && !x->known && x->size() != 1) rows_ = 0;
    plan(v);
    return 0;
  }
  int64_t rows(const Values&) const override { return rows_; }
  void compute(const Context& c) override {
    c.pool->parallel(c.out[0]->size(), kElementGrain, [&](int64_t begin, int64_t end, int) { compute_elements(c, begin, end); });
  }
  void compute_rows(const Context& c, int64_t begin, int64_t end, int) const override {
    compute_elements(c, begin * row_, end * row_);
  }

 protected:
  virtual void plan(const Values&) {}
  /// Elements [begin, end) of the output.
  virtual void compute_elements(const Context& c, int64_t begin, int64_t end) const = 0;

 private:
  int64_t row_ = 1, rows_ = 0;
};

template <typename T>
uint64_t wide(T v) {
  return static_cast<uint64_t>(static_cast<int64_t>(v));
}

template <typename T>
T quotient(T a, T b) {  // towards 0
  if (b == 0) return 0;
  return b == T(-1) && std::is_signed_v<T> ? static_cast<T>(uint64_t{0} - wide(a)) : static_cast<T>(a / b);
}

// The sign is that of b, or with fmod that of a.
template <typename T>
T remainder(T a, T b, bool fmod) {
  if (b == 0 || (std::is_signed_v<T> && b == T(-1))) return 0;
  const T r = static_cast<T>(a % b);
  return !fmod && r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
}

// Modulo 2^bits; a negative exponent leaves something of 1 and -1 only.
template <typename T>
T integer_power(T base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 1) return 1;
    return base == -1 ? static_cast<T>(exponent % 2 == 0 ? 1 : -1) : T{0};
  }
  uint64_t result = 1, square = wide(base);
  for (; exponent != 0; exponent >>= 1, square *= square)
    if ((exponent & 1) != 0) result *= square;
  return static_cast<T>(result);
}

template <typename T, typename V>
T saturate(V v) {
  if (v != v) return 0;
  const double x = v;
  if (x <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (x >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(x);
}

// y[i] = f(a[i * a_step], b[i * b_step]); steps are 0 or 1.
template <typename A, typename B, typename Y, typename F>
void each_pair(const A* a, int64_t a_step, const B* b, int64_t b_step, int64_t n, Y* y, F f) {
  if (a_step != 0 && b_step != 0) {
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<Y>(f(a[i], b[i]));
  } else if (a_step != 0) {
    const B second = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<Y>(f(a[i], second));
  } else if (b_step != 0) {
    const A first = *a;
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<Y>(f(first, b[i]));
  } else {
    std::fill_n(y, n, static_cast<Y>(f(*a, *b)));
  }
}

// clang-format off
enum class Kind {
  Add, Sub, Mul, Div, Mod, Pow, PRelu, Max, Min, Equal, Greater, Less, GreaterOrEqual, LessOrEqual, And, Or, Xor, BitwiseAnd,
  BitwiseOr, BitwiseXor, BitShift
};
const std::unordered_map<std::string, Kind> kKinds{
    {"Add", Kind::Add}, {"Sub", Kind::Sub}, {"Mul", Kind::Mul}, {"Div", Kind::Div}, {"Mod", Kind::Mod}, {"Pow", Kind::Pow},
    {"PRelu", Kind::PRelu}, {"Max", Kind::Max}, {"Min", Kind::Min}, {"Equal", Kind::Equal}, {"Greater", Kind::Greater},
    {"Less", Kind::Less}, {"GreaterOrEqual", Kind::GreaterOrEqual}, {"LessOrEqual", Kind::LessOrEqual}, {"And", Kind::And},
    {"Or", Kind::Or}, {"Xor", Kind::Xor}, {"BitwiseAnd", Kind::BitwiseAnd}, {"BitwiseOr", Kind::BitwiseOr},
    {"BitwiseXor", Kind::BitwiseXor}, {"BitShift", Kind::BitShift}, {"Sum", Kind::Add}, {"Mean", Kind::Add}};
const std::unordered_map<std::string, Function> kFunctions{
    {"Exp", Function::Exp}, {"Log", Function::Log}, {"Sqrt", Function::Sqrt}, {"Reciprocal", Function::Reciprocal},
    {"Sin", Function::Sin}, {"Cos", Function::Cos}, {"Tan", Function::Tan}, {"Sinh", Function::Sinh}, {"Cosh", Function::Cosh},
    {"Asin", Function::Asin}, {"Acos", Function::Acos}, {"Atan", Function::Atan}, {"Asinh", Function::Asinh},
    {"Acosh", Function::Acosh}, {"Atanh", Function::Atanh}, {"Tanh", Function::Tanh}, {"Erf", Function::Erf},
    {"Sigmoid", Function::Sigmoid}, {"Softplus", Function::Softplus}, {"Softsign", Function::Softsign}, {"Elu", Function::Elu},
    {"Selu", Function::Selu}, {"Celu", Function::Celu}, {"LeakyRelu", Function::LeakyRelu},
    {"ThresholdedRelu", Function::ThresholdedRelu}, {"HardSigmoid", Function::HardSigmoid}, {"HardSwish", Function::HardSwish},
    {"Mish", Function::Mish}, {"Gelu", Function::Gelu}, {"Swish", Function::Swish}, {"Shrink", Function::Shrink},
    {"Ceil", Function::Ceil}, {"Floor", Function::Floor}, {"Round", Function::Round}, {"Sign", Function::Sign},
    {"Abs", Function::Abs}, {"Neg", Function::Neg}, {"Relu", Function::Relu}};
// clang-format on

std::optional<Pair> float_pair(Kind kind, bool fmod) {
  switch (kind) {
    case Kind::Add:
      return Pair::Add;
    case Kind::Sub:
      return Pair::Sub;
    case Kind::Mul:
      return Pair::Mul;
    case Kind::Div:
      return Pair::Div;
    case Kind::Mod:
      return fmod ? Pair::Mod : Pair::FloorMod;
    case Kind::Pow:
      return Pair::Pow;
    case Kind::PRelu:
      return Pair::PRelu;
    case Kind::Max:
      return Pair::Max;
    case Kind::Min:
      return Pair::Min;
    default:
      return {};
  }
}

std::optional<Comparison> comparison(Kind kind) {
  switch (kind) {
    case Kind::Equal:
      return Comparison::Equal;
    case Kind::Greater:
      return Comparison::Greater;
    case Kind::Less:
      return Comparison::Less;
    case Kind::GreaterOrEqual:
      return Comparison::GreaterOrEqual;
    case Kind::LessOrEqual:
      return Comparison::LessOrEqual;
    default:
      return {};
  }
}

// Two operands of one type of integers; bools are bytes of 0 and 1. False where the type has no such op.
template <typename T>
bool integer_pair(Kind kind, bool flag, const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t n, void* y) {
  const auto values = [&](auto f) {
    each_pair(a, a_step, b, b_step, n, static_cast<T*>(y), f);
    return true;
  };
  const auto bools = [&](auto f) {
    each_pair(a, a_step, b, b_step, n, static_cast<uint8_t*>(y), f);
    return true;
  };
  switch (kind) {
    case Kind::Add:
      return values([](T p, T q) { return wide(p) + wide(q); });
    case Kind::Sub:
      return values([](T p, T q) { return wide(p) - wide(q); });
    case Kind::Mul:
      return values([](T p, T q) { return wide(p) * wide(q); });
    case Kind::Div:
      return values([](T p, T q) { return quotient(p, q); });
    case Kind::Mod:
      return values([=](T p, T q) { return remainder(p, q, flag); });
    case Kind::Max:
      return values([](T p, T q) { return p > q ? p : q; });
    case Kind::Min:
      return values([](T p, T q) { return p < q ? p : q; });
    case Kind::BitwiseAnd:
      return values([](T p, T q) { return p & q; });
    case Kind::BitwiseOr:
      return values([](T p, T q) { return p | q; });
    case Kind::BitwiseXor:
      return values([](T p, T q) { return p ^ q; });
    case Kind::BitShift:
      return values([=](T p, T q) {
        const auto by = static_cast<uint64_t>(q);
        return by >= 8 * sizeof(T) ? T{0} : static_cast<T>(flag ? p >> by : p << by);
      });
    case Kind::Equal:
      return bools([](T p, T q) { return p == q; });
    case Kind::Greater:
      return bools([](T p, T q) { return p > q; });
    case Kind::Less:
      return bools([](T p, T q) { return p < q; });
    case Kind::GreaterOrEqual:
      return bools([](T p, T q) { return p >= q; });
    case Kind::LessOrEqual:
      return bools([](T p, T q) { return p <= q; });
    case Kind::And:
      return bools([](T p, T q) { return p != 0 && q != 0; });
    case Kind::Or:
      return bools([](T p, T q) { return p != 0 || q != 0; });
    case Kind::Xor:
      return bools([](T p, T q) { return (p != 0) != (q != 0); });
    default:
      return false;
  }
}

// Any two operands but those of Pow that differ in type.
void any_pair(const Context& c, const Op& op, Kind kind, bool flag, const Tensor& a, int64_t a_at, int64_t a_step,
              const Tensor& b, int64_t b_at, int64_t b_step, int64_t n, const Tensor& y, int64_t y_at) {
  if (a.type == DType::F32) {
    const float *p = a.as<float>() + a_at, *q = b.as<float>() + b_at;
    if (const auto found = float_pair(kind, flag))
      return c.kernels->float32->pair(*found, p, a_step, q, b_step, n, y.as<float>() + y_at);
    if (const auto found = comparison(kind))
      return c.kernels->float32->compare(*found, p, a_step, q, b_step, n, y.as<uint8_t>() + y_at);
    op.fail("this op is not known for float32");
  }
  with_elements(a, [&](const auto* p) {
    using T = std::remove_cvref_t<decltype(*p)>;
    if constexpr (std::is_integral_v<T>) {
      uint8_t* out = y.as<uint8_t>() + static_cast<size_t>(y_at) * byte_size(y.type);
      if (!integer_pair<T>(kind, flag, p + a_at, a_step, b.as<T>() + b_at, b_step, n, out))
        op.fail("this op is not known for " + std::string(name(a.type)));
    }
  });
}

class PairKernel : public ElementKernel {
 public:
  PairKernel(const ops::Elementwise& op, const OpSource&, const Workspace& workspace)
      : ElementKernel(workspace), op_(op), kind_(kKinds.at(op.kind())) {}

 protected:
  void plan(const Values& v) override { broadcast_.plan(v.out[0]->shape, {&v.in[0]->shape, &v.in[1]->shape}); }
  void compute_elements(const Context& c, int64_t begin, int64_t end) const override {
    const Tensor &a = *c.in[0], &b = *c.in[1], &y = *c.out[0];
    const bool flag = kind_ == Kind::Mod ? op_.fmod : op_.right;
    broadcast_.walk(begin, end, [&](int64_t at, int64_t n, const Broadcast::Offsets& from) {
      const int64_t a_step = broadcast_.step(0), b_step = broadcast_.step(1);
      if (kind_ == Kind::Pow && (a.type != DType::F32 || b.type != DType::F32))
        return power(c, a, from[0], a_step, b, from[1], b_step, n, y, at);
      any_pair(c, op_, kind_, flag, a, from[0], a_step, b, from[1], b_step, n, y, at);
    });
  }

 private:
  // What is not float32 twice: integers to the power of integers, and what is converted to float32 for it.
  static void power(const Context& c, const Tensor& a, int64_t a_at, int64_t a_step, const Tensor& b, int64_t b_at,
                    int64_t b_step, int64_t n, const Tensor& y, int64_t y_at) {
    with_elements(a, [&](const auto* p) {
      with_elements(b, [&](const auto* q) {
        using A = std::remove_cvref_t<decltype(*p)>;
        using B = std::remove_cvref_t<decltype(*q)>;
        if constexpr (std::is_integral_v<A> && std::is_integral_v<B>) {
          each_pair(p + a_at, a_step, q + b_at, b_step, n, y.as<A>() + y_at,
                    [](A base, B exponent) { return integer_power(base, static_cast<int64_t>(exponent)); });
        } else {
          each_pair(p + a_at, a_step, q + b_at, b_step, n, y.as<A>() + y_at, [&](A base, B exponent) {
            const auto x = static_cast<float>(base), e = static_cast<float>(exponent);
            float r;
            c.kernels->float32->pair(Pair::Pow, &x, 1, &e, 1, 1, &r);
            if constexpr (std::is_integral_v<A>)
              return saturate<A>(r);
            else
              return r;
          });
        }
      });
    });
  }

  const ops::Elementwise& op_;
  Kind kind_;
  Broadcast broadcast_;
};

class VariadicKernel : public ElementKernel {
 public:
  VariadicKernel(const ops::Variadic& op, const OpSource&, const Workspace& workspace)
      : ElementKernel(workspace), op_(op), kind_(kKinds.at(op.kind())), mean_(op.kind() == "Mean") {}

 protected:
  void plan(const Values& v) override {
    const Shape& full = v.out[0]->shape;
    broadcasts_.resize(std::max<size_t>(v.in.size(), 2) - 1);
    broadcasts_[0].plan(full, {&v.in[0]->shape, &v.in.back()->shape});
    if (v.in.size() > 1) broadcasts_[0].plan(full, {&v.in[0]->shape, &v.in[1]->shape});
    for (size_t i = 2; i < v.in.size(); ++i) broadcasts_[i - 1].plan(full, {&full, &v.in[i]->shape});
  }
  void compute_elements(const Context& c, int64_t begin, int64_t end) const override {
    constexpr int64_t kSome = 4096;  // what stays in a cache while all operands are added to it
    const Tensor& y = *c.out[0];
    for (int64_t from = begin; from < end; from += kSome) {
      const int64_t to = std::min(end, from + kSome);
      if (c.in.size() == 1) copy(*c.in[0], y, from, to - from);
      for (size_t i = 1; i < c.in.size(); ++i) {
        const Broadcast& walk = broadcasts_[i - 1];
        const Tensor& a = i == 1 ? *c.in[0] : y;
        walk.walk(from, to, [&](int64_t at, int64_t n, const Broadcast::Offsets& offset) {
          any_pair(c, op_, kind_, false, a, offset[0], walk.step(0), *c.in[i], offset[1], walk.step(1), n, y, at);
        });
      }
      if (!mean_) continue;
      const auto count = static_cast<float>(c.in.size());
      c.kernels->float32->pair(Pair::Div, y.as<float>() + from, 1, &count, 0, to - from, y.as<float>() + from);
    }
  }

 private:
  static void copy(const Tensor& x, const Tensor& y, int64_t from, int64_t n) {
    const size_t size = byte_size(x.type), at = static_cast<size_t>(from) * size;
    std::memcpy(y.as<uint8_t>() + at, x.as<uint8_t>() + at, static_cast<size_t>(n) * size);
  }

  const ops::Variadic& op_;
  Kind kind_;
  bool mean_;
  std::vector<Broadcast> broadcasts_;  // of the first two operands, then of what there is and the next one
};

class FunctionKernel : public ElementKernel {
 public:
  FunctionKernel(const ops::FloatFunction& op, const OpSource&, const Workspace& workspace)
      : ElementKernel(workspace), op_(op), function_(op.tanh ? Function::GeluTanh : kFunctions.at(op.kind())) {}

 protected:
  void compute_elements(const Context& c, int64_t begin, int64_t end) const override {
    c.kernels->float32->function(function_, op_.a, op_.b, c.in[0]->as<float>() + begin, end - begin,
                                 c.out[0]->as<float>() + begin);
  }

 private:
  const ops::FloatFunction& op_;
  Function function_;
};

class UnaryKernel : public ElementKernel {
 public:
  UnaryKernel(const ops::Unary& op, const OpSource&, const Workspace& workspace) : ElementKernel(workspace), op_(op) {}

 protected:
  void compute_elements(const Context& c, int64_t begin, int64_t end) const override {
    with_elements(*c.in[0], [&](const auto* x) {
      using T = std::remove_cvref_t<decltype(*x)>;
      if constexpr (std::is_floating_point_v<T>)
        floats(c, x + begin, end - begin, begin);
      else
        integers(x + begin, end - begin, c.out[0]->as<T>() + begin);
    });
  }

 private:
  void floats(const Context& c, const float* x, int64_t n, int64_t at) const {
    if (op_.kind() == "IsNaN" || op_.kind() == "IsInf") {
      uint8_t* y = c.out[0]->as<uint8_t>() + at;
      constexpr float kInfinity = std::numeric_limits<float>::infinity();
      const float low = op_.negative ? -kInfinity : kInfinity, high = op_.positive ? kInfinity : -kInfinity;
      if (op_.kind() == "IsNaN")
        for (int64_t i = 0; i < n; ++i) y[i] = x[i] != x[i];
      else if (op_.negative || op_.positive)
        for (int64_t i = 0; i < n; ++i) y[i] = x[i] == low || x[i] == high;
      else
        std::fill_n(y, n, uint8_t{0});
      return;
    }
    c.kernels->float32->function(kFunctions.at(op_.kind()), 0, 0, x, n, c.out[0]->as<float>() + at);
  }
  template <typename T>
  void integers(const T* x, int64_t n, T* y) const {
    const auto over = [&](auto f) {
      for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(f(x[i]));
    };
    if (op_.kind() == "Not") return over([](T v) { return v == 0; });
    if (op_.kind() == "BitwiseNot") return over([](T v) { return ~v; });
    if (op_.kind() == "Neg") return over([](T v) { return uint64_t{0} - wide(v); });
    if (op_.kind() == "Abs") return over([](T v) { return v < 0 ? uint64_t{0} - wide(v) : wide(v); });
    if (op_.kind() == "Sign") return over([](T v) { return (v > 0) - (v < 0); });
    over([](T v) { return v < 0 ? T{0} : v; });
  }

  const ops::Unary& op_;
};

class ClipKernel : public ElementKernel {
 public:
  ClipKernel(const ops::Clip&, const OpSource&, const Workspace& workspace) : ElementKernel(workspace) {}

 protected:
  void compute_elements(const Context& c, int64_t begin, int64_t end) const override {
    with_elements(*c.in[0], [&](const auto* x) {
      using T = std::remove_cvref_t<decltype(*x)>;
      using Limits = std::numeric_limits<T>;
      T low = Limits::has_infinity ? -Limits::infinity() : Limits::lowest(),
        high = Limits::has_infinity ? Limits::infinity() : Limits::max();
      if (c.given(1)) low = *c.in[1]->as<T>();
      if (c.given(2)) high = *c.in[2]->as<T>();
      T* y = c.out[0]->as<T>();
      if constexpr (std::is_floating_point_v<T>)
        c.kernels->float32->function(Function::Clip, low, high, x + begin, end - begin, y + begin);
      else
        for (int64_t i = begin; i < end; ++i) {
          const T v = x[i] < low ? low : x[i];
          y[i] = v > high ? high : v;
        }
    });
  }
};

class CastKernel : public ElementKernel {
 public:
  CastKernel(const ops::Cast&, const OpSource&, const Workspace& workspace) : ElementKernel(workspace) {}

 protected:
  void compute_elements(const Context& c, int64_t begin, int64_t end) const override {
    const bool to_bool = c.out[0]->type == DType::Bool;
    with_elements(*c.in[0], [&](const auto* x) {
      with_elements(*c.out[0], [&](auto* y) {
        using X = std::remove_cvref_t<decltype(*x)>;
        using Y = std::remove_cvref_t<decltype(*y)>;
        if (to_bool)
          for (int64_t i = begin; i < end; ++i) y[i] = static_cast<Y>(x[i] != X{0});
        else
          for (int64_t i = begin; i < end; ++i) {
            if constexpr (std::is_floating_point_v<X> && !std::is_floating_point_v<Y>)
              y[i] = saturate<Y>(x[i]);
            else
              y[i] = static_cast<Y>(x[i]);
          }
      });
    });
  }
};

class WhereKernel : public ElementKernel {
 public:
  WhereKernel(const ops::Where&, const OpSource&, const Workspace& workspace) : ElementKernel(workspace) {}

 protected:
  void plan(const Values& v) override { broadcast_.plan(v.out[0]->shape, {&v.in[0]->shape, &v.in[1]->shape, &v.in[2]->shape}); }
  void compute_elements(const Context& c, int64_t begin, int64_t end) const override {
    switch (byte_size(c.out[0]->type)) {
      case 8:
        return choose<uint64_t>(c, begin, end);
      case 4:
        return choose<uint32_t>(c, begin, end);
      case 2:
        return choose<uint16_t>(c, begin, end);
      default:
        return choose<uint8_t>(c, begin, end);
    }
  }

 private:
  template <typename T>
  void choose(const Context& c, int64_t begin, int64_t end) const {
    const int64_t step = broadcast_.step(0), a_step = broadcast_.step(1), b_step = broadcast_.step(2);
    broadcast_.walk(begin, end, [&](int64_t at, int64_t n, const Broadcast::Offsets& from) {
      const uint8_t* condition = c.in[0]->as<uint8_t>() + from[0];
      const T *a = c.in[1]->as<T>() + from[1], *b = c.in[2]->as<T>() + from[2];
      T* y = c.out[0]->as<T>() + at;
      if (step == 0) {
        const T* x = *condition != 0 ? a : b;
        if ((*condition != 0 ? a_step : b_step) != 0)
          std::copy_n(x, n, y);
        else
          std::fill_n(y, n, *x);
        return;
      }
      // each_pair twice: of the condition and one operand, then of the condition and the other over what there is
      each_pair(condition, 1, a, a_step, n, y, [](uint8_t yes, T v) { return yes != 0 ? v : T{0}; });
      if (b_step != 0) {
        for (int64_t i = 0; i < n; ++i) y[i] = condition[i] != 0 ? y[i] : b[i];
      } else {
        const T second = *b;
        for (int64_t i = 0; i < n; ++i) y[i] = condition[i] != 0 ? y[i] : second;
      }
    });
  }

  Broadcast broadcast_;
};

class DropoutKernel : public ElementKernel {
 public:
  DropoutKernel(const ops::Dropout&, const OpSource&, const Workspace& workspace) : ElementKernel(workspace) {}

 protected:
  void compute_elements(const Context& c, int64_t begin, int64_t end) const override {
    const size_t size = byte_size(c.in[0]->type), at = static_cast<size_t>(begin) * size;
    std::memcpy(c.out[0]->as<uint8_t>() + at, c.in[0]->as<uint8_t>() + at, static_cast<size_t>(end - begin) * size);
    if (c.out.size() > 1) std::fill(c.out[1]->as<uint8_t>() + begin, c.out[1]->as<uint8_t>() + end, uint8_t{1});
  }
};

}  // namespace

void add_elementwise_kernels(KernelTable& table) {
  const auto unary = {"Not", "BitwiseNot", "IsNaN", "IsInf", "Neg", "Abs", "Sign", "Relu"};
  for (const char* kind : unary) table.emplace_back(kind, make<UnaryKernel, ops::Unary>);
  for (const auto& [kind, function] : kFunctions)
    if (std::find(unary.begin(), unary.end(), kind) == unary.end())
      table.emplace_back(kind, make<FunctionKernel, ops::FloatFunction>);
  const auto variadic = {"Sum", "Mean", "Max", "Min"};
  for (const char* kind : variadic) table.emplace_back(kind, make<VariadicKernel, ops::Variadic>);
  for (const auto& [kind, pair] : kKinds)
    if (std::find(variadic.begin(), variadic.end(), kind) == variadic.end())
      table.emplace_back(kind, make<PairKernel, ops::Elementwise>);
  for (const char* kind : {"Cast", "CastLike"}) table.emplace_back(kind, make<CastKernel, ops::Cast>);
  table.emplace_back("Clip", make<ClipKernel, ops::Clip>);
  table.emplace_back("Where", make<WhereKernel, ops::Where>);
  table.emplace_back("Dropout", make<DropoutKernel, ops::Dropout>);
}

}  // namespace qgraph::cpu
