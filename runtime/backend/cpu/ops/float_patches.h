// The right operand of a float32 convolution: a row a channel and tap, a column an output place, gathered part by part from where
// the input lies.
#pragma once

#include <vector>

#include "backend/cpu/isa/kernels.h"
#include "ops/conv_float32.h"

namespace qgraph::cpu {

/// Output places on a grid, and for each tap the input place that belongs to place 0; further ones lie `stride` apart. What lies
/// beyond the input is 0.
struct PatchGrid {
  ops::Space size{1, 1, 1}, out{1, 1, 1}, stride{1, 1, 1};
  std::vector<ops::Space> taps;

  int64_t places() const { return out[0] * out[1] * out[2]; }
  int64_t plane() const { return size[0] * size[1] * size[2]; }
};

class FloatPatches {
 public:
  explicit FloatPatches(PatchGrid grid);

  const PatchGrid& grid() const { return grid_; }
  int64_t taps() const { return static_cast<int64_t>(grid_.taps.size()); }
  /// Rows [channel][tap] of `channels` channels, the first at x, for the places [place, place + columns), to panels `panel`
  /// floats apart.
  void gather(const Kernels& kernels, const float* x, int64_t channels, int64_t place, int64_t columns, float* to,
              int64_t panel) const;

 private:
  /// Neighbouring places of a line.
  struct Piece {
    int32_t lane, count;
    int64_t z, y, x;
  };
  int64_t pieces(int64_t place, int64_t count, Piece* to) const;
  int64_t segments(const Piece* pieces, int64_t count, const ops::Space& tap, PanelSegment* to) const;

  PatchGrid grid_;
};

}  // namespace qgraph::cpu
