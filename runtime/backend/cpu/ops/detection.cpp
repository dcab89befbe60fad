// RoiAlign and NonMaxSuppression.
#include "ops/detection.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/ordered.h"

namespace qgraph::cpu {
namespace {

/// A point of a bin along one axis: the elements around it and their weights.
struct Point {
  bool inside;
  int64_t low, high;
  float low_weight, high_weight;
};

class RoiAlignKernel : public CpuKernel {
 public:
  RoiAlignKernel(const ops::RoiAlign& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor &x = *c.in[0], &rois = *c.in[1];
    const int64_t regions = rois.shape[0], channels = x.shape[1], height = x.shape[2], width = x.shape[3];
    const int64_t* batches = c.in[2]->as<int64_t>();
    for (int64_t r = 0; r < regions; ++r) {
      if (batches[r] < 0 || batches[r] >= x.shape[0])
        op_.fail("a region is of batch " + std::to_string(batches[r]) + ", which is not there");
      for (int axis = 0; axis < 2; ++axis)
        if (!(bin(rois.as<float>() + r * 4, axis).size <= static_cast<float>(1 << 20)))
          op_.fail("a region is too large");  // nor NaN
    }
    constexpr int64_t kChannels = 16;  // that a thread takes at a time
    const int64_t parts = (channels + kChannels - 1) / kChannels, cells = op_.bins[0] * op_.bins[1];
    c.pool->parallel(regions * parts, 1, [&](int64_t begin, int64_t end, int) {
      std::vector<Point> rows, columns;
      for (int64_t task = begin; task < end; ++task) {
        const int64_t r = task / parts, first = task % parts * kChannels;
        points(rois.as<float>() + r * 4, 0, height, rows);
        points(rois.as<float>() + r * 4, 1, width, columns);
        for (int64_t ch = first; ch < std::min(channels, first + kChannels); ++ch)
          pool(x.as<float>() + (batches[r] * channels + ch) * height * width, width, rows, columns,
               c.out[0]->as<float>() + (r * channels + ch) * cells);
      }
    });
  }

 private:
  struct Bin {
    float first, size;
    int64_t points;
  };

  Bin bin(const float* roi, int axis) const {
    const float offset = op_.half_pixel ? 0.5f : 0.0f;
    const float first = roi[1 - axis] * op_.spatial_scale - offset, last = roi[3 - axis] * op_.spatial_scale - offset;
    float extent = last - first;
    if (!op_.half_pixel) extent = std::max(extent, 1.0f);
    const float size = extent / static_cast<float>(op_.bins[axis]);
    const int64_t points = op_.sampling_ratio > 0 ? op_.sampling_ratio
                           : size > 0             ? static_cast<int64_t>(std::ceil(std::min(size, 1e7f)))
                                                  : 0;
    return {first, size, points};
  }

  /// The points of all bins along an axis.
  void points(const float* roi, int axis, int64_t n, std::vector<Point>& found) const {
    const Bin b = bin(roi, axis);
    found.clear();
    for (int64_t p = 0; p < op_.bins[axis]; ++p)
      for (int64_t i = 0; i < b.points; ++i) {
        float s =
            (b.first + static_cast<float>(p) * b.size) + (static_cast<float>(i) + 0.5f) * b.size / static_cast<float>(b.points);
        if (!(s >= -1 && s <= static_cast<float>(n))) {
          found.push_back({false, 0, 0, 0, 0});
          continue;
        }
        s = std::max(s, 0.0f);
        int64_t low = static_cast<int64_t>(s), high = low + 1;
        if (low >= n - 1) {
          low = high = n - 1;
          s = static_cast<float>(low);
        }
        const float f = s - static_cast<float>(low);
        found.push_back({true, low, high, 1 - f, f});
      }
  }

  void pool(const float* x, int64_t width, const std::vector<Point>& rows, const std::vector<Point>& columns, float* y) const {
    const auto height = static_cast<size_t>(op_.bins[0]), length = static_cast<size_t>(op_.bins[1]);
    const size_t down = rows.size() / height, across = columns.size() / length;
    for (size_t p = 0; p < height; ++p)
      for (size_t q = 0; q < length; ++q, ++y) {
        float sum = 0;
        for (size_t i = 0; i < down; ++i)
          for (size_t j = 0; j < across; ++j) {
            const Point &u = rows[p * down + i], &v = columns[q * across + j];
            float corners[4] = {};
            if (u.inside && v.inside) {
              const float *top = x + u.low * width, *bottom = x + u.high * width;
              corners[0] = top[v.low] * (u.low_weight * v.low_weight);
              corners[1] = top[v.high] * (u.low_weight * v.high_weight);
              corners[2] = bottom[v.low] * (u.high_weight * v.low_weight);
              corners[3] = bottom[v.high] * (u.high_weight * v.high_weight);
            }
            if (!op_.largest) {
              sum = sum + (((corners[0] + corners[1]) + corners[2]) + corners[3]);
              continue;
            }
            if (i == 0 && j == 0) sum = corners[0];
            for (float corner : corners) sum = sum > corner ? sum : corner;
          }
        *y = op_.largest ? sum : sum / static_cast<float>(std::max<size_t>(1, down * across));
      }
  }

