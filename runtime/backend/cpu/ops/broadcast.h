// Operands that broadcast to one shape, walked in step.
#pragma once

#include <array>
#include <initializer_list>
#include <vector>

#include "ops/op.h"
#include "ops/shape.h"

namespace qgraph::cpu {

/// Elements that are worth handing to another thread.
constexpr int64_t kElementGrain = 1 << 14;

/// A walk over the elements of a shape and over operands that broadcast to it, in runs that are as long as they can be: axes
/// along which all operands go on evenly are one.
class Broadcast {
 public:
  static constexpr size_t kMost = 3;
  using Offsets = std::array<int64_t, kMost>;

  void plan(const Shape& full, std::initializer_list<const Shape*> operands) {
    axes_.clear();
    size_ = elements(full);
    std::vector<std::vector<int64_t>> strides;
    for (const Shape* shape : operands) {
      const Shape padded = padded_shape(*shape, full.size());
      strides.push_back(strides_of(padded));
      for (size_t d = 0; d < full.size(); ++d)
        if (padded[d] == 1) strides.back()[d] = 0;
    }
    for (size_t d = full.size(); d-- > 0;) {
      if (full[d] == 1) continue;
      Axis axis{full[d], {}};
      for (size_t k = 0; k < strides.size(); ++k) axis.steps[k] = strides[k][d];
      bool even = !axes_.empty();
      for (size_t k = 0; even && k < kMost; ++k) even = axis.steps[k] == axes_.back().steps[k] * axes_.back().length;
      if (even)
        axes_.back().length *= axis.length;
      else
        axes_.push_back(axis);
    }
    if (axes_.empty()) axes_.push_back({1, {}});
  }

  /// From one element of a run to the next of operand k: 0 or 1.
  int64_t step(size_t k) const { return axes_[0].steps[k]; }

  /// Call f(at, n, offsets) for the runs of [begin, end): n elements from `at` on, and from the operands' `offsets` on.
  template <typename F>
  void walk(int64_t begin, int64_t end, F&& f) const {
    if (size_ == 0) return;
    std::array<int64_t, kMaxRank> index{};
    Offsets offsets{};
    int64_t rest = begin;
    for (size_t d = 0; d < axes_.size(); ++d) {
      index[d] = rest % axes_[d].length;
      rest /= axes_[d].length;
      for (size_t k = 0; k < kMost; ++k) offsets[k] += index[d] * axes_[d].steps[k];
    }
    for (int64_t at = begin; at < end;) {
      const int64_t n = std::min(axes_[0].length - index[0], end - at);
      f(at, n, offsets);
      at += n;
      index[0] += n;
      for (size_t k = 0; k < kMost; ++k) offsets[k] += n * axes_[0].steps[k];
      for (size_t d = 0; d + 1 < axes_.size() && index[d] == axes_[d].length; ++d) {
        index[d] = 0;
        ++index[d + 1];
        for (size_t k = 0; k < kMost; ++k) offsets[k] += axes_[d + 1].steps[k] - axes_[d].length * axes_[d].steps[k];
      }
    }
  }

 private:
  struct Axis {
    int64_t length;
    Offsets steps;  // of the operands
  };
  std::vector<Axis> axes_;  // the last first
  int64_t size_ = 0;
};

}  // namespace qgraph::cpu
