// TopK, OneHot, EyeLike, Unique and Compress.
#include "ops/order.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <type_traits>

#include "backend/cpu/ops/copy.h"
#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/ordered.h"

namespace qgraph::cpu {
namespace {

/// An element of a line and its place. The better one is larger, or comes first.
struct Candidate {
  int64_t key;
  int64_t place;
  bool operator<(const Candidate& other) const { return key != other.key ? key > other.key : place < other.place; }
};

class TopKKernel : public CpuKernel {
 public:
  TopKKernel(const ops::TopK& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values&) override { return static_cast<size_t>(kept()) * sizeof(Candidate); }

  void compute(const Context& c) override {
    if (op_.k == 0) return;
    const int64_t length = op_.split.length, lines = op_.split.outer * op_.split.inner;
    with_elements(*c.in[0], [&]<typename T>(const T* x) {
      c.pool->parallel(lines, std::max<int64_t>(1, (1 << 13) / length), [&](int64_t begin, int64_t end, int worker) {
        auto* best = reinterpret_cast<Candidate*>(c.worker_scratch(worker));
        for (int64_t line = begin; line < end; ++line) {
          const int64_t o = line / op_.split.inner, i = line % op_.split.inner;
          choose(x + o * length * op_.split.inner + i, best);
          const int64_t at = o * op_.k * op_.split.inner + i;
          for (int64_t j = 0; j < op_.k; ++j) {
            c.out[0]->as<T>()[at + j * op_.split.inner] = x[(o * length + best[j].place) * op_.split.inner + i];
            c.out[1]->as<int64_t>()[at + j * op_.split.inner] = best[j].place;
          }
        }
      });
    });
  }

 private:
  /// Of few elements the best so far are kept in a heap, of many all are.
  bool is_few() const { return op_.k < op_.split.length / 8; }
  int64_t kept() const { return is_few() ? op_.k : op_.split.length; }

  template <typename T>
  Candidate candidate(const T* x, int64_t place) const {
    const int64_t key = ordered(x[place * op_.split.inner]);
    return {op_.largest ? key : ~key, place};
  }

  template <typename T>
  void choose(const T* x, Candidate* best) const {
    const int64_t n = kept(), k = op_.k;
    for (int64_t p = 0; p < n; ++p) best[p] = candidate(x, p);
    if (!is_few()) {
      if (k < n) std::nth_element(best, best + k, best + n);
      std::sort(best, best + k);
      return;
    }
    std::make_heap(best, best + k);  // the worst is in front
    for (int64_t p = k; p < op_.split.length; ++p) {
      const T value = x[p * op_.split.inner], worst = x[best->place * op_.split.inner];
      if (op_.largest ? value <= worst : value >= worst) continue;  // of equal ones the first
      const Candidate next = candidate(x, p);
      if (next.key <= best->key) continue;  // NaN
      std::pop_heap(best, best + k);
      best[k - 1] = next;
      std::push_heap(best, best + k);
    }
    std::sort_heap(best, best + k);
  }

  const ops::TopK& op_;
};

class OneHotKernel : public CpuKernel {
 public:
  OneHotKernel(const ops::OneHot& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const size_t size = byte_size(c.out[0]->type);
    const auto* values = c.in[2]->as<uint8_t>();
    auto* y = c.out[0]->as<uint8_t>();
    const int64_t depth = op_.depth, inner = op_.inner;
    c.pool->parallel(c.out[0]->size(), copy_grain(static_cast<int64_t>(size)), [&](int64_t begin, int64_t end, int) {
      fill_elements(y + static_cast<size_t>(begin) * size, values, size, end - begin);
    });
    with_elements(*c.in[0], [&](const auto* index) {
      for (int64_t i = 0; i < c.in[0]->size(); ++i) {
        const int64_t given = place(index[i]), at = given < 0 ? given + depth : given;
        if (at < 0 || at >= depth) continue;
        std::memcpy(y + static_cast<size_t>((i / inner * depth + at) * inner + i % inner) * size, values + size, size);
      }
    });
  }

 private:
  template <typename T>
  static int64_t place(T v) {
    if constexpr (std::is_same_v<T, float>)
      return std::isnan(v) ? 0 : static_cast<int64_t>(std::min(std::max(v, -1e12f), 1e12f));
    else
      return v;
  }

  const ops::OneHot& op_;
};

class EyeLikeKernel : public CpuKernel {
 public:
  EyeLikeKernel(const ops::EyeLike& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& y = *c.out[0];
    std::memset(y.data, 0, bytes_of(y));
    const int64_t rows = y.shape[0], columns = y.shape[1];
    with_elements(y, [&]<typename T>(T*) {
      for (int64_t i = std::max<int64_t>(0, -op_.k); i < rows && i + op_.k < columns; ++i) y.as<T>()[i * columns + i + op_.k] = 1;
    });
  }

