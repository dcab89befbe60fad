// MaxPool, AveragePool, ReduceMean, ReduceMax, CumSum.
#include "ops/pool.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

/// y[at + i] = quantize((float(sum[i]) * multiplier) / count); the sums are overwritten.
void finish_mean(const Context& c, const Epilogue& e, int32_t* sums, int64_t n, float multiplier, int64_t count, int64_t at) {
  auto* t = reinterpret_cast<float*>(sums);
  const float one = 1.0f, each = static_cast<float>(std::max<int64_t>(count, 1));
  for (int64_t i = 0; i < n; ++i) {
    int32_t sum;
    std::memcpy(&sum, sums + i, 4);
    const float mean = (static_cast<float>(sum) * multiplier) / each;
    std::memcpy(t + i, &mean, 4);
  }
  c.kernels->requantize(t, DType::F32, 0, &one, 0, n, e, c.out[0]->as<uint8_t>() + static_cast<size_t>(at) * byte_size(e.type));
}

class PoolKernel : public CpuKernel {
 public:
  PoolKernel(const ops::Pool& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  size_t prepare(const Values&) override { return static_cast<size_t>(round_up(op_.channels * 4, 64)); }
  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t pixels = op_.out_size[0] * op_.out_size[1],
                  grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, op_.channels));
    if (op_.channels == 0) return;
    c.pool->parallel(x.shape[0] * pixels, grain, [&](int64_t begin, int64_t end, int worker) {
      auto* sums = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
      int64_t image = begin / pixels, row = begin % pixels / op_.out_size[1], column = begin % op_.out_size[1];
      for (int64_t p = begin; p < end; ++p) {
        if (x.type == DType::U8)
          one<uint8_t>(c, image, row, column, sums);
        else
          one<int16_t>(c, image, row, column, sums);
        if (++column < op_.out_size[1]) continue;
        column = 0;
        if (++row < op_.out_size[0]) continue;
        row = 0;
        ++image;
      }
    });
  }

 private:
  /// Of the window's taps along an axis: those that fall on the input, and how many count (padding up to its declared end, not
  /// beyond: ceil mode).
  struct Span {
    int64_t first, last, counted;
  };
  Span span(int axis, int64_t corner) const {
    const int64_t d = op_.dilation[axis], kernel = op_.kernel[axis], room = op_.size[axis] - 1 - corner,
                  padded = room + op_.end[axis];
    if (corner >= 0 && room >= d * (kernel - 1)) return {0, kernel, kernel};
    const int64_t first = corner >= 0 ? 0 : (-corner + d - 1) / d, last = room < 0 ? 0 : std::min(kernel, room / d + 1);
    const int64_t within = padded < 0 ? 0 : std::min(kernel, padded / d + 1);
    return {first, last, op_.count_include_pad ? within : std::max<int64_t>(0, last - first)};
  }

  template <typename T>
  void one(const Context& c, int64_t image, int64_t row, int64_t column, int32_t* sums) const {
    const int64_t y0 = row * op_.stride[0] - op_.begin[0], x0 = column * op_.stride[1] - op_.begin[1];
    const Span down = span(0, y0), along = span(1, x0);
    const int64_t o = row * op_.out_size[1] + column;
    const int64_t n = op_.channels;  // a local: what is written through bytes may alias the member
    const int32_t zero = op_.x_zero;
    const T* x = c.in[0]->as<T>() + image * op_.size[0] * op_.size[1] * op_.channels;
    auto taps = [&](auto&& f) {
      for (int64_t ky = down.first; ky < down.last; ++ky)
        for (int64_t kx = along.first; kx < along.last; ++kx)
          f(x + ((y0 + ky * op_.dilation[0]) * op_.size[1] + x0 + kx * op_.dilation[1]) * op_.channels);
    };
    if (!op_.average) {
      // the greatest values of some channels stay in registers
      typedef T Vector __attribute__((vector_size(16)));
      constexpr int64_t kLanes = 16 / sizeof(T), kVectors = 4;
      T* to = c.out[0]->as<T>() + (image * op_.out_size[0] * op_.out_size[1] + o) * op_.channels;
      int64_t from = 0;
      for (; from + kVectors * kLanes <= n; from += kVectors * kLanes) {
        Vector peak[kVectors];
        for (auto& v : peak) v = Vector{} + std::numeric_limits<T>::min();
        taps([&](const T* tap) {
          for (int64_t i = 0; i < kVectors; ++i) {
            Vector v;
            std::memcpy(&v, tap + from + i * kLanes, sizeof(v));
            peak[i] = v > peak[i] ? v : peak[i];
          }
        });
        std::memcpy(to + from, peak, sizeof(peak));
      }
      std::fill(to + from, to + n, std::numeric_limits<T>::min());
      if (from < n)
        taps([&](const T* tap) {
          for (int64_t i = from; i < n; ++i) to[i] = std::max(to[i], tap[i]);
        });
      return;
    }
    std::fill(sums, sums + op_.channels, 0);
    taps([&](const T* tap) {
      for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<int32_t>(tap[i]) - zero;
    });
    finish_mean(c, epilogue_, sums, op_.channels, op_.multiplier, down.counted * along.counted,
                (image * op_.out_size[0] * op_.out_size[1] + o) * op_.channels);
  }

  const ops::Pool& op_;
  Epilogue epilogue_;
};

