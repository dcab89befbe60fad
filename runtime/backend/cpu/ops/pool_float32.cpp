// Pools in float32, channels first: MaxPool, AveragePool, MaxUnpool, MaxRoiPool.
#include "ops/pool_float32.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "backend/cpu/isa/join_rows.h"
#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/wide_functions.h"

namespace qgraph::cpu {
namespace {

template <typename T>
constexpr T lowest() {
  using Limits = std::numeric_limits<T>;
  return std::is_floating_point_v<T> ? -Limits::infinity() : Limits::min();
}

/// An output row of a pool joins the input rows that its windows see, each column by itself, in a buffer with as much padding as
/// the last axis has, and then columns of it.
class WindowPoolKernel : public CpuKernel {
 public:
  WindowPoolKernel(const ops::WindowPool& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values&) override {
    const ops::PoolWindow& w = op_.window;
    const size_t last = w.axes() - 1;
    width_ = std::max(w.begin[last] + w.size[last], w.places[last] * w.stride[last] + (w.kernel[last] - 1) * w.dilation[last]);
    counts_.clear();
    for (int64_t place = 0; op_.how == ops::WindowPool::How::Mean && place < w.places[last]; ++place)
      counts_.push_back(static_cast<double>(taps(last, place).counted));
    int64_t taps = 1;
    for (size_t i = 0; i < last; ++i) taps *= w.kernel[i];
    pointers_ = round_up(std::max(taps, w.kernel[last]) * 8, 64);
    return static_cast<size_t>(pointers_ + round_up((width_ + w.places[last]) * 8, 64));
  }

  void compute(const Context& c) override {
    if (c.out.size() > 1) return with_indices(c);
    switch (c.in[0]->type) {
      case DType::F32:
        return op_.how == ops::WindowPool::How::Mean   ? means(c)
               : op_.how == ops::WindowPool::How::Norm ? norms(c)
                                                       : largest<float>(c);
      case DType::I8:
        return largest<int8_t>(c);
      default:
        return largest<uint8_t>(c);
    }
  }

 private:
  /// Of the window's taps along an axis at a place: those that fall on the input, and how many count (padding up to its declared
  /// end, not beyond: ceil mode).
  struct Taps {
    int64_t first, last, counted;
  };
  /// Where the windows of an output row stand on all axes but the last.
  struct Place {
    std::array<Taps, kMaxRank> taps;
    std::array<int64_t, kMaxRank> corner;
  };
  Taps taps(size_t axis, int64_t place) const {
    const ops::PoolWindow& w = op_.window;
    const int64_t d = w.dilation[axis], corner = place * w.stride[axis] - w.begin[axis], room = w.size[axis] - 1 - corner,
                  padded = room + w.end[axis];
    const int64_t first = corner >= 0 ? 0 : std::min(w.kernel[axis], (-corner + d - 1) / d),
                  last = room < 0 ? first : std::max(first, std::min(w.kernel[axis], room / d + 1));
    return {first, last, op_.count_include_pad ? padded < 0 ? 0 : std::min(w.kernel[axis], padded / d + 1) : last - first};
  }

  /// Call each(x, place, y, worker) for all output rows: the offset of the image's first element, the row's place, the offset of
  /// the row's first element.
  template <typename Each>
  void rows(const Context& c, Each each) const {
    const ops::PoolWindow& w = op_.window;
    const size_t outer = w.axes() - 1;
    const Tensor& x = *c.in[0];
    const int64_t planes = x.shape[0] * x.shape[1], length = w.places[outer];
    int64_t lines = 1, image = w.size[outer], work = w.size[outer] + w.kernel[outer] * length;
    for (size_t i = 0; i < outer; ++i) {
      lines *= w.places[i];
      image *= w.size[i];
      work += w.size[outer] * w.kernel[i];
    }
    c.pool->parallel(planes * lines, (1 << 14) / work, [&](int64_t begin, int64_t end, int worker) {
      Place at;
      for (int64_t row = begin; row < end; ++row) {
        int64_t left = row % lines;
        for (size_t i = outer; i-- > 0; left /= w.places[i]) {
          const int64_t place = left % w.places[i];
          at.taps[i] = taps(i, place);
          at.corner[i] = place * w.stride[i] - w.begin[i];
        }
        each(row / lines * image, at, row * length, worker);
      }
    });
  }

