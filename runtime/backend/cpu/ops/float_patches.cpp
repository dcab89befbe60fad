#include "backend/cpu/ops/float_patches.h"

#include <algorithm>

namespace qgraph::cpu {

FloatPatches::FloatPatches(PatchGrid grid) : grid_(std::move(grid)) {
  const ops::Space none{0, 0, 0}, one{1, 1, 1};
  if (grid_.taps.size() != 1 || grid_.taps[0] != none || grid_.stride != one || grid_.out != grid_.size) return;
  grid_.out = grid_.size = {1, 1, grid_.places()};  // the pixels as they lie are one line
}

int64_t FloatPatches::pieces(int64_t place, int64_t count, Piece* to) const {
  const int64_t width = grid_.out[2], lines = grid_.out[1];
  Piece at{0, 0, place / width / lines, place / width % lines, place % width};
  int64_t made = 0;
  for (; count > 0; ++made) {
    at.count = static_cast<int32_t>(std::min(count, width - at.x));
    to[made] = at;
    count -= at.count;
    at.lane += at.count;
    at.x = 0;
    if (++at.y == lines) {
      at.y = 0;
      ++at.z;
    }
  }
  return made;
}

int64_t FloatPatches::segments(const Piece* pieces, int64_t count, const ops::Space& tap, PanelSegment* to) const {
  const ops::Space& stride = grid_.stride;
  int64_t made = 0;
  for (const Piece* p = pieces; p != pieces + count; ++p) {
    const int64_t z = p->z * stride[0] + tap[0], y = p->y * stride[1] + tap[1], x = p->x * stride[2] + tap[2];
    if (z < 0 || z >= grid_.size[0] || y < 0 || y >= grid_.size[1]) continue;
    const int64_t before = x >= 0 ? 0 : (-x + stride[2] - 1) / stride[2],  // places left of the line
        inside = x >= grid_.size[2] ? 0 : (grid_.size[2] - x + stride[2] - 1) / stride[2];
    const int64_t first = std::min<int64_t>(before, p->count), last = std::min<int64_t>(inside, p->count);
    if (first >= last) continue;
    const PanelSegment one{static_cast<int32_t>(p->lane + first), static_cast<int32_t>(last - first),
                           (z * grid_.size[1] + y) * grid_.size[2] + x + first * stride[2]};
    PanelSegment* before_it = made == 0 ? nullptr : to + made - 1;
    if (before_it != nullptr && before_it->lane + before_it->count == one.lane &&
        before_it->at + before_it->count * stride[2] == one.at)
      before_it->count += one.count;
    else
      to[made++] = one;
  }
  return made;
}

void FloatPatches::gather(const Kernels& kernels, const float* x, int64_t channels, int64_t place, int64_t columns, float* to,
                          int64_t panel) const {
  Piece pieces_of_panel[kPanel];
  PanelSegment segments_of_panel[kPanel];
  for (int64_t c = 0; c < columns; c += kPanel, to += panel) {
    const int64_t parts = pieces(place + c, std::min<int64_t>(kPanel, columns - c), pieces_of_panel);
    for (int64_t t = 0; t < taps(); ++t) {
      const int64_t count = segments(pieces_of_panel, parts, grid_.taps[static_cast<size_t>(t)], segments_of_panel);
      kernels.gather_f32(x, grid_.plane(), channels, segments_of_panel, count, grid_.stride[2], to + t * kPanel, taps() * kPanel);
    }
  }
}

}  // namespace qgraph::cpu