/// The place of element i of the axes with these dims and strides.
int64_t offset(int64_t i, const Shape& shape, const std::vector<int64_t>& strides) {
  int64_t at = 0;
  for (size_t d = shape.size(); d-- > 0;) {
    at += i % shape[d] * strides[d];
    i /= shape[d];
  }
  return at;
}

class ReduceMeanKernel : public CpuKernel {
 public:
  ReduceMeanKernel(const ops::ReduceMean& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  size_t prepare(const Values& v) override { return static_cast<size_t>(round_up(row(v) * 4, 64)); }
  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const int32_t zero = op_.x_zero;  // a local: the sums may alias the member
    const int64_t n = elements(op_.reduced_shape), each = row(c.values);
    if (elements(op_.kept_shape) == 0) return;
    // rows of kept elements that lie side by side are summed at once; 2^15 codes fit a sum of 32 bits
    c.pool->parallel(elements(op_.kept_shape) / each, 1, [&](int64_t begin, int64_t end, int worker) {
      auto* sums = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
      for (int64_t o = begin; o < end; ++o) {
        const int64_t start = offset(o * each, op_.kept_shape, op_.kept_strides);
        if (n > (1 << 15)) {
          long_mean(c, x, start, n, o);
          continue;
        }
        std::fill(sums, sums + each, 0);
        for (int64_t i = 0; i < n; ++i) {
          const int64_t at = start + offset(i, op_.reduced_shape, op_.reduced_strides);
          if (x.type == DType::U8)
            for (int64_t j = 0; j < each; ++j) sums[j] += static_cast<int32_t>(x.as<uint8_t>()[at + j]) - zero;
          else
            for (int64_t j = 0; j < each; ++j) sums[j] += static_cast<int32_t>(x.as<int16_t>()[at + j]) - zero;
        }
        finish_mean(c, epilogue_, sums, each, op_.multiplier, n, o * each);
      }
    });
  }

 private:
  /// Elements of the output that lie side by side in the input too.
  int64_t row(const Values& v) const {
    const bool whole = op_.last_kept && elements(op_.reduced_shape) <= (1 << 15);
    return whole ? std::max<int64_t>(1, v.in[0]->shape.back()) : 1;
  }
  void long_mean(const Context& c, const Tensor& x, int64_t start, int64_t n, int64_t o) const {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += read_code(x, start + offset(i, op_.reduced_shape, op_.reduced_strides)) - op_.x_zero;
    const float one = 1.0f, t = (static_cast<float>(sum) * op_.multiplier) / static_cast<float>(n);
    c.kernels->requantize(&t, DType::F32, 0, &one, 0, 1, epilogue_, c.out[0]->as<uint8_t>() + o * (bits(epilogue_.type) / 8));
  }

  const ops::ReduceMean& op_;
  Epilogue epilogue_;
};

class ReduceMaxKernel : public CpuKernel {
 public:
  ReduceMaxKernel(const ops::ReduceMax& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values&) override { return 0; }
  void compute(const Context& c) override {
    if (elements(op_.kept_shape) == 0) return;
    if (c.in[0]->type == DType::U8)
      largest<uint8_t>(c);
    else
      largest<int16_t>(c);
  }