  /// Call each(offset) for the input rows of the taps, in row-major order.
  template <typename Each>
  void input_rows(int64_t x, const Place& place, Each each) const {
    const ops::PoolWindow& w = op_.window;
    const size_t outer = w.axes() - 1;
    std::array<int64_t, kMaxRank> at;
    for (size_t i = 0; i < outer; ++i) {
      if (place.taps[i].first >= place.taps[i].last) return;
      at[i] = place.taps[i].first;
    }
    while (true) {
      int64_t row = 0;
      for (size_t i = 0; i < outer; ++i) row = row * w.size[i] + place.corner[i] + at[i] * w.dilation[i];
      each(x + row * w.size[outer]);
      size_t i = outer;
      while (i > 0 && ++at[i - 1] == place.taps[i - 1].last) {
        at[i - 1] = place.taps[i - 1].first;
        --i;
      }
      if (i == 0) return;
    }
  }

  /// The scratch of a worker: pointers to rows, the buffer, and an output row before it is finished.
  template <typename T>
  struct Scratch {
    const void** rows;
    T *buffer, *made;
  };
  template <typename T>
  Scratch<T> scratch(const Context& c, int worker) const {
    uint8_t* at = c.worker_scratch(worker);
    auto* buffer = reinterpret_cast<T*>(at + pointers_);
    return {reinterpret_cast<const void**>(at), buffer, buffer + width_};
  }

  /// Both steps. outer(rows, count, n, to) joins input rows, inner(rows, count, n, step, to) columns of the buffer, which has
  /// `start` as padding; finish(made, y, place) writes an output row.
  template <typename T, typename Sum, typename Outer, typename Inner, typename Finish>
  void pool(const Context& c, Sum start, Outer outer, Inner inner, Finish finish) const {
    const ops::PoolWindow& w = op_.window;
    const size_t last = w.axes() - 1;
    const int64_t n = w.places[last], size = w.size[last], left = w.begin[last];
    rows(c, [&](int64_t x, const Place& place, int64_t y, int worker) {
      const Scratch<Sum> s = scratch<Sum>(c, worker);
      auto** input = reinterpret_cast<const T**>(s.rows);
      int64_t count = 0;
      input_rows(x, place, [&](int64_t from) { input[count++] = c.in[0]->as<T>() + from; });
      std::fill(s.buffer, s.buffer + left, start);
      std::fill(s.buffer + left + size, s.buffer + width_, start);
      outer(input, count, size, s.buffer + left);
      auto** columns = reinterpret_cast<const Sum**>(s.rows);
      for (int64_t k = 0; k < w.kernel[last]; ++k) columns[k] = s.buffer + k * w.dilation[last];
      inner(columns, w.kernel[last], n, w.stride[last], s.made);
      finish(s.made, c.out[0]->as<T>() + y, place);
    });
  }

  template <typename T>
  void largest(const Context& c) const {
    const int64_t n = op_.window.places.back();
    const auto join = [&](const T* const* rows, int64_t count, int64_t length, int64_t step, T* to) {
      if constexpr (std::is_floating_point_v<T>)
        c.kernels->float32->join_maxima(rows, count, length, step, to);
      else
        join_rows(rows, count, length, step, lowest<T>(), Greater(), to);
    };
    pool<T>(
        c, lowest<T>(), [&](const T* const* rows, int64_t count, int64_t size, T* to) { join(rows, count, size, 1, to); }, join,
        [=](const T* made, T* y, const Place&) {
          for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(made[i] + T{0});  // a zero is +0
        });
  }