  const ops::RoiAlign& op_;
};

struct Box {
  float low[2], high[2], area;
};

/// The overlap of two boxes as a part of what they cover; -1 where there is none.
float overlap(const Box& a, const Box& b) {
  const float height = std::min(a.high[0], b.high[0]) - std::max(a.low[0], b.low[0]);
  const float width = std::min(a.high[1], b.high[1]) - std::max(a.low[1], b.low[1]);
  const float both = height * width, covered = (a.area + b.area) - both;
  if (!(height > 0 && width > 0 && both > 0 && a.area > 0 && b.area > 0 && covered > 0)) return -1;
  return both / covered;
}

class NonMaxSuppressionKernel : public CpuKernel {
 public:
  NonMaxSuppressionKernel(const ops::NonMaxSuppression& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor &boxes = *c.in[0], &scores = *c.in[1];
    const int64_t n = boxes.shape[1], classes = scores.shape[1];
    const int64_t most = c.given(2) ? *c.in[2]->as<int64_t>() : 0;
    const float limit = c.given(3) ? *c.in[3]->as<float>() : 0;
    if (!(limit >= 0 && limit <= 1)) op_.fail("iou_threshold is not between 0 and 1");
    std::vector<Box> all(static_cast<size_t>(boxes.shape[0] * n));
    for (size_t i = 0; i < all.size(); ++i) all[i] = box(boxes.as<float>() + i * 4);
    std::vector<std::vector<int64_t>> kept(static_cast<size_t>(boxes.shape[0] * classes));
    c.pool->parallel(static_cast<int64_t>(kept.size()), 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        kept[static_cast<size_t>(i)] = choose(all.data() + i / classes * n, scores.as<float>() + i * n, n, most, limit,
                                              c.given(4) ? c.in[4]->as<float>() : nullptr);
    });
    int64_t found = 0;
    for (const auto& rows : kept) found += static_cast<int64_t>(rows.size());
    auto* y = c.place(0, {found, 3}).as<int64_t>();
    for (size_t i = 0; i < kept.size(); ++i)
      for (int64_t chosen : kept[i]) {
        *y++ = static_cast<int64_t>(i) / classes;
        *y++ = static_cast<int64_t>(i) % classes;
        *y++ = chosen;
      }
  }

 private:
  Box box(const float* x) const {
    Box b;
    for (int axis = 0; axis < 2; ++axis) {
      const float u = x[axis], v = x[axis + 2];
      b.low[axis] = op_.centred ? u - v / 2 : std::min(u, v);
      b.high[axis] = op_.centred ? u + v / 2 : std::max(u, v);
    }
    b.area = (b.high[0] - b.low[0]) * (b.high[1] - b.low[1]);
    return b;
  }

  static std::vector<int64_t> choose(const Box* boxes, const float* scores, int64_t n, int64_t most, float limit,
                                     const float* least) {
    std::vector<std::pair<int64_t, int64_t>> order;  // best first
    for (int64_t i = 0; i < n; ++i)
      if (least == nullptr || scores[i] > *least)
        order.emplace_back(std::isnan(scores[i]) ? -ordered(-INFINITY) : -ordered(scores[i]), i);
    std::sort(order.begin(), order.end());
    std::vector<int64_t> kept;
    for (const auto& [score, i] : order) {
      if (static_cast<int64_t>(kept.size()) >= most) break;
      if (std::none_of(kept.begin(), kept.end(), [&, at = i](int64_t j) { return overlap(boxes[at], boxes[j]) > limit; }))
        kept.push_back(i);
    }
    return kept;
  }

  const ops::NonMaxSuppression& op_;
};

}  // namespace

void add_detection_kernels(KernelTable& table) {
  table.emplace_back("RoiAlign", make<RoiAlignKernel, ops::RoiAlign>);
  table.emplace_back("NonMaxSuppression", make<NonMaxSuppressionKernel, ops::NonMaxSuppression>);
}

}  // namespace qgraph::cpu
