#include <algorithm>

#include "backend/cpu/ops/conv.h"
#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/weights.h"

namespace qgraph::cpu {
namespace {

class TransposedConvKernel : public CpuKernel {
 public:
  TransposedConvKernel(const ops::ConvTranspose& op, const OpSource& s, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(conv_epilogue(op)), codes_(unpack_codes(read_codes(s, 1))) {}

  bool reads(size_t input) const override { return input != 1; }
  size_t prepare(const Values&) override { return static_cast<size_t>(round_up(op_.out_size[1] * op_.outputs * 4, 64)); }

  void compute(const Context& c) override {
    if (op_.pixels == 0) return;
    c.pool->parallel(op_.batch * op_.out_size[0], 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) line(c, i / op_.out_size[0], i % op_.out_size[0], worker);
    });
  }

 private:
  // One line of output pixels: the input lines that reach it, tap by tap.
  void line(const Context& c, int64_t image, int64_t oy, int worker) const {
    const ops::Window& w = op_.window;
    auto* acc = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
    const int64_t per = op_.inputs / op_.groups, n = op_.outputs / op_.groups, taps = w.taps();
    std::fill(acc, acc + op_.out_size[1] * op_.outputs, 0);
    for (int64_t ky = 0; ky < w.kernel[0]; ++ky) {
      const int64_t from = oy + w.begin[0] - ky * w.dilation[0];
      if (from < 0 || from % w.stride[0] != 0 || from / w.stride[0] >= op_.size[0]) continue;
      const uint8_t* row = c.in[0]->as<uint8_t>() + (image * op_.size[0] + from / w.stride[0]) * op_.size[1] * op_.inputs;
      for (int64_t ix = 0; ix < op_.size[1]; ++ix)
        for (int64_t kx = 0; kx < w.kernel[1]; ++kx) {
          const int64_t ox = ix * w.stride[1] - w.begin[1] + kx * w.dilation[1];
          if (ox < 0 || ox >= op_.out_size[1]) continue;
          for (int64_t i = 0; i < op_.inputs; ++i) {
            const int32_t x = row[ix * op_.inputs + i] - op_.x_zero;
            const int8_t* codes = codes_.data() + (i * taps + ky * w.kernel[1] + kx) * n;
            int32_t* to = acc + ox * op_.outputs + i / per * n;
            for (int64_t o = 0; o < n; ++o) to[o] += x * codes[o];
          }
        }
    }
    const int64_t pixel = (image * op_.out_size[0] + oy) * op_.out_size[1];
    uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(pixel * op_.outputs) * byte_size(epilogue_.type);
    c.kernels->finish(epilogue_, acc, op_.outputs, op_.out_size[1], op_.outputs, y, op_.outputs, nullptr);
  }

  const ops::ConvTranspose& op_;
  Epilogue epilogue_;
  std::vector<int8_t> codes_;
};

}  // namespace

std::unique_ptr<Kernel> make_transposed_conv(const Op& op, const OpSource& source, const Workspace& workspace) {
  return make<TransposedConvKernel, ops::ConvTranspose>(op, source, workspace);
}

}  // namespace qgraph::cpu