  void means(const Context& c) const {
    const int64_t n = op_.window.places.back();
    pool<float>(
        c, 0.0,
        [&](const float* const* rows, int64_t count, int64_t size, double* to) {
          c.kernels->float32->join_sums(rows, count, size, to);
        },
        [&](const double* const* rows, int64_t count, int64_t length, int64_t step, double* to) {
          c.kernels->float32->join_double_sums(rows, count, length, step, to);
        },
        [=, this](const double* made, float* y, const Place& place) {
          double count = 1;
          for (size_t i = 0; i + 1 < op_.window.axes(); ++i) count *= static_cast<double>(place.taps[i].counted);
          const double* each = counts_.data();
          for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(made[i] / std::max(count * each[i], 1.0));
        });
  }

  void norms(const Context& c) const {
    const int64_t n = op_.window.places.back(), p = op_.p;
    pool<float>(
        c, 0.0,
        [=](const float* const* rows, int64_t count, int64_t size, double* to) {
          std::fill(to, to + size, 0.0);
          for (int64_t r = 0; r < count; ++r)
            for (int64_t i = 0; i < size; ++i) to[i] = to[i] + power(rows[r][i], p);
        },
        [&](const double* const* rows, int64_t count, int64_t length, int64_t step, double* to) {
          c.kernels->float32->join_double_sums(rows, count, length, step, to);
        },
        [=](const double* made, float* y, const Place&) {
          for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(root(made[i], p));
        });
  }

  void with_indices(const Context& c) const {
    switch (c.in[0]->type) {
      case DType::F32:
        return with_indices<float>(c);
      case DType::I8:
        return with_indices<int8_t>(c);
      default:
        return with_indices<uint8_t>(c);
    }
  }

  template <typename T>
  void with_indices(const Context& c) const {
    const ops::PoolWindow& w = op_.window;
    const size_t last = w.axes() - 1;
    const T* values = c.in[0]->as<T>();
    rows(c, [&](int64_t x, const Place& place, int64_t y, int) {
      for (int64_t i = 0; i < w.places[last]; ++i) {
        const Taps columns = taps(last, i);
        const int64_t left = i * w.stride[last] - w.begin[last];
        T best = lowest<T>();
        int64_t found = -1;
        input_rows(x, place, [&](int64_t row) {
          for (int64_t k = columns.first; k < columns.last; ++k) {
            const int64_t at = row + left + k * w.dilation[last];
            const T v = values[at];
            if (found >= 0 && !(v > best) && !(v != v && best == best)) continue;
            best = v;
            found = at;
          }
        });
        c.out[0]->as<T>()[y + i] = static_cast<T>(best + T{0});
        c.out[1]->as<int64_t>()[y + i] = op_.first_axis_fastest && found >= 0 ? turned(x, found - x) : found;
      }
    });
  }

  /// The number of element `at` of the image that begins at `image` where the first spatial axis counts fastest.
  int64_t turned(int64_t image, int64_t at) const {
    const auto& size = op_.window.size;
    int64_t made = 0;
    for (size_t i = size.size(); i-- > 0;) {
      int64_t factor = 1;
      for (size_t j = 0; j < i; ++j) factor *= size[j];
      made += at % size[i] * factor;
      at /= size[i];
    }
    return image + made;
  }

  const ops::WindowPool& op_;
  int64_t width_ = 0;           // of the buffer
  int64_t pointers_ = 0;        // bytes of them
  std::vector<double> counts_;  // of the last axis, for each place
};

class MaxUnpoolKernel : public CpuKernel {
 public:
  MaxUnpoolKernel(const ops::MaxUnpool& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const int64_t n = elements(op_.counted);
    float* y = c.out[0]->as<float>();
    std::fill(y, y + c.out[0]->size(), 0.0f);
    for (int64_t i = 0; i < c.in[0]->size(); ++i) {
      const int64_t at = c.in[1]->as<int64_t>()[i];
      if (at < 0 || at >= n) op_.fail("index " + std::to_string(at) + " is beyond the " + std::to_string(n) + " of the output");
      y[op_.counted == c.out[0]->shape ? at : place(at, c.out[0]->shape)] = c.in[0]->as<float>()[i];
    }
  }

