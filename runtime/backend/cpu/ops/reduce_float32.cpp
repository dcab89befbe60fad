// Reductions over axes, in float32 and on integers: a stage for each group of adjacent axes.
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "backend/cpu/isa/ordered_sum.h"
#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/wide_functions.h"
#include "ops/pool_float32.h"

namespace qgraph::cpu {
namespace {

using ops::Fold;

/// Results that are made at a time.
constexpr int64_t kBlock = 64;

template <bool kLargest, typename T>
constexpr T worst() {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::is_floating_point_v<T>)
    return kLargest ? -Limits::infinity() : Limits::infinity();
  else
    return kLargest ? Limits::min() : Limits::max();
}

/// The elements that make a result are x[result * step + i * stride] for i < n; either the step or the stride is 1.
struct Layout {
  int64_t n, stride, step, results;
  bool rows() const { return stride == 1; }
};

/// The elements of each result, one after the other in kLanes lanes, which are joined pairwise as in osum; `add` takes a result
/// and an element, `join` two results.
template <int kLanes, typename T, typename Result, typename Add, typename Join>
void fold_lanes(const T* x, const Layout& l, Result start, Add add, Join join, Result* made) {
  Result lanes[kLanes][kBlock];
  const int64_t used = std::min<int64_t>(kLanes, l.n);
  for (int64_t j = 0; j < std::max<int64_t>(used, 1); ++j) std::fill(lanes[j], lanes[j] + l.results, start);
  for (int64_t i = 0; i < l.n; ++i) {
    const T* from = x + i * l.stride;
    Result* lane = lanes[i % kLanes];
    if (l.step == 1)
      for (int64_t r = 0; r < l.results; ++r) lane[r] = add(lane[r], from[r]);
    else
      for (int64_t r = 0; r < l.results; ++r) lane[r] = add(lane[r], from[r * l.step]);
  }
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int64_t j = 0; j < step && j + step < used; ++j)
      for (int64_t r = 0; r < l.results; ++r) lanes[j][r] = join(lanes[j][r], lanes[j + step][r]);
  std::copy(lanes[0], lanes[0] + l.results, made);
}

/// The best of some elements, and whether a NaN was among them; both are numbers or vectors.
template <bool kLargest, typename V, typename M>
inline void add_to(V& best, M& unordered, const V& v) {
  best = (kLargest ? v > best : v < best) ? v : best;
  unordered |= v != v;
}

/// The best of each result's elements, some of them at a time in vectors.
template <bool kLargest, typename T>
void extremes_of(const T* x, const Layout& l, T* made) {
  typedef T Vector __attribute__((vector_size(16)));
  constexpr int64_t kWidth = 16 / sizeof(T), kVectors = 4, kGroup = kVectors * kWidth;
  constexpr T kWorst = worst<kLargest, T>();
  struct Number {
    T best = kWorst;
    bool unordered = false;
    void add(T v) { add_to<kLargest>(best, unordered, v); }
  };
  struct Group {
    Vector best[kVectors];
    decltype(best[0] != best[0]) unordered[kVectors] = {};
    Group() {
      for (Vector& v : best) v = Vector{} + kWorst;
    }
    void add(const T* from) {
      for (int64_t j = 0; j < kVectors; ++j) {
        Vector v;
        std::memcpy(&v, from + j * kWidth, sizeof(v));
        add_to<kLargest>(best[j], unordered[j], v);
      }
    }
    Number lane(int64_t i) const { return {best[i / kWidth][i % kWidth], unordered[i / kWidth][i % kWidth] != 0}; }
  };
  const auto result = [](const Number& best) { return best.unordered ? std::numeric_limits<T>::quiet_NaN() : best.best; };
  if (!l.rows()) {
    int64_t r = 0;
    for (; r + kGroup <= l.results; r += kGroup) {
      Group group;
      for (int64_t i = 0; i < l.n; ++i) group.add(x + r + i * l.stride);
      for (int64_t j = 0; j < kGroup; ++j) made[r + j] = result(group.lane(j));
    }
    for (; r < l.results; ++r) {
      Number best;
      for (int64_t i = 0; i < l.n; ++i) best.add(x[r + i * l.stride]);
      made[r] = result(best);
    }
    return;
  }
  for (int64_t r = 0; r < l.results; ++r) {
    const T* row = x + r * l.step;
    Number best;
    int64_t i = 0;
    if (l.n >= kGroup) {
      Group group;
      for (; i + kGroup <= l.n; i += kGroup) group.add(row + i);
      for (int64_t j = 0; j < kGroup; ++j) {
        const Number lane = group.lane(j);
        best.add(lane.best);
        best.unordered |= lane.unordered;
      }
    }
    for (; i < l.n; ++i) best.add(row[i]);
    made[r] = result(best);
  }
}

