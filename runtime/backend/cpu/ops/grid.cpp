// GridSample and AffineGrid.
#include "ops/grid.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

using dialect::GridPadding;
using dialect::Interpolation;

/// The elements along one axis that a point takes: where they lie, -1 outside, and their weights.
template <int kTaps>
struct AxisTaps {
  int64_t offset[kTaps];
  float weight[kTaps];
};

float cubic(float d) {
  if (d <= 1) return (1.25f * d - 2.25f) * d * d + 1;
  return ((-0.75f * d + 3.75f) * d - 6) * d + 3;
}

class GridSampleKernel : public CpuKernel {
 public:
  GridSampleKernel(const ops::GridSample& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const bool deep = c.in[0]->rank() == 5;
    switch (op_.mode) {
      case Interpolation::Nearest:
        return deep ? sample<3, 1>(c) : sample<2, 1>(c);
      case Interpolation::Linear:
        return deep ? sample<3, 2>(c) : sample<2, 2>(c);
      case Interpolation::Cubic:
        return sample<2, 4>(c);
    }
  }

 private:
  template <int kAxes, int kTaps>
  void sample(const Context& c) const {
    const Tensor &x = *c.in[0], &grid = *c.in[1];
    const int64_t channels = x.shape[1], batches = x.shape[0];
    if (c.out[0]->size() == 0) return;
    const int64_t points = grid.size() / kAxes / batches, plane = x.size() / batches / channels;
    constexpr int64_t kBlock = 64;  // points whose taps are shared by all channels
    const int64_t blocks = (points + kBlock - 1) / kBlock;
    c.pool->parallel(
        batches * blocks, std::max<int64_t>(1, (1 << 9) / (kBlock * channels)), [&](int64_t begin, int64_t end, int) {
          AxisTaps<kTaps> taps[kBlock][kAxes];
          for (int64_t task = begin; task < end; ++task) {
            const int64_t n = task / blocks, first = task % blocks * kBlock, count = std::min(kBlock, points - first);
            for (int64_t p = 0; p < count; ++p) {
              const float* g = grid.as<float>() + (n * points + first + p) * kAxes;
              int64_t stride = plane;
              for (int axis = 0; axis < kAxes; ++axis) {
                const int64_t size = x.shape[static_cast<size_t>(2 + axis)];
                stride /= size;
                taps[p][axis] = axis_taps<kTaps>(g[kAxes - 1 - axis], size, stride);
              }
            }
            for (int64_t ch = 0; ch < channels; ++ch) {
              const float* from = x.as<float>() + (n * channels + ch) * plane;
              float* to = c.out[0]->as<float>() + (n * channels + ch) * points + first;
              for (int64_t p = 0; p < count; ++p) to[p] = value<kAxes, kTaps>(from, taps[p], 0);
            }
          }
        });
  }

  /// The sum over the first of `axes`, of sums over the others; an element outside is 0.
  template <int kAxes, int kTaps>
  static float value(const float* x, const AxisTaps<kTaps>* axes, int64_t at) {
    if constexpr (kAxes == 0) {
      return at < 0 ? 0.0f : x[at];
    } else {
      const auto part = [&](int t) {
        const int64_t offset = axes->offset[t];
        return value<kAxes - 1, kTaps>(x, axes + 1, offset < 0 || at < 0 ? -1 : at + offset);
      };
      if constexpr (kTaps == 1) return part(0);
      float sum = part(0) * axes->weight[0];
      for (int t = 1; t < kTaps; ++t) sum = sum + part(t) * axes->weight[t];
      return sum;
    }
  }