 private:
  template <typename T>
  void largest(const Context& c) const {
    const T* x = c.in[0]->as<T>();
    T* y = c.out[0]->as<T>();
    const int64_t n = elements(op_.reduced_shape), each = op_.last_kept ? op_.kept_shape.back() : 1;
    // rows of kept elements that lie side by side are compared at once
    c.pool->parallel(elements(op_.kept_shape) / each, std::max<int64_t>(1, 4096 / each), [&](int64_t begin, int64_t end, int) {
      for (int64_t o = begin; o < end; ++o) {
        const T* from = x + offset(o * each, op_.kept_shape, op_.kept_strides);
        T* to = y + o * each;
        std::fill(to, to + each, std::numeric_limits<T>::min());
        for (int64_t i = 0; i < n; ++i) {
          const T* row = from + offset(i, op_.reduced_shape, op_.reduced_strides);
          for (int64_t j = 0; j < each; ++j) to[j] = std::max(to[j], row[j]);
        }
      }
    });
  }

  const ops::ReduceMax& op_;
};

class CumSumKernel : public CpuKernel {
 public:
  CumSumKernel(const ops::CumSum& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    if (op_.kind() == "CumProd")
      over(c, 1, [](auto a, auto b) { return a * b; });
    else
      over(c, 0, [](auto a, auto b) { return a + b; });
  }

 private:
  template <typename Join>
  void over(const Context& c, int start, Join join) const {
    switch (c.in[0]->type) {
      case DType::F32:
        return typed<float, float>(c, static_cast<float>(start), join);
      case DType::I64:
        return typed<int64_t, uint64_t>(c, static_cast<uint64_t>(start), join);
      default:
        return typed<int32_t, uint32_t>(c, static_cast<uint32_t>(start), join);
    }
  }
  template <typename T, typename Result, typename Join>  // integers wrap
  void typed(const Context& c, Result start, Join join) const {
    constexpr int64_t kColumns = 1024;
    const AxisSplit& s = op_.split;
    const int64_t blocks = (s.inner + kColumns - 1) / kColumns,
                  work = std::max<int64_t>(1, s.length * std::min(s.inner, kColumns));
    const int64_t shift = op_.exclusive ? 1 : 0, step = op_.reverse ? -s.inner : s.inner;
    c.pool->parallel(s.outer * blocks, (1 << 14) / work, [&](int64_t begin, int64_t end, int) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t column = block % blocks * kColumns, n = std::min(kColumns, s.inner - column);
        const int64_t first = (block / blocks * s.length + (op_.reverse ? s.length - 1 : 0)) * s.inner + column;
        const T* x = c.in[0]->as<T>() + first;
        T* y = c.out[0]->as<T>() + first;
        if (shift == 1 && s.length > 0) std::fill(y, y + n, static_cast<T>(start));
        if (shift < s.length) std::copy(x, x + n, y + shift * step);
        Result last = s.length > 0 ? static_cast<Result>(*x) : start;
        for (int64_t k = shift + 1; k < s.length; ++k) {
          const T* from = x + (k - shift) * step;
          T* to = y + k * step;
          if (n == 1)
            *to = static_cast<T>(last = join(last, static_cast<Result>(*from)));
          else
            for (int64_t i = 0; i < n; ++i)
              to[i] = static_cast<T>(join(static_cast<Result>(to[i - step]), static_cast<Result>(from[i])));
        }
      }
    });
  }

  const ops::CumSum& op_;
};

}  // namespace

void add_pool_kernels(KernelTable& table) {
  table.emplace_back("MaxPool", make<PoolKernel, ops::Pool>);
  table.emplace_back("AveragePool", make<PoolKernel, ops::Pool>);
  table.emplace_back("ReduceMean", make<ReduceMeanKernel, ops::ReduceMean>);
  for (const char* kind : {"CumSum", "CumProd"}) table.emplace_back(kind, make<CumSumKernel, ops::CumSum>);
  table.emplace_back("ReduceMax", make<ReduceMaxKernel, ops::ReduceMax>);
}

}  // namespace qgraph::cpu
