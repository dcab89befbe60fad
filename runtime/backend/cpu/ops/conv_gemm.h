// A Conv as a product: each output pixel is a row, whose columns are the bytes under the kernel. `Patches` says where they are.
#pragma once

#include <algorithm>
#include <utility>

#include "backend/cpu/ops/conv.h"
#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/weights.h"

namespace qgraph::cpu {

/// `Patches` is made of the op and has
///   line()      bytes of the weights of one line of the kernel, padded with zeros
///   depth()     bytes of a row
///   prepare()   is called when shapes have changed
///   bytes()     of scratch for kTileRows rows
///   rows(...)   rows of a group of channels from a pixel on; `known` says that the scratch has these pixels' patches
template <typename Patches>
class GemmConvKernel : public CpuKernel {
 public:
  GemmConvKernel(const ops::Conv& op, const OpSource& s, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(conv_epilogue(op)), patches_(op), n_(op.outputs / op.groups) {
    set_residual(epilogue_, op.residual);
    epilogue_.bounded = is_bounded(epilogue_, op.outputs);
    pack(unpack_codes(read_codes(s, 1)), workspace.kernels);
    std::vector<int32_t> sums;  // without the padding of each group
    for (const PackedWeights& part : parts_) sums.insert(sums.end(), part.column_sums, part.column_sums + n_);
    folded_bias_ = fold_zero_point(epilogue_, sums.data(), op.outputs, op.x_zero);
    tile_in_scratch_.resize(static_cast<size_t>(workspace.pool.size()));
  }

  bool reads(size_t input) const override { return input != 1; }
  size_t prepare(const Values&) override {
    patches_.prepare();
    return static_cast<size_t>(patches_.bytes() + kAccumulators + 64);
  }

  void compute(const Context& c) override {
    const int64_t total = op_.batch * op_.pixels;
    if (total == 0) return;
    const auto [rows, chunks] = split(c, total);
    const int64_t tiles = (total + rows - 1) / rows, width = round_up((n_ + chunks - 1) / chunks, kTileColumns);
    // neighbouring tasks share their weights where these are many, else their pixels
    const int64_t parts = op_.groups * chunks;
    std::fill(tile_in_scratch_.begin(), tile_in_scratch_.end(), -1);
    c.pool->parallel(tiles * parts, 1, [&, rows = rows, chunks = chunks](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t part = chunks > 1 ? i / tiles : i % parts, row = (chunks > 1 ? i % tiles : i / parts) * rows;
        const int64_t column = part % chunks * width, patches = part / chunks * tiles + row / rows;
        const bool known = std::exchange(tile_in_scratch_[static_cast<size_t>(worker)], patches) == patches;
        tile(c, row, std::min(rows, total - row), part / chunks, column, std::min(n_, column + width), known, worker);
      }
    });
  }

 private:
  static constexpr int64_t kAccumulators = kTileRows * kTileColumns * 4;  // bytes

  struct Split {
    int64_t rows, chunks;  // pixels of a tile, and parts of its output channels
  };
  // Tiles of even size; where they are few for so many threads, the output channels are split too. A thread gets one part of the
  // channels, where they are even, since the kernels fetch the weights ahead that follow in memory.
  Split split(const Context& c, int64_t total) const {
    const int64_t threads = c.pool->size(), step = c.kernels->row_step, most = kTileRows / step * step;
    const int64_t even = (total + most - 1) / most, rows = round_up((total + even - 1) / even, step);
    const int64_t tasks = (total + rows - 1) / rows * op_.groups, columns = (n_ + kTileColumns - 1) / kTileColumns;
    if (threads == 1 || tasks >= 4 * threads) return {rows, 1};
    const int64_t wanted = tasks == 1 && columns % threads == 0 ? threads : (4 * threads + tasks - 1) / tasks;
    return {rows, std::min(wanted, columns)};
  }

  void pack(std::vector<int8_t> codes, const Kernels& kernels) {
    const int64_t per_line = op_.window.kernel[1] * op_.inputs / op_.groups, padded_line = patches_.line();
    const int64_t lines = op_.outputs * op_.window.kernel[0], depth = op_.window.kernel[0] * padded_line;
    const size_t part = static_cast<size_t>(packed_bytes(n_, depth)), sums = static_cast<size_t>(round_up(n_, kPanel));
    packed_.resize(part * static_cast<size_t>(op_.groups));
    sums_.resize(sums * static_cast<size_t>(op_.groups));
    if (padded_line > per_line) {
      std::vector<int8_t> padded(static_cast<size_t>(lines * padded_line));
      for (int64_t i = 0; i < lines; ++i) std::copy_n(codes.begin() + i * per_line, per_line, padded.begin() + i * padded_line);
      codes.swap(padded);
    }
    for (int64_t g = 0; g < op_.groups; ++g) {
      int8_t* data = packed_.data() + static_cast<size_t>(g) * part;
      int32_t* sum = sums_.data() + static_cast<size_t>(g) * sums;
      kernels.pack(reinterpret_cast<const uint8_t*>(codes.data()) + g * n_ * depth, n_, depth, depth, 1, false, data, sum);
      parts_.push_back({data, sum, n_, patches_.depth()});  // padded with zeros, whatever follows a patch
    }
  }

  void tile(const Context& c, int64_t pixel, int64_t rows, int64_t group, int64_t begin, int64_t end, bool known,
            int worker) const {
    auto* acc = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
    const Rows a = patches_.rows(c.in[0]->as<uint8_t>(), pixel, rows, group, c.worker_scratch(worker) + kAccumulators, known);
    const int64_t channel = group * n_ + begin, at = pixel * op_.outputs + channel;
    const void* residual = residual_at(epilogue_, op_.residual.given ? c.in[4]->data : nullptr, at);
    uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(at) * byte_size(epilogue_.type);
    product(*c.kernels, a, rows, parts_[static_cast<size_t>(group)], begin, end - begin, part_of(epilogue_, 0, channel), y,
            op_.outputs, residual, acc);
  }

  const ops::Conv& op_;
  Epilogue epilogue_;
  Patches patches_;
  int64_t n_;  // output channels of a group
  AlignedBytes packed_;
  std::vector<int32_t> sums_, folded_bias_;
  std::vector<PackedWeights> parts_;      // one a group
  std::vector<int64_t> tile_in_scratch_;  // whose patches each worker has
};

/// Copies patches: [ky][kx][channel of the group].
class PatchCopier {
 public:
  static constexpr int64_t kBeyond = 32;  // bytes that the copy of a short line may write too many

  explicit PatchCopier(const ops::Conv& op) : op_(op), per_(op.inputs / op.groups), line_(op.window.kernel[1] * per_) {}

  /// Bytes of a line.
  int64_t line() const { return line_; }
  /// One patch to `row`, its lines `apart`, of an input that ends at `end`. Where they are neighbours it may write up to kBeyond
  /// bytes after it.
  void copy(const PixelWalk& at, int64_t group, uint8_t* row, const uint8_t* end, int64_t apart) const;

 private:
  template <int kBytes>
  void short_lines(uint8_t* row, const uint8_t* from, int64_t step) const;

  const ops::Conv& op_;
  int64_t per_, line_;
};

}  // namespace qgraph::cpu