 private:
  const ops::EyeLike& op_;
};

class UniqueKernel : public CpuKernel {
 public:
  UniqueKernel(const ops::Unique& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    with_elements(*c.in[0], [&](const auto* x) { find(c, x); });
  }

 private:
  /// Which of two slices comes first: below 0 the first, 0 where they are equal.
  template <typename T>
  int compare(const T* x, int64_t a, int64_t b) const {
    const AxisSplit& s = op_.split;
    for (int64_t o = 0; o < s.outer; ++o)
      for (int64_t i = 0; i < s.inner; ++i) {
        const int64_t u = ordered(x[(o * s.length + a) * s.inner + i]), v = ordered(x[(o * s.length + b) * s.inner + i]);
        if (u != v) return u < v ? -1 : 1;
      }
    return 0;
  }

  template <typename T>
  void find(const Context& c, const T* x) const {
    const AxisSplit& s = op_.split;
    const auto n = static_cast<size_t>(s.length);
    std::vector<int64_t> order(n), first, group(n), counts;
    std::iota(order.begin(), order.end(), int64_t{0});
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return compare(x, a, b) < 0; });
    for (size_t i = 0; i < n; ++i) {
      if (i == 0 || compare(x, order[i - 1], order[i]) != 0) {
        first.push_back(order[i]);
        counts.push_back(0);
      }
      group[static_cast<size_t>(order[i])] = static_cast<int64_t>(first.size()) - 1;
      ++counts.back();
    }
    std::vector<int64_t> chosen(first.size()), rank(first.size());
    std::iota(chosen.begin(), chosen.end(), int64_t{0});
    if (!op_.sorted)
      std::sort(chosen.begin(), chosen.end(),
                [&](int64_t a, int64_t b) { return first[static_cast<size_t>(a)] < first[static_cast<size_t>(b)]; });
    for (size_t i = 0; i < chosen.size(); ++i) rank[static_cast<size_t>(chosen[i])] = static_cast<int64_t>(i);

    const auto found = static_cast<int64_t>(first.size());
    Shape shape = op_.flat ? Shape{found} : c.in[0]->shape;
    shape[static_cast<size_t>(s.axis)] = found;
    auto* y = c.place(0, shape).as<T>();
    for (int64_t o = 0; o < s.outer; ++o)
      for (int64_t i = 0; i < found; ++i)
        std::copy_n(x + (o * s.length + first[static_cast<size_t>(chosen[static_cast<size_t>(i)])]) * s.inner, s.inner,
                    y + (o * found + i) * s.inner);
    const auto write = [&](size_t output, int64_t count, auto&& value) {
      if (output >= c.out.size()) return;
      auto* to = c.place(output, {count}).template as<int64_t>();
      for (int64_t i = 0; i < count; ++i) to[i] = value(static_cast<size_t>(i));
    };
    write(1, found, [&](size_t i) { return first[static_cast<size_t>(chosen[i])]; });
    write(2, s.length, [&](size_t i) { return rank[static_cast<size_t>(group[i])]; });
    write(3, found, [&](size_t i) { return counts[static_cast<size_t>(chosen[i])]; });
  }

  const ops::Unique& op_;
};

class CompressKernel : public CpuKernel {
 public:
  CompressKernel(const ops::Compress& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const AxisSplit& s = op_.split;
    const auto* condition = c.in[1]->as<uint8_t>();
    std::vector<int64_t> places;
    for (int64_t i = 0; i < std::min(s.length, c.in[1]->size()); ++i)
      if (condition[i] != 0) places.push_back(i);
    const auto found = static_cast<int64_t>(places.size());
    Shape shape = op_.flat ? Shape{found} : x.shape;
    shape[static_cast<size_t>(s.axis)] = found;
    auto* y = c.place(0, shape).as<uint8_t>();
    const int64_t bytes = s.inner * static_cast<int64_t>(byte_size(x.type));
    c.pool->parallel(s.outer * found, copy_grain(bytes), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        std::memcpy(y + i * bytes, x.as<uint8_t>() + (i / found * s.length + places[static_cast<size_t>(i % found)]) * bytes,
                    static_cast<size_t>(bytes));
    });
  }

 private:
  const ops::Compress& op_;
};

}  // namespace

void add_order_kernels(KernelTable& table) {
  table.emplace_back("TopK", make<TopKKernel, ops::TopK>);
  table.emplace_back("OneHot", make<OneHotKernel, ops::OneHot>);
  table.emplace_back("EyeLike", make<EyeLikeKernel, ops::EyeLike>);
  table.emplace_back("Unique", make<UniqueKernel, ops::Unique>);
  table.emplace_back("Compress", make<CompressKernel, ops::Compress>);
}

}  // namespace qgraph::cpu
