// ScatterElements, ScatterND and TensorScatter: updates that meet at one place are taken in their order, on one thread.
#include "ops/scatter.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "backend/cpu/ops/copy.h"
#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/places.h"
#include "ops/shape.h"

namespace qgraph::cpu {
namespace {

using dialect::ScatterReduction;

/// What becomes of y when it meets the update u. Arithmetic of integers is that of their unsigned types.
template <ScatterReduction kHow, typename T>
T met(T y, T u) {
  if constexpr (kHow == ScatterReduction::None) {
    return u;
  } else if constexpr (kHow == ScatterReduction::Max) {
    return y > u ? y : u;
  } else if constexpr (kHow == ScatterReduction::Min) {
    return y < u ? y : u;
  } else if constexpr (std::is_floating_point_v<T>) {
    return kHow == ScatterReduction::Add ? y + u : y * u;
  } else {
    const auto a = static_cast<uint64_t>(y), b = static_cast<uint64_t>(u);
    return static_cast<T>(kHow == ScatterReduction::Add ? a + b : a * b);
  }
}

/// Call f(std::integral_constant of the reduction, T{}) for elements of `type`.
template <typename F>
void with_reduction(ScatterReduction how, DType type, F&& f) {
  const auto typed = [&]<ScatterReduction kHow>(std::integral_constant<ScatterReduction, kHow> reduction) {
    switch (type) {
      case DType::F32:
        return f(reduction, float{});
      case DType::I64:
        return f(reduction, int64_t{});
      case DType::I32:
        return f(reduction, int32_t{});
      case DType::I16:
        return f(reduction, int16_t{});
      case DType::I8:
        return f(reduction, int8_t{});
      default:
        return f(reduction, uint8_t{});
    }
  };
  using R = ScatterReduction;
  if (type == DType::Bool) how = how == R::Add ? R::Max : how == R::Mul ? R::Min : how;  // or, and
  switch (how) {
    case R::None:
      return typed(std::integral_constant<R, R::None>{});
    case R::Add:
      return typed(std::integral_constant<R, R::Add>{});
    case R::Mul:
      return typed(std::integral_constant<R, R::Mul>{});
    case R::Max:
      return typed(std::integral_constant<R, R::Max>{});
    case R::Min:
      return typed(std::integral_constant<R, R::Min>{});
  }
}

void copy_data(const Context& c) {
  copy_rows(*c.pool, c.in[0]->as<uint8_t>(), 0, c.out[0]->as<uint8_t>(), 0, static_cast<int64_t>(bytes_of(*c.in[0])), 1);
}

class ScatterElementsKernel : public CpuKernel {
 public:
  ScatterElementsKernel(const ops::ScatterElements& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor &x = *c.in[0], &index = *c.in[1];
    with_places(op_, *c.pool, index, x.shape[op_.axis], [&](const auto* at) {
      copy_data(c);
      if (index.size() != 0) write(c, at);
    });
  }

