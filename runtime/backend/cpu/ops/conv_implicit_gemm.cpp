#include "backend/cpu/ops/conv_gemm.h"

namespace qgraph::cpu {
namespace {

// Patches are read where they lie, if they are all on the input; the others are copied.
class PatchesInPlace {
 public:
  explicit PatchesInPlace(const ops::Conv& op) : op_(op), copier_(op), line_(round_up(copier_.line(), kDepth)) {}
  int64_t line() const { return line_; }
  int64_t depth() const { return op_.window.kernel[0] * line_; }

  // Lines of an image that is narrower than the kernel overlap in place: all its patches are copied.
  void prepare() {
    step_ = op_.window.kernel[0] == 1 ? kTileRows * line_ : op_.window.dilation[0] * op_.size[1] * op_.inputs;
    in_place_ = step_ >= line_;
  }

  // Copies have their lines as far apart as those in place, so that the lines of several take turns.
  int64_t bytes() const {
    const int64_t pointers = kTileRows * static_cast<int64_t>(sizeof(void*));
    return copies_bytes() + pointers;
  }

  Rows rows(const uint8_t* x, int64_t pixel, int64_t rows, int64_t group, uint8_t* copies, bool known) const {
    PixelWalk walk(op_, x, pixel);
    const uint8_t* end = x + op_.batch * op_.size[0] * op_.size[1] * op_.inputs;
    if (!in_place_) {
      for (int64_t r = 0; r < rows && !known; ++r, walk.next()) copier_.copy(walk, group, copies + r * depth(), end, line_);
      return {copies, depth()};
    }
    auto** at = reinterpret_cast<const uint8_t**>(copies + copies_bytes());
    const int64_t length = (op_.window.kernel[0] - 1) * step_ + line_;  // from a patch's first byte to its last
    for (int64_t r = 0, room = step_; r < rows && !known; ++r, walk.next()) {
      if (walk.inside()) {
        at[r] = walk.at();
        if (end - at[r] >= length) continue;
      }
      if (room < line_) {
        copies += op_.window.kernel[0] * step_;
        room = step_;
      }
      uint8_t* copy = copies + step_ - room;
      copier_.copy(walk, 0, copy, end, step_);
      at[r] = copy;
      room -= line_;
    }
    return {nullptr, 0, at, line_, step_};
  }

 private:
  int64_t copies_bytes() const {
    if (!in_place_) return round_up(kTileRows * depth() + PatchCopier::kBeyond, 64);
    const int64_t together = step_ / line_;
    return round_up((kTileRows + together - 1) / together * op_.window.kernel[0] * step_, 64);
  }

  const ops::Conv& op_;
  PatchCopier copier_;
  int64_t line_, step_ = 0;  // bytes that are read of a line, and from one to the next
  bool in_place_ = false;
};

bool supports(const ops::Conv& op, const Kernels& kernels) {
  const ops::Window& w = op.window;
  if (!kernels.strided_rows || op.groups != 1 || (w.kernel[1] != 1 && w.dilation[1] != 1)) return false;
  if (w.taps() == 1 && w.stride[0] == 1 && w.stride[1] == 1) return false;
  Epilogue e = conv_epilogue(op);
  set_residual(e, op.residual);
  e.bounded = is_bounded(e, op.outputs);
  return can_fuse(PackedWeights{}, e, op.residual.given);
}

}  // namespace

const ConvMethod kImplicitGemmConv{supports, make<GemmConvKernel<PatchesInPlace>, ops::Conv>};

}  // namespace qgraph::cpu
