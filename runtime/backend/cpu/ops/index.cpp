// The small float, int64 and bool ops that shapes, indices and masks need.
#include "ops/index.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "backend/cpu/ops/kernel.h"
#include "ops/shape.h"

namespace qgraph::cpu {
namespace {

class ShapeOfKernel : public CpuKernel {
 public:
  ShapeOfKernel(const ops::ShapeOf& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    auto* y = c.out[0]->as<int64_t>();
    if (op_.whole_size) {
      *y = c.in[0]->size();
      return;
    }
    for (int64_t i = 0; i < c.out[0]->size(); ++i) y[i] = c.in[0]->shape[static_cast<size_t>(op_.first + i)];
  }

 private:
  const ops::ShapeOf& op_;
};

template <typename T>
T saturate(double v) {
  if (std::isnan(v)) return 0;
  if (v <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (v >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(v);
}

class CastKernel : public CpuKernel {
 public:
  CastKernel(const ops::Cast& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t n = x.size();
    switch (x.type) {
      case DType::F32:
        return from(x.as<float>(), n, *c.out[0]);
      case DType::I64:
        return from(x.as<int64_t>(), n, *c.out[0]);
      case DType::I32:
        return from(x.as<int32_t>(), n, *c.out[0]);
      case DType::I8:
        return from(x.as<int8_t>(), n, *c.out[0]);
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
        op_.fail("this cast is not known");
    }
  }

  const ops::Cast& op_;
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
class ElementwiseKernel : public CpuKernel {
 public:
  ElementwiseKernel(const ops::Elementwise& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
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
  void typed(const Context& c) const {
    if (op_.kind() == "Equal") return go<T, uint8_t>(c, [](T a, T b) { return a == b; });
    if (op_.kind() == "Greater") return go<T, uint8_t>(c, [](T a, T b) { return a > b; });
    if (op_.kind() == "Less") return go<T, uint8_t>(c, [](T a, T b) { return a < b; });
    if (op_.kind() == "GreaterOrEqual") return go<T, uint8_t>(c, [](T a, T b) { return a >= b; });
    if (op_.kind() == "LessOrEqual") return go<T, uint8_t>(c, [](T a, T b) { return a <= b; });
    if (op_.kind() == "And") return go<T, uint8_t>(c, [](T a, T b) { return a != 0 && b != 0; });
    if (op_.kind() == "Or") return go<T, uint8_t>(c, [](T a, T b) { return a != 0 || b != 0; });
    if (op_.kind() == "Xor") return go<T, uint8_t>(c, [](T a, T b) { return (a != 0) != (b != 0); });
    if (op_.kind() == "Max") return go<T, T>(c, [](T a, T b) { return a > b ? a : b; });
    if (op_.kind() == "Min") return go<T, T>(c, [](T a, T b) { return a < b ? a : b; });
    if constexpr (std::is_floating_point_v<T>) {
      if (op_.kind() == "Add") return go<T, T>(c, [](T a, T b) { return a + b; });
      if (op_.kind() == "Sub") return go<T, T>(c, [](T a, T b) { return a - b; });
      if (op_.kind() == "Mul") return go<T, T>(c, [](T a, T b) { return a * b; });
      if (op_.kind() == "Div") return go<T, T>(c, [](T a, T b) { return a / b; });
    } else {
      if (op_.kind() == "Add") return go<T, T>(c, [](T a, T b) { return static_cast<T>(wrap(a, b, '+')); });
      if (op_.kind() == "Sub") return go<T, T>(c, [](T a, T b) { return static_cast<T>(wrap(a, b, '-')); });
      if (op_.kind() == "Mul") return go<T, T>(c, [](T a, T b) { return static_cast<T>(wrap(a, b, '*')); });
      if (op_.kind() == "Div") return go<T, T>(c, [](T a, T b) { return static_cast<T>(safe_div(a, b)); });
      if (op_.kind() == "Mod")
        return go<T, T>(c, [](T a, T b) {
          if (b == 0) return T{0};
          const int64_t q = safe_div(a, b), r = wrap(a, wrap(q, b, '*'), '-');
          return static_cast<T>(r != 0 && (r < 0) != (b < 0) ? r + b : r);
        });
    }
    op_.fail("this op is not known for " + std::string(name(c.in[0]->type)));
  }
  template <typename T, typename R, typename F>
  void go(const Context& c, F f) const {
    const Walker a(c.in[0]->shape, c.out[0]->shape), b(c.in[1]->shape, c.out[0]->shape);
    const T *x = c.in[0]->as<T>(), *y = c.in[1]->as<T>();
    R* out = c.out[0]->as<R>();
    const int64_t n = c.out[0]->size();
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<R>(f(x[a.at(i)], y[b.at(i)]));
  }

  const ops::Elementwise& op_;
};

class UnaryKernel : public CpuKernel {
 public:
  UnaryKernel(const ops::Unary& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    if (op_.kind() == "Relu") return relu(x, *c.out[0]);
    for (int64_t i = 0; i < x.size(); ++i) {
      if (op_.kind() == "Not")
        c.out[0]->as<uint8_t>()[i] = x.as<uint8_t>()[i] == 0;
      else if (op_.kind() == "IsNaN")
        c.out[0]->as<uint8_t>()[i] = std::isnan(x.as<float>()[i]);
      else if (x.type == DType::F32)
        c.out[0]->as<float>()[i] = op_.kind() == "Neg" ? -x.as<float>()[i] : std::fabs(x.as<float>()[i]);
      else {
        const int64_t v = x.as<int64_t>()[i];
        c.out[0]->as<int64_t>()[i] = op_.kind() == "Neg" || v < 0 ? wrap(0, v, '-') : v;
      }
    }
  }

 private:
  static void relu(const Tensor& x, Tensor& y) {
    const auto go = [&]<typename T>(T) {
      for (int64_t i = 0; i < x.size(); ++i) y.as<T>()[i] = x.as<T>()[i] < 0 ? T{0} : x.as<T>()[i];
    };
    x.type == DType::F32 ? go(float{}) : x.type == DType::I64 ? go(int64_t{}) : go(int32_t{});
  }

  const ops::Unary& op_;
};

class ArgExtremeKernel : public CpuKernel {
 public:
  ArgExtremeKernel(const ops::ArgExtreme& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    switch (c.in[0]->type) {
      case DType::F32:
        return typed<float>(c);
      case DType::I64:
        return typed<int64_t>(c);
      default:
        return typed<int32_t>(c);
    }
  }

 private:
  template <typename T>
  void typed(const Context& c) const {
    for (int64_t o = 0; o < op_.split.outer; ++o)
      for (int64_t i = 0; i < op_.split.inner; ++i) {
        const T* x = c.in[0]->as<T>() + o * op_.split.length * op_.split.inner + i;
        int64_t best = 0;
        for (int64_t k = 1; k < op_.split.length; ++k) {
          const T a = x[k * op_.split.inner], b = x[best * op_.split.inner];
          if ((op_.largest ? a > b : a < b) || (op_.last && a == b)) best = k;
        }
        c.out[0]->as<int64_t>()[o * op_.split.inner + i] = best;
      }
  }

  const ops::ArgExtreme& op_;
};

class WhereKernel : public CpuKernel {
 public:
  WhereKernel(const ops::Where&, const OpSource&, const Workspace& workspace) : CpuKernel(workspace) {}

  void compute(const Context& c) override {
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

class NonZeroKernel : public CpuKernel {
 public:
  NonZeroKernel(const ops::NonZero&, const OpSource&, const Workspace& workspace) : CpuKernel(workspace) {}

  void compute(const Context& c) override {
    with_elements(*c.in[0], [&](const auto* x) { write(c, x); });
  }

 private:
  template <typename T>
  void write(const Context& c, const T* x) const {
    const Shape& shape = c.in[0]->shape;
    const int64_t n = c.in[0]->size(), found = std::count_if(x, x + n, [](T v) { return v != T{0}; });
    auto* y = c.place(0, {static_cast<int64_t>(shape.size()), found}).as<int64_t>();
    for (int64_t i = 0, at = 0; at < found; ++i) {
      if (x[i] == T{0}) continue;
      for (int64_t d = static_cast<int64_t>(shape.size()), rest = i; d-- > 0; rest /= shape[static_cast<size_t>(d)])
        y[d * found + at] = rest % shape[static_cast<size_t>(d)];
      ++at;
    }
  }
};

class RangeKernel : public CpuKernel {
 public:
  RangeKernel(const ops::Range& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const int64_t n = c.out[0]->size();
    if (c.out[0]->type == DType::F32)
      for (int64_t i = 0; i < n; ++i) c.out[0]->as<float>()[i] = op_.float_start + static_cast<float>(i) * op_.float_step;
    else if (c.out[0]->type == DType::I64)
      for (int64_t i = 0; i < n; ++i) c.out[0]->as<int64_t>()[i] = op_.start + i * op_.step;
    else
      for (int64_t i = 0; i < n; ++i) c.out[0]->as<int32_t>()[i] = static_cast<int32_t>(op_.start + i * op_.step);
  }

 private:
  const ops::Range& op_;
};

class FillKernel : public CpuKernel {
 public:
  FillKernel(const ops::Fill&, const OpSource&, const Workspace& workspace) : CpuKernel(workspace) {}

  void compute(const Context& c) override {
    const size_t size = byte_size(c.out[0]->type);
    for (int64_t i = 0; i < c.out[0]->size(); ++i)
      std::memcpy(c.out[0]->as<uint8_t>() + static_cast<size_t>(i) * size, c.in[1]->data, size);
  }
};

}  // namespace

void add_index_kernels(KernelTable& table) {
  table.emplace_back("Shape", make<ShapeOfKernel, ops::ShapeOf>);
  table.emplace_back("Size", make<ShapeOfKernel, ops::ShapeOf>);
  table.emplace_back("Cast", make<CastKernel, ops::Cast>);
  for (const char* kind : {"Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Equal", "Greater", "Less", "GreaterOrEqual",
                           "LessOrEqual", "And", "Or", "Xor"})
    table.emplace_back(kind, make<ElementwiseKernel, ops::Elementwise>);
  for (const char* kind : {"Not", "IsNaN", "Neg", "Abs", "Relu"}) table.emplace_back(kind, make<UnaryKernel, ops::Unary>);
  for (const char* kind : {"ArgMax", "ArgMin"}) table.emplace_back(kind, make<ArgExtremeKernel, ops::ArgExtreme>);
  table.emplace_back("Where", make<WhereKernel, ops::Where>);
  table.emplace_back("NonZero", make<NonZeroKernel, ops::NonZero>);
  table.emplace_back("Range", make<RangeKernel, ops::Range>);
  table.emplace_back("ConstantOfShape", make<FillKernel, ops::Fill>);
}

}  // namespace qgraph::cpu