  template <int kTaps>
  AxisTaps<kTaps> axis_taps(float g, int64_t n, int64_t stride) const {
    const auto length = static_cast<float>(n);
    float s = op_.align_corners ? (g + 1) / 2 * (length - 1) : ((g + 1) * length - 1) / 2;
    constexpr float kFar = 1 << 30;
    s = std::isnan(s) ? -kFar : std::min(std::max(s, -kFar), kFar);
    if (kTaps == 1) s = std::nearbyint(s);
    if (kTaps != 4 && op_.padding == GridPadding::Border) s = std::min(std::max(s, 0.0f), length - 1);
    if (kTaps != 4 && op_.padding == GridPadding::Reflection) s = reflected(s, length);
    const float low = kTaps == 1 ? std::trunc(s) : std::floor(s), f = s - low;
    AxisTaps<kTaps> taps{};
    for (int t = 0; t < kTaps; ++t) {
      const int64_t at = place(static_cast<int64_t>(low) + t - (kTaps == 4 ? 1 : 0), n);
      taps.offset[t] = at < 0 ? -1 : at * stride;
    }
    if constexpr (kTaps == 2) {
      taps.weight[0] = 1 - f;
      taps.weight[1] = f;
    } else if constexpr (kTaps == 4) {
      taps.weight[0] = cubic(f + 1);
      taps.weight[1] = cubic(f);
      taps.weight[2] = cubic(1 - f);
      taps.weight[3] = cubic(2 - f);
    }
    return taps;
  }

  /// The element that stands for index i, -1 where none does.
  int64_t place(int64_t i, int64_t n) const {
    if (op_.padding == GridPadding::Reflection) i = static_cast<int64_t>(reflected(static_cast<float>(i), static_cast<float>(n)));
    if (op_.padding != GridPadding::Zeros) return std::min(std::max<int64_t>(i, 0), n - 1);
    return i < n ? std::max<int64_t>(i, -1) : -1;
  }

  float reflected(float s, float n) const {
    const float first = op_.align_corners ? 0.0f : -0.5f, last = op_.align_corners ? n - 1 : n - 0.5f;
    if (s >= first && s <= last) return s;
    if (first == last) return first;
    const bool below = s < first;
    const float length = last - first, d = below ? first - s : s - last;
    const auto q = static_cast<int64_t>(d / length);
    const float e = d - static_cast<float>(q) * length;
    return below == (q % 2 == 0) ? first + e : last - e;
  }

  const ops::GridSample& op_;
};

class AffineGridKernel : public CpuKernel {
 public:
  AffineGridKernel(const ops::AffineGrid& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Shape& shape = c.out[0]->shape;
    const int64_t axes = shape.back();
    if (c.out[0]->size() == 0) return;
    const int64_t points = c.out[0]->size() / axes, each = points / shape[0];
    c.pool->parallel(points, 1 << 11, [&](int64_t begin, int64_t end, int) {
      for (int64_t p = begin; p < end; ++p) {
        float at[3] = {};  // the last axis first
        for (int64_t i = 0, rest = p % each; i < axes; ++i) {
          const int64_t n = shape[static_cast<size_t>(axes - i)];
          at[i] = place(rest % n, n);
          rest /= n;
        }
        for (int64_t j = 0; j < axes; ++j) {
          const float* row = c.in[0]->as<float>() + (p / each * axes + j) * (axes + 1);
          float sum = row[0] * at[0];
          for (int64_t i = 1; i < axes; ++i) sum = sum + row[i] * at[i];
          c.out[0]->as<float>()[p * axes + j] = sum + row[axes];
        }
      }
    });
  }

 private:
  float place(int64_t i, int64_t n) const {
    const auto x = static_cast<float>(i), length = static_cast<float>(n);
    if (op_.align_corners) return n == 1 ? 1.0f : 2 * x / (length - 1) - 1;
    return (2 * x + 1) / length - 1;
  }

  const ops::AffineGrid& op_;
};

}  // namespace

void add_grid_kernels(KernelTable& table) {
  table.emplace_back("GridSample", make<GridSampleKernel, ops::GridSample>);
  table.emplace_back("AffineGrid", make<AffineGridKernel, ops::AffineGrid>);
}

}  // namespace qgraph::cpu
