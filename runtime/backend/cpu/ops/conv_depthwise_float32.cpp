// Convolutions of one channel a group: the lines of a channel are copied with their pads, for a stride the places that go with
// each of its remainders side by side, so that every tap of a line of outputs is a line of the copy.
#include <algorithm>

#include "backend/cpu/ops/conv_float32.h"

namespace qgraph::cpu {
namespace {

class FloatDepthwiseKernel : public CpuKernel {
 public:
  FloatDepthwiseKernel(const ops::FloatConv& op, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values&) override {
    const int64_t reach = (op_.out_size[2] - 1) * op_.stride[2] + op_.dilation[2] * (op_.kernel[2] - 1) + 1;
    part_ = round_up((reach + op_.stride[2] - 1) / op_.stride[2], 16);
    line_ = part_ * op_.stride[2];
    lines_ = op_.size[0] * op_.size[1];
    return static_cast<size_t>(((lines_ + 1) * line_) * 4 + op_.taps * 8 + 64);
  }

  void compute(const Context& c) override {
    if (op_.pixels == 0) return;
    const bool small = op_.batch * op_.outputs * op_.pixels * op_.taps <= (1 << 15);
    const int64_t n = op_.batch * op_.groups;
    c.pool->parallel(n, small ? n : 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) channel(c, i / op_.groups, i % op_.groups, c.worker_scratch(worker));
    });
  }

 private:
  /// Line `lines_` of the copy is all zeros.
  void copy(const float* x, float* to) const {
    std::fill(to, to + (lines_ + 1) * line_, 0.0f);
    const int64_t begin = op_.begin[2], stride = op_.stride[2], width = op_.size[2];
    for (int64_t line = 0; line < lines_; ++line, x += width, to += line_) {
      if (stride == 1) {
        const int64_t first = std::max<int64_t>(0, -begin), last = std::min(width, part_ - begin);
        if (first < last) std::copy(x + first, x + last, to + begin + first);
        continue;
      }
      for (int64_t phase = 0; phase < stride; ++phase) {
        // the places i with i + begin = phase + j * stride
        const int64_t j0 = begin <= phase ? 0 : (begin - phase + stride - 1) / stride;
        float* part = to + phase * part_;
        for (int64_t j = j0, i = phase + j0 * stride - begin; j < part_ && i < width; ++j, i += stride) part[j] = x[i];
      }
    }
  }

  void channel(const Context& c, int64_t image, int64_t group, uint8_t* scratch) const {
    auto* copied = reinterpret_cast<float*>(scratch);
    auto** taps = reinterpret_cast<const float**>(scratch + ((lines_ + 1) * line_) * 4);
    copy(c.in[0]->as<float>() + (image * op_.inputs + group) * lines_ * op_.size[2], copied);
    const int64_t per = op_.outputs / op_.groups;
    for (int64_t z = 0; z < op_.out_size[0]; ++z)
      for (int64_t y = 0; y < op_.out_size[1]; ++y) {
        find_taps(copied, z, y, taps);
        for (int64_t o = group * per; o < (group + 1) * per; ++o) {
          const int64_t at = (image * op_.outputs + o) * op_.pixels + (z * op_.out_size[1] + y) * op_.out_size[2];
          FloatEpilogue e;
          if (op_.has_bias) e.row_bias = c.in[2]->as<float>() + o;
          if (op_.has_residual) e.residual = c.in[3]->as<float>() + at;
          e.clamped = op_.clamp.given;
          e.low = op_.clamp.low;
          e.high = op_.clamp.high;
          c.kernels->depthwise_f32(taps, c.in[1]->as<float>() + o * op_.taps, op_.taps, op_.out_size[2], e,
                                   c.out[0]->as<float>() + at);
        }
      }
  }

  void find_taps(const float* copied, int64_t z, int64_t y, const float** taps) const {
    for (int64_t kz = 0; kz < op_.kernel[0]; ++kz)
      for (int64_t ky = 0; ky < op_.kernel[1]; ++ky) {
        const int64_t iz = z * op_.stride[0] + kz * op_.dilation[0] - op_.begin[0],
                      iy = y * op_.stride[1] + ky * op_.dilation[1] - op_.begin[1];
        const bool inside = iz >= 0 && iz < op_.size[0] && iy >= 0 && iy < op_.size[1];
        const float* line = copied + (inside ? iz * op_.size[1] + iy : lines_) * line_;
        for (int64_t kx = 0; kx < op_.kernel[2]; ++kx) {
          const int64_t place = kx * op_.dilation[2];
          *taps++ = line + place % op_.stride[2] * part_ + place / op_.stride[2];
        }
      }
  }

  const ops::FloatConv& op_;
  int64_t part_ = 0, line_ = 0, lines_ = 0;  // floats of a remainder's part of a line, of a line, lines of a channel
};

}  // namespace

std::unique_ptr<Kernel> make_float_depthwise(const ops::FloatConv& op, const OpSource&, const Workspace& workspace) {
  return std::make_unique<FloatDepthwiseKernel>(op, workspace);
}

}  // namespace qgraph::cpu
