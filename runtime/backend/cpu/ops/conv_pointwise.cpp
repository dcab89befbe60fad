#include "backend/cpu/ops/conv_gemm.h"

namespace qgraph::cpu {
namespace {

// Pixels are rows as they lie.
class Pixels {
 public:
  explicit Pixels(const ops::Conv& op) : op_(op), depth_(op.inputs / op.groups) {}
  int64_t line() const { return depth_; }
  int64_t depth() const { return depth_; }
  void prepare() {}
  int64_t bytes() const { return 0; }
  Rows rows(const uint8_t* x, int64_t pixel, int64_t, int64_t group, uint8_t*, bool) const {
    return {x + pixel * op_.inputs + group * depth_, op_.inputs};
  }

 private:
  const ops::Conv& op_;
  int64_t depth_;
};

bool supports(const ops::Conv& op, const Kernels&) {
  const ops::Window& w = op.window;
  for (int i = 0; i < 2; ++i)
    if (w.kernel[i] != 1 || w.stride[i] != 1 || w.begin[i] != 0 || w.end[i] != 0) return false;
  return true;
}

}  // namespace

const ConvMethod kPointwiseConv{supports, make<GemmConvKernel<Pixels>, ops::Conv>};

}  // namespace qgraph::cpu
