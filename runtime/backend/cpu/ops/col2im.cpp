// Col2Im: blocks are added where they lie, one tap of all after another.
#include "ops/col2im.h"

#include <algorithm>

#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

class Col2ImKernel : public CpuKernel {
 public:
  Col2ImKernel(const ops::Col2Im& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const int64_t channels = c.out[0]->shape[0] * c.out[0]->shape[1], pixels = elements(op_.size), places = elements(op_.places);
    c.pool->parallel(channels, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        float* y = c.out[0]->as<float>() + i * pixels;
        std::fill_n(y, pixels, 0.0f);
        for (int64_t t = 0; t < op_.taps; ++t) add(c.in[0]->as<float>() + (i * op_.taps + t) * places, t, places, y);
      }
    });
  }

 private:
  /// What all places have under one tap.
  void add(const float* x, int64_t tap, int64_t places, float* y) const {
    const size_t axes = op_.size.size();
    int64_t shift[8], at[8] = {};
    for (size_t i = axes; i-- > 0; tap /= op_.block[i]) shift[i] = tap % op_.block[i] * op_.dilation[i] - op_.begin[i];
    for (int64_t p = 0; p < places; ++p) {
      int64_t index = 0;
      bool inside = true;
      for (size_t i = 0; i < axes; ++i) {
        const int64_t place = at[i] * op_.stride[i] + shift[i];
        inside = inside && place >= 0 && place < op_.size[i];
        index = index * op_.size[i] + place;
      }
      if (inside) y[index] = y[index] + x[p];
      for (size_t i = axes; i-- > 0;) {
        if (++at[i] < op_.places[i]) break;
        at[i] = 0;
      }
    }
  }

  const ops::Col2Im& op_;
};

}  // namespace

void add_col2im_kernels(KernelTable& table) { table.emplace_back("Col2Im", make<Col2ImKernel, ops::Col2Im>); }

}  // namespace qgraph::cpu
