#include <cstring>

#include "backend/cpu/ops/conv_gemm.h"

namespace qgraph::cpu {

void PatchCopier::copy(const PixelWalk& at, int64_t group, uint8_t* row, const uint8_t* end, int64_t apart) const {
  const ops::Window& w = op_.window;
  const int64_t width = w.kernel[1], d = w.dilation[1], step = w.dilation[0] * op_.size[1] * op_.inputs;
  if (at.inside() && (width == 1 || (op_.groups == 1 && d == 1))) {
    const uint8_t* from = at.at() + group * per_;
    const bool room = apart == line_ && end - from >= (w.kernel[0] - 1) * step + kBeyond;
    if (line_ <= kBeyond / 2 && room) return short_lines<kBeyond / 2>(row, from, step);
    if (line_ <= kBeyond && room) return short_lines<kBeyond>(row, from, step);
    for (int64_t ky = 0; ky < w.kernel[0]; ++ky) std::memcpy(row + ky * apart, from + ky * step, static_cast<size_t>(line_));
    return;
  }
  // the taps of a line that lie on the input
  const int64_t room = op_.size[1] - 1 - at.x;
  const int64_t first = std::min(width, at.x >= 0 ? 0 : (-at.x + d - 1) / d);
  const int64_t last = room < 0 ? first : std::max(first, std::min(width, room / d + 1));
  for (int64_t ky = 0; ky < w.kernel[0]; ++ky, row += apart) {
    const int64_t y = at.y + ky * w.dilation[0];
    if (y < 0 || y >= op_.size[0]) {
      std::memset(row, op_.x_zero, static_cast<size_t>(line_));
      continue;
    }
    if (first > 0) std::memset(row, op_.x_zero, static_cast<size_t>(first * per_));
    if (last < width) std::memset(row + last * per_, op_.x_zero, static_cast<size_t>((width - last) * per_));
    const uint8_t* from = at.image + (y * op_.size[1] + at.x) * op_.inputs + group * per_;
    if (op_.groups == 1 && d == 1) {
      if (last > first) std::memcpy(row + first * per_, from + first * per_, static_cast<size_t>((last - first) * per_));
    } else {
      for (int64_t kx = first; kx < last; ++kx)
        std::memcpy(row + kx * per_, from + kx * d * op_.inputs, static_cast<size_t>(per_));
    }
  }
}

// The few bytes of a line with what follows them, which the next line overwrites.
template <int kBytes>
void PatchCopier::short_lines(uint8_t* row, const uint8_t* from, int64_t step) const {
  for (int64_t ky = 0; ky < op_.window.kernel[0]; ++ky, row += line_, from += step) std::memcpy(row, from, kBytes);
}

namespace {

// Patches one after another.
class CopiedPatches {
 public:
  explicit CopiedPatches(const ops::Conv& op)
      : op_(op), copier_(op), depth_(round_up(op.window.kernel[0] * copier_.line(), kDepth)) {}
  int64_t line() const { return copier_.line(); }
  int64_t depth() const { return depth_; }
  void prepare() {}
  int64_t bytes() const { return round_up(kTileRows * depth_ + PatchCopier::kBeyond, 64); }
  Rows rows(const uint8_t* x, int64_t pixel, int64_t rows, int64_t group, uint8_t* patches, bool known) const {
    PixelWalk walk(op_, x, pixel);
    const uint8_t* end = x + op_.batch * op_.size[0] * op_.size[1] * op_.inputs;
    for (int64_t r = 0; r < rows && !known; ++r, walk.next())
      copier_.copy(walk, group, patches + r * depth_, end, copier_.line());
    return {patches, depth_};
  }

 private:
  const ops::Conv& op_;
  PatchCopier copier_;
  int64_t depth_;
};

bool supports(const ops::Conv&, const Kernels&) { return true; }

}  // namespace

const ConvMethod kIm2colConv{supports, make<GemmConvKernel<CopiedPatches>, ops::Conv>};

}  // namespace qgraph::cpu
