// The ways to compute a float32 convolution on the CPU.
#pragma once

#include <algorithm>
#include <memory>

#include "backend/cpu/ops/float_patches.h"
#include "backend/cpu/ops/kernel.h"
#include "support/memory.h"

namespace qgraph::cpu {

std::unique_ptr<Kernel> make_float_depthwise(const ops::FloatConv& op, const OpSource& source, const Workspace& workspace);
std::unique_ptr<Kernel> make_deform_conv(const Op& op, const OpSource& source, const Workspace& workspace);
std::unique_ptr<Kernel> make_float_transposed(const Op& op, const OpSource& source, const Workspace& workspace);

/// How much of the depth of a product of so many input channels and taps is gathered at a time, in channels.
int64_t channels_of_part(int64_t inputs, int64_t taps);

/// Weights of a convolution as the left operand of its product, in the order in which they are read: [group][part of k]
/// [rows_f32 output channels][k][channel], filled up with zeros. Element (o, k) of a group is what `at(group, o, k)` gives.
class FloatFilters {
 public:
  /// The weights [groups * rows, depth] of a Conv.
  void pack(const float* w, const ops::FloatConvBase& op, const Workspace& workspace);
  template <typename F>
  void pack(int64_t groups, int64_t rows, int64_t depth, int64_t part, int64_t step, F&& at) {
    rows_ = rows;
    depth_ = depth;
    part_ = part;
    step_ = step;
    auto* to = reinterpret_cast<float*>(memory_.resize(static_cast<size_t>(groups * group_floats()) * sizeof(float)));
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t from = 0; from < depth; from += part)
        for (int64_t first = 0; first < rows; first += step)
          for (int64_t k = from; k < std::min(depth, from + part); ++k)
            for (int64_t r = first; r < first + step; ++r) *to++ = r < rows ? at(g, r, k) : 0.0f;
  }
  bool given() const { return memory_.data() != nullptr; }
  /// From row `row`, a multiple of the step, on, of the part that begins at k.
  FloatRows rows(int64_t group, int64_t row, int64_t k) const {
    const int64_t at = group * group_floats() + round_up(rows_, step_) * k + row * std::min(part_, depth_ - k);
    return {reinterpret_cast<const float*>(memory_.data()) + at, 1, step_};
  }

 private:
  int64_t group_floats() const { return round_up(rows_, step_) * depth_; }

  AlignedBytes memory_;
  int64_t rows_ = 0, depth_ = 0, part_ = 1, step_ = 1;
};

/// A convolution as the product of filters and patches, cut into tasks.
class FloatConvProduct {
 public:
  /// For `batch` images of groups of `inputs` to `outputs` channels each.
  /// A task has up to `most_rows` output channels.
  void prepare(PatchGrid grid, int64_t batch, int64_t groups, int64_t inputs, int64_t outputs, int64_t most_rows,
               const Workspace& workspace);

  /// Depth of the product.
  int64_t depth() const { return inputs_ * patches_.taps(); }
  int64_t places() const { return places_; }
  int64_t tasks() const { return batch_ * groups_ * tiles_ * chunks_; }
  /// Whether it is not worth another thread.
  bool small() const { return batch_ * groups_ * places_ * outputs_ * depth() <= (1 << 16); }
  /// Bytes of scratch.
  int64_t bytes() const { return tile_ * depth_of_part() * static_cast<int64_t>(sizeof(float)); }
  /// The most places and output channels of a task.
  int64_t tile() const { return tile_; }
  int64_t chunk() const { return chunk_; }

  struct Task {
    int64_t image, group, place, places, row, rows;
  };
  Task task(int64_t i) const;
  /// Row `task.row` of the group's outputs and place `task.place` are at y, its rows `y_row` apart; x is the whole input, e
  /// begins at y.
  void compute(const Kernels& kernels, const Task& task, const FloatFilters& filters, const float* x, const FloatEpilogue& e,
               float* y, int64_t y_row, float* scratch) const;
  /// The same with patches that gather(first channel of the group, channels, panels, floats from one to the next) makes.
  template <typename F>
  void compute_with(F&& gather, const Kernels& kernels, const Task& task, const FloatFilters& filters, const FloatEpilogue& e,
                    float* y, int64_t y_row, float* scratch) const {
    const int64_t taps = patches_.taps();
    for (int64_t from = 0; from == 0 || from < inputs_; from += part_channels_) {
      const int64_t channels = std::min(part_channels_, inputs_ - from), depth = channels * taps;
      gather(from, channels, scratch, panel_floats(depth));
      const bool last = from + channels >= inputs_;
      for (int64_t r = 0; r < task.rows; r += rows_at_a_time_) {
        const FloatEpilogue own = part_of(e, r, 0);
        kernels.gemm_f32(filters.rows(task.group, task.row + r, from * taps), std::min(rows_at_a_time_, task.rows - r),
                         {scratch, panel_floats(depth)}, task.places, depth, from == 0, last ? &own : nullptr, y + r * y_row,
                         y_row);
      }
    }
  }

 private:
  int64_t depth_of_part() const { return part_channels_ * patches_.taps(); }

  FloatPatches patches_{PatchGrid{}};
  int64_t batch_ = 0, groups_ = 1, inputs_ = 0, outputs_ = 0, places_ = 0;
  int64_t part_channels_ = 1;                                                   // of the depth, at a time
  int64_t tile_ = 1, tiles_ = 0, chunk_ = 1, chunks_ = 0, rows_at_a_time_ = 1;  // places and output channels of a task
};

}  // namespace qgraph::cpu
