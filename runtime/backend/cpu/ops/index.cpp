// Shapes, places of extremes, ranges and constants; what works element by element is in elementwise.cpp.
#include "ops/index.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/ops/copy.h"
#include "backend/cpu/ops/kernel.h"

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

class ArgExtremeKernel : public CpuKernel {
 public:
  ArgExtremeKernel(const ops::ArgExtreme& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    with_elements(*c.in[0], [&](const auto* x) { places(x, c.out[0]->as<int64_t>()); });
  }

 private:
  template <typename T>
  void places(const T* data, int64_t* y) const {
    for (int64_t o = 0; o < op_.split.outer; ++o)
      for (int64_t i = 0; i < op_.split.inner; ++i) {
        const T* x = data + o * op_.split.length * op_.split.inner + i;
        int64_t best = 0;
        for (int64_t k = 1; k < op_.split.length; ++k) {
          const T a = x[k * op_.split.inner], b = x[best * op_.split.inner];
          if ((op_.largest ? a > b : a < b) || (op_.last && a == b)) best = k;
        }
        y[o * op_.split.inner + i] = best;
      }
  }

  const ops::ArgExtreme& op_;
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
    const auto fill = [&]<typename T>(T* y) {
      for (int64_t i = 0; i < c.out[0]->size(); ++i)
        if constexpr (std::is_same_v<T, float>)
          y[i] = op_.first + static_cast<float>(i) * op_.delta;
        else
          y[i] = static_cast<T>(op_.start + i * op_.step);
    };
    with_elements(*c.out[0], fill);
  }

 private:
  const ops::Range& op_;
};

class FillKernel : public CpuKernel {
 public:
  FillKernel(const ops::Fill&, const OpSource&, const Workspace& workspace) : CpuKernel(workspace) {}

  void compute(const Context& c) override {
    const size_t size = byte_size(c.out[0]->type);
    c.pool->parallel(c.out[0]->size(), copy_grain(static_cast<int64_t>(size)), [&](int64_t begin, int64_t end, int) {
      fill_elements(c.out[0]->as<uint8_t>() + static_cast<size_t>(begin) * size, c.in[1]->data, size, end - begin);
    });
  }
};

}  // namespace

void add_index_kernels(KernelTable& table) {
  table.emplace_back("Shape", make<ShapeOfKernel, ops::ShapeOf>);
  table.emplace_back("Size", make<ShapeOfKernel, ops::ShapeOf>);
  for (const char* kind : {"ArgMax", "ArgMin"}) table.emplace_back(kind, make<ArgExtremeKernel, ops::ArgExtreme>);
  table.emplace_back("NonZero", make<NonZeroKernel, ops::NonZero>);
  table.emplace_back("Range", make<RangeKernel, ops::Range>);
  table.emplace_back("ConstantOfShape", make<FillKernel, ops::Fill>);
}

}  // namespace qgraph::cpu