 private:
  /// Element `at` of what indices count, in the output.
  int64_t place(int64_t at, const Shape& shape) const {
    int64_t made = 0, step = 1;
    for (size_t d = shape.size(); d-- > 0;) {
      made += at % op_.counted[d] * step;
      at /= op_.counted[d];
      step *= shape[d];
    }
    return made;
  }

  const ops::MaxUnpool& op_;
};

class MaxRoiPoolKernel : public CpuKernel {
 public:
  MaxRoiPoolKernel(const ops::MaxRoiPool& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Shape& shape = c.in[0]->shape;
    const int64_t regions = c.out[0]->shape[0], channels = shape[1], size = op_.height * op_.width;
    for (int64_t r = 0; r < regions; ++r) {
      const float image = c.in[1]->as<float>()[r * 5];
      if (!(image >= 0 && image < static_cast<float>(shape[0]))) op_.fail("a region is of an image that is not there");
    }
    c.pool->parallel(regions * channels, std::max<int64_t>(1, 1024 / size), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) one(c, c.in[1]->as<float>() + i / channels * 5, i % channels, i * size);
    });
  }

 private:
  struct Bins {
    int64_t start, size;
    float step;
    /// The places of bin i.
    std::pair<int64_t, int64_t> operator()(int64_t i) const {
      const auto at = [&](float edge) { return std::clamp<int64_t>(static_cast<int64_t>(edge) + start, 0, size); };
      return {at(std::floor(static_cast<float>(i) * step)), at(std::ceil(static_cast<float>(i + 1) * step))};
    }
  };
  Bins bins(float start, float end, int64_t pooled, int64_t size) const {
    const auto place = [&](float v) {
      constexpr float kFar = 1e9f;
      float t = v * op_.scale;
      t = t > -kFar ? t : -kFar;  // NaN too
      return static_cast<int64_t>(std::round(t < kFar ? t : kFar));
    };
    const int64_t first = place(start), length = std::max<int64_t>(place(end) - first + 1, 1);
    return {first, size, static_cast<float>(length) / static_cast<float>(pooled)};
  }
  void one(const Context& c, const float* roi, int64_t channel, int64_t y) const {
    const Shape& shape = c.in[0]->shape;
    const int64_t height = shape[2], width = shape[3];
    const float* x = c.in[0]->as<float>() + (static_cast<int64_t>(roi[0]) * shape[1] + channel) * height * width;
    const Bins rows = bins(roi[2], roi[4], op_.height, height), columns = bins(roi[1], roi[3], op_.width, width);
    for (int64_t i = 0; i < op_.height; ++i)
      for (int64_t j = 0; j < op_.width; ++j) {
        const auto [top, bottom] = rows(i);
        const auto [left, right] = columns(j);
        const bool empty = top >= bottom || left >= right;
        float best = empty ? 0.0f : lowest<float>();
        for (int64_t h = top; h < bottom; ++h)
          for (int64_t w = left; w < right; ++w) best = Greater()(best, x[h * width + w]);
        c.out[0]->as<float>()[y + i * op_.width + j] = best + 0.0f;
      }
  }

  const ops::MaxRoiPool& op_;
};

}  // namespace

void add_pool_float32_kernels(KernelTable& table) {
  for (const char* kind : {"ai.onnx.MaxPool", "ai.onnx.AveragePool", "LpPool"})
    table.emplace_back(kind, make<WindowPoolKernel, ops::WindowPool>);
  table.emplace_back("MaxUnpool", make<MaxUnpoolKernel, ops::MaxUnpool>);
  table.emplace_back("MaxRoiPool", make<MaxRoiPoolKernel, ops::MaxRoiPool>);
}

}  // namespace qgraph::cpu