/// Doubles towards 0, saturated, NaN is 0.
template <typename T>
T whole(double v) {
  if (std::isnan(v)) return 0;
  if (v <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (v >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(v);
}

/// What a reduction of integers adds up.
uint64_t term(Fold fold, int64_t x) {
  const auto bits = static_cast<uint64_t>(x);
  return fold == Fold::L1 && x < 0 ? 0 - bits : fold == Fold::L2 || fold == Fold::SumSquare ? bits * bits : bits;
}

class ReduceKernel : public CpuKernel {
 public:
  ReduceKernel(const ops::Reduce& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  /// In the scratch of all workers, one after the other: the results of all stages but the last, up to 8 bytes each; then what
  /// ReduceLogSumExp needs.
  size_t prepare(const Values& v) override {
    int64_t bytes = 0;
    for (size_t i = 0; i + 1 < op_.stages.size(); ++i) bytes += padded(op_.stages[i]) * 8;
    staged_ = bytes;
    if (op_.fold == Fold::LogSumExp) bytes += round_up(v.out[0]->size() * 4, 64) + v.in[0]->size() * 4;
    return static_cast<size_t>(round_up(bytes / workspace_.pool.size() + 64, 64));
  }

  void compute(const Context& c) override {
    switch (c.in[0]->type) {
      case DType::F32:
        return extreme() ? extremes<float>(c) : op_.fold == Fold::LogSumExp ? log_sum_exp<float>(c) : floats(c);
      case DType::I64:
        return extreme() ? extremes<int64_t>(c) : op_.fold == Fold::LogSumExp ? log_sum_exp<int64_t>(c) : integers<int64_t>(c);
      case DType::I32:
        return extreme() ? extremes<int32_t>(c) : op_.fold == Fold::LogSumExp ? log_sum_exp<int32_t>(c) : integers<int32_t>(c);
      case DType::I16:
        return extremes<int16_t>(c);
      case DType::I8:
        return extremes<int8_t>(c);
      default:
        return extremes<uint8_t>(c);
    }
  }

 private:
  bool extreme() const { return op_.fold == Fold::Max || op_.fold == Fold::Min; }
  static int64_t padded(const AxisSplit& stage) { return round_up(stage.outer * stage.inner, 8); }

  /// Run the stages over x. first(x, layout, made) makes results of it, `next` the same of results, and finish(r, at) element
  /// `at` of y of one of the last ones.
  template <typename Result, typename T, typename Out, typename First, typename Next, typename Finish>
  void run(const Context& c, const T* x, Out* y, First first, Next next, Finish finish) const {
    const Result* from = nullptr;
    auto* to = reinterpret_cast<Result*>(c.scratch);
    for (const AxisSplit& stage : op_.stages) {
      const auto make = [&](int64_t at, const Layout& layout, Result* made) {
        from == nullptr ? first(x + at, layout, made) : next(from + at, layout, made);
      };
      if (&stage == &op_.stages.back())
        return each_block<Result>(c, stage, make, [&](int64_t at, int64_t n, const Result* made) {
          for (int64_t i = 0; i < n; ++i) y[at + i] = finish(made[i], at + i);
        });
      each_block<Result>(c, stage, make, [&](int64_t at, int64_t n, const Result* made) { std::copy(made, made + n, to + at); });
      from = to;
      to += padded(stage);
    }
  }

  /// make(start, layout, made) for all results of a stage, up to kBlock neighbours at a time, whose first element is at `start`;
  /// then write(at, results, made).
  template <typename Result, typename Make, typename Write>
  static void each_block(const Context& c, const AxisSplit& s, Make make, Write write) {
    constexpr int64_t kElements = 1 << 14;  // that are worth handing to another thread
    const int64_t length = std::max<int64_t>(s.length, 1);
    if (s.inner == 1) {
      c.pool->parallel(s.outer, kElements / length, [&](int64_t begin, int64_t end, int) {
        Result made[kBlock];
        for (int64_t o = begin; o < end; o += kBlock) {
          const int64_t n = std::min(kBlock, end - o);
          make(o * s.length, Layout{s.length, 1, s.length, n}, made);
          write(o, n, made);
        }
      });
      return;
    }
    const int64_t blocks = (s.inner + kBlock - 1) / kBlock;
    c.pool->parallel(s.outer * blocks, kElements / kBlock / length, [&](int64_t begin, int64_t end, int) {
      Result made[kBlock];
      for (int64_t i = begin; i < end; ++i) {
        const int64_t o = i / blocks, column = i % blocks * kBlock, n = std::min(kBlock, s.inner - column);
        make(o * s.length * s.inner + column, Layout{s.length, s.inner, 1, n}, made);
        write(o * s.inner + column, n, made);
      }
    });
  }

  template <typename T>
  void extremes(const Context& c) const {
    op_.fold == Fold::Max ? extremes<T, true>(c) : extremes<T, false>(c);
  }
  template <typename T, bool kLargest>
  void extremes(const Context& c) const {
    const auto best = extremes_of<kLargest, T>;
    const bool logic = c.in[0]->type == DType::Bool;
    run<T>(c, c.in[0]->as<T>(), c.out[0]->as<T>(), best, best, [&](T r, int64_t) {
      if constexpr (std::is_floating_point_v<T>)
        return r + 0.0f;
      else
        return logic ? static_cast<T>(r != 0) : r;
    });
  }

  /// Run the stages of an ordered sum; finish(sum, at) is element `at` of y.
  template <typename Out, typename Finish>
  void sums(const Context& c, const float* x, Out* y, Finish finish) const {
    const Float32Kernels& kernels = *c.kernels->float32;
    const SumOf of = op_.fold == Fold::L1                                  ? SumOf::Magnitudes
                     : op_.fold == Fold::L2 || op_.fold == Fold::SumSquare ? SumOf::Squares
                                                                           : SumOf::Values;
    const int64_t p = op_.p;
    const auto plus = [](double a, double b) { return a + b; };
    const auto first = [&](const float* from, const Layout& l, double* made) {
      if (op_.fold == Fold::Lp)
        return fold_lanes<kSumLanes>(from, l, 0.0, [=](double a, float b) { return a + power(b, p); }, plus, made);
      if (!l.rows()) return kernels.column_sums(of, from, l.n, l.stride, l.results, made);
      if (l.n > kSumLanes) {
        for (int64_t r = 0; r < l.results; ++r) made[r] = kernels.sum(of, from + r * l.step, l.n);
      } else if (of == SumOf::Squares) {
        fold_lanes<kSumLanes>(from, l, 0.0, [](double a, float b) { return a + static_cast<double>(b) * b; }, plus, made);
      } else if (of == SumOf::Magnitudes) {
        fold_lanes<kSumLanes>(from, l, 0.0, [](double a, float b) { return a + std::fabs(b); }, plus, made);
      } else {
        fold_lanes<kSumLanes>(from, l, 0.0, plus, plus, made);
      }
    };
    const auto next = [=](const double* t, const Layout& l, double* made) { fold_lanes<kSumLanes>(t, l, 0.0, plus, plus, made); };
    run<double>(c, x, y, first, next, finish);
  }

  void floats(const Context& c) const {
    const float* x = c.in[0]->as<float>();
    float* y = c.out[0]->as<float>();
    const auto count = static_cast<double>(std::max<int64_t>(op_.count, 1));
    const int64_t p = op_.p;
    switch (op_.fold) {
      case Fold::Prod:
        return product(c, x, y);
      case Fold::Mean:
        return sums(c, x, y, [=](double sum, int64_t) { return static_cast<float>(sum / count); });
      case Fold::L2:
      case Fold::Lp:
        return sums(c, x, y, [=](double sum, int64_t) { return static_cast<float>(root(sum, p)); });
      case Fold::LogSum:
        return sums(c, x, y, [](double sum, int64_t) { return static_cast<float>(log_of(sum)); });
      default:
        return sums(c, x, y, [](double sum, int64_t) { return static_cast<float>(sum); });
    }
  }

  void product(const Context& c, const float* x, float* y) const {
    const auto times = [](double a, double b) { return a * b; };
    const auto made_of = [=](const auto* from, const Layout& l, double* made) {
      fold_lanes<kSumLanes>(from, l, 1.0, times, times, made);
    };
    run<double>(c, x, y, made_of, made_of, [](double r, int64_t) { return static_cast<float>(r); });
  }

  template <typename T>
  void log_sum_exp(const Context& c) const {
    const T* x = c.in[0]->as<T>();
    auto* largest = reinterpret_cast<float*>(c.scratch + staged_);
    auto* e = reinterpret_cast<float*>(c.scratch + staged_ + round_up(c.out[0]->size() * 4, 64));
    c.pool->parallel(c.in[0]->size(), 1 << 14, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) e[i] = static_cast<float>(x[i]);
    });
    const auto best = extremes_of<true, float>;
    run<float>(c, e, largest, best, best, [](float r, int64_t) { return r; });
    const AxisSplit& s = op_.stages[0];
    c.pool->parallel(s.outer, (1 << 12) / std::max<int64_t>(1, s.length * s.inner), [&](int64_t begin, int64_t end, int) {
      for (int64_t o = begin; o < end; ++o) {
        int64_t at = o * s.inner;
        for (size_t i = 1; i < op_.stages.size(); ++i) {
          const AxisSplit& next = op_.stages[i];
          at = at / (next.length * next.inner) * next.inner + at % next.inner;
        }
        float* t = e + o * s.length * s.inner;
        for (int64_t k = 0; k < s.length; ++k)
          for (int64_t i = 0; i < s.inner; ++i) t[k * s.inner + i] = t[k * s.inner + i] - largest[at + i];
        c.kernels->float32->function(Function::Exp, 0, 0, t, s.length * s.inner, t);
      }
    });
    sums(c, e, c.out[0]->as<T>(), [=](double sum, int64_t at) {
      const auto m = static_cast<double>(largest[at]);
      const double y = std::isfinite(m) ? m + log_of(sum) : m;
      if constexpr (std::is_floating_point_v<T>)
        return static_cast<T>(y);
      else
        return whole<T>(static_cast<double>(static_cast<float>(y)));
    });
  }

  template <typename T>
  void integers(const Context& c) const {
    const Fold fold = op_.fold;
    const auto count = std::max<int64_t>(op_.count, 1);
    const auto finish = [=](uint64_t r, int64_t) {
      const auto sum = static_cast<int64_t>(r);
      if (fold == Fold::LogSum) return whole<T>(log_of(static_cast<double>(sum)));
      if (fold == Fold::L2) return whole<T>(std::sqrt(static_cast<double>(sum)));
      return static_cast<T>(fold == Fold::Mean ? sum / count : sum);
    };
    const auto over = [&](uint64_t start, auto join) {
      const auto first = [=](uint64_t a, T b) { return join(a, term(fold, b)); };
      run<uint64_t>(
          c, c.in[0]->as<T>(), c.out[0]->as<T>(),
          [=](const T* x, const Layout& l, uint64_t* made) { fold_lanes<1>(x, l, start, first, join, made); },
          [=](const uint64_t* x, const Layout& l, uint64_t* made) { fold_lanes<1>(x, l, start, join, join, made); }, finish);
    };
    if (fold == Fold::Prod)
      over(1, [](uint64_t a, uint64_t b) { return a * b; });
    else
      over(0, [](uint64_t a, uint64_t b) { return a + b; });
  }

  const ops::Reduce& op_;
  int64_t staged_ = 0;
};

}  // namespace

void add_reduce_float32_kernels(KernelTable& table) {
  for (const char* kind :
       {"ai.onnx.ReduceMax", "ReduceMin", "ReduceSum", "ai.onnx.ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2",
        "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"})
    table.emplace_back(kind, make<ReduceKernel, ops::Reduce>);
}

}  // namespace qgraph::cpu