 private:
  template <typename I>
  void write(const Context& c, const I* places) const {
    const Tensor &x = *c.in[0], &index = *c.in[1];
    const AxisSplit split = split_at(index.shape, static_cast<int64_t>(op_.axis), op_.what());
    const auto own = strides_of(x.shape);
    // where each line of the indices along the axis begins in the data
    const auto start = [&](int64_t line) {
      int64_t at = 0, rest = line;
      for (size_t d = index.shape.size(); d-- > 0;) {
        if (d == op_.axis) continue;
        at += rest % index.shape[d] * own[d];
        rest /= index.shape[d];
      }
      return at;
    };
    with_reduction(op_.reduction, x.type,
                   [&]<ScatterReduction kHow, typename T>(std::integral_constant<ScatterReduction, kHow>, T) {
                     const int64_t step = own[op_.axis], length = split.length, inner = split.inner, dim = x.shape[op_.axis];
                     c.pool->parallel(split.outer * inner, copy_grain(length * 16), [&](int64_t begin, int64_t end, int) {
                       for (int64_t line = begin; line < end; ++line) {
                         const int64_t first = line / inner * length * inner + line % inner;
                         const I* at = places + first;
                         const T* u = c.in[2]->as<T>() + first;
                         T* y = c.out[0]->as<T>() + start(line);
                         for (int64_t i = 0; i < length; ++i) {
                           T& to = y[(at[i * inner] < 0 ? at[i * inner] + dim : at[i * inner]) * step];
                           to = met<kHow, T>(to, u[i * inner]);
                         }
                       }
                     });
                   });
  }
  const ops::ScatterElements& op_;
};

class ScatterNDKernel : public CpuKernel {
 public:
  ScatterNDKernel(const ops::ScatterND& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor &x = *c.in[0], &index = *c.in[1], &updates = *c.in[2];
    const auto depth = static_cast<int64_t>(op_.depth);
    const auto own = strides_of(x.shape);
    places_of(op_, index, x.shape.data(), std::max<int64_t>(depth, 1), places_);
    copy_data(c);
    if (updates.size() == 0) return;
    const int64_t n = elements(Shape(index.shape.begin(), index.shape.end() - 1)), block = updates.size() / n;
    std::vector<int64_t> starts(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i)
      for (size_t d = 0; d < op_.depth; ++d)
        starts[static_cast<size_t>(i)] += places_[static_cast<size_t>(i * depth) + d] * own[d];
    with_reduction(
        op_.reduction, x.type, [&]<ScatterReduction kHow, typename T>(std::integral_constant<ScatterReduction, kHow>, T) {
          const T* u = updates.as<T>();
          T* y = c.out[0]->as<T>();
          // each thread takes some columns of all updates, whose order stays
          c.pool->parallel(block, copy_grain(n * static_cast<int64_t>(sizeof(T))), [&](int64_t begin, int64_t end, int) {
            for (int64_t i = 0; i < n; ++i) {
              T* to = y + starts[static_cast<size_t>(i)];
              const T* from = u + i * block;
              if constexpr (kHow == ScatterReduction::None)
                std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin) * sizeof(T));
              else
                for (int64_t j = begin; j < end; ++j) to[j] = met<kHow, T>(to[j], from[j]);
            }
          });
        });
  }

 private:
  const ops::ScatterND& op_;
  std::vector<int64_t> places_;
};

class TensorScatterKernel : public CpuKernel {
 public:
  TensorScatterKernel(const ops::TensorScatter& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const int64_t length = op_.split.length, n = op_.update_length, batches = c.in[0]->shape[0];
    const int64_t* starts = c.given(2) ? c.in[2]->as<int64_t>() : nullptr;
    for (int64_t b = 0; starts != nullptr && b < batches; ++b)
      if (starts[b] < 0 || (!op_.circular && starts[b] > length - n))
        op_.fail("a sequence is written at " + std::to_string(starts[b]) + ", beyond the axis of " + std::to_string(length));
    copy_data(c);
    if (c.in[1]->size() == 0) return;
    const int64_t inner = op_.split.inner * static_cast<int64_t>(byte_size(c.in[0]->type)), per_batch = op_.split.outer / batches;
    c.pool->parallel(op_.split.outer, copy_grain(n * inner), [&](int64_t begin, int64_t end, int) {
      for (int64_t o = begin; o < end; ++o) {
        const int64_t start = starts == nullptr ? 0 : starts[o / per_batch] % length, first = std::min(n, length - start);
        const uint8_t* from = c.in[1]->as<uint8_t>() + o * n * inner;
        uint8_t* to = c.out[0]->as<uint8_t>() + o * length * inner;
        std::memcpy(to + start * inner, from, static_cast<size_t>(first * inner));
        std::memcpy(to, from + first * inner, static_cast<size_t>((n - first) * inner));
      }
    });
  }

 private:
  const ops::TensorScatter& op_;
};

}  // namespace

void add_scatter_kernels(KernelTable& table) {
  table.emplace_back("ScatterElements", make<ScatterElementsKernel, ops::ScatterElements>);
  table.emplace_back("ScatterND", make<ScatterNDKernel, ops::ScatterND>);
  table.emplace_back("TensorScatter", make<TensorScatterKernel, ops::TensorScatter>);
}

}  // namespace qgraph::cpu
