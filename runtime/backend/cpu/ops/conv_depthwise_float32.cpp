// Convolutions of one channel a group. A channel is copied with its pads, the places that have the same remainders by the strides
// side by side; there every tap of neighbouring outputs is a line of neighbours, across the ends of lines too.
#include <algorithm>
#include <vector>

#include "backend/cpu/ops/conv_float32.h"

namespace qgraph::cpu {
namespace {

constexpr int64_t kNarrow = 64;     // outputs of a line that is not worth a call of its own
constexpr int64_t kTogether = 512;  // outputs of a call

class FloatDepthwiseKernel : public CpuKernel {
 public:
  FloatDepthwiseKernel(const ops::FloatConv& op, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values&) override {
    for (size_t axis = 0; axis < 3; ++axis) {
      const int64_t reach = (op_.out_size[axis] - 1) * op_.stride[axis] + op_.dilation[axis] * (op_.kernel[axis] - 1) + 1;
      length_[axis] = std::max<int64_t>(0, (reach + op_.stride[axis] - 1) / op_.stride[axis]);
    }
    plane_ = length_[1] * length_[2];
    depth_ = length_[0] * op_.stride[0];
    copied_ = depth_ * op_.stride[1] * op_.stride[2] * plane_ + kTapsBeyond;
    find_lines();
    // narrow lines are computed together, with what lies between them
    lines_ =
        op_.out_size[2] >= kNarrow || op_.has_residual ? 1 : std::max<int64_t>(1, kTogether / std::max<int64_t>(1, length_[2]));
    made_ = lines_ == 1 ? 0 : lines_ * length_[2];
    return static_cast<size_t>((copied_ + made_) * 4 + op_.taps * 8 + 64);
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
  /// Element of the copy, its place counted with the pads before it: [z][y remainder][x remainder][y][x].
  int64_t index(int64_t z, int64_t y, int64_t x) const {
    const int64_t part = (z * op_.stride[1] + y % op_.stride[1]) * op_.stride[2] + x % op_.stride[2];
    return part * plane_ + y / op_.stride[1] * length_[2] + x / op_.stride[2];
  }

  void find_lines() {
    lines_at_.clear();
    for (int64_t iz = 0; iz < op_.size[0]; ++iz)
      for (int64_t iy = 0; iy < op_.size[1]; ++iy) {
        const int64_t z = iz + op_.begin[0], y = iy + op_.begin[1];
        const bool used = z >= 0 && z < depth_ && y >= 0 && y / op_.stride[1] < length_[1];
        lines_at_.push_back(used ? index(z, y, 0) : -1);
      }
    taps_at_.clear();
    for (int64_t kz = 0; kz < op_.kernel[0]; ++kz)
      for (int64_t ky = 0; ky < op_.kernel[1]; ++ky)
        for (int64_t kx = 0; kx < op_.kernel[2]; ++kx)
          taps_at_.push_back(index(kz * op_.dilation[0], ky * op_.dilation[1], kx * op_.dilation[2]));
  }

  void copy(const float* x, float* to) const {
    std::fill(to, to + copied_, 0.0f);
    const int64_t begin = op_.begin[2], stride = op_.stride[2], width = op_.size[2];
    for (int64_t phase = 0; phase < stride; ++phase) {  // the places i with i + begin = phase + j * stride
      const int64_t j = begin <= phase ? 0 : (begin - phase + stride - 1) / stride, i = phase + j * stride - begin;
      const int64_t count = std::min(length_[2] - j, (width - i + stride - 1) / stride);
      if (i >= width || count <= 0) continue;
      for (size_t line = 0; line < lines_at_.size(); ++line)
        if (lines_at_[line] >= 0)
          strided(x + static_cast<int64_t>(line) * width + i, stride, count, to + lines_at_[line] + phase * plane_ + j);
    }
  }
  static void strided(const float* from, int64_t stride, int64_t count, float* to) {
    if (stride == 1) {
      std::copy_n(from, count, to);
    } else if (stride == 2) {
      for (int64_t j = 0; j < count; ++j) to[j] = from[j * 2];
    } else {
      for (int64_t j = 0; j < count; ++j) to[j] = from[j * stride];
    }
  }

  void channel(const Context& c, int64_t image, int64_t group, uint8_t* scratch) const {
    auto* copied = reinterpret_cast<float*>(scratch);
    float* made = copied + copied_;
    auto** taps = reinterpret_cast<const float**>(scratch + round_up((copied_ + made_) * 4, 8));
    copy(c.in[0]->as<float>() + (image * op_.inputs + group) * op_.size[0] * op_.size[1] * op_.size[2], copied);
    const int64_t per = op_.outputs / op_.groups, width = op_.out_size[2];
    for (int64_t z = 0; z < op_.out_size[0]; ++z)
      for (int64_t y = 0; y < op_.out_size[1]; y += lines_) {
        const float* first = copied + z * op_.stride[0] * op_.stride[1] * op_.stride[2] * plane_ + y * length_[2];
        for (size_t t = 0; t < taps_at_.size(); ++t) taps[t] = first + taps_at_[t];
        const int64_t lines = std::min(lines_, op_.out_size[1] - y);
        for (int64_t o = group * per; o < (group + 1) * per; ++o) {
          const int64_t at = (image * op_.outputs + o) * op_.pixels + (z * op_.out_size[1] + y) * width;
          float* out = c.out[0]->as<float>() + at;
          FloatEpilogue e;
          if (op_.has_bias) e.row_bias = c.in[2]->as<float>() + o;
          if (op_.has_residual) e.residual = c.in[3]->as<float>() + at;
          e.clamped = op_.clamp.given;
          e.low = op_.clamp.low;
          e.high = op_.clamp.high;
          c.kernels->depthwise_f32(taps, c.in[1]->as<float>() + o * op_.taps, op_.taps, (lines - 1) * length_[2] + width, e,
                                   lines_ == 1 ? out : made);
          if (lines_ > 1)
            for (int64_t i = 0; i < lines; ++i) std::copy_n(made + i * length_[2], width, out + i * width);
        }
      }
  }

  const ops::FloatConv& op_;
  ops::Space length_{};  // places that have the same remainder, along each axis
  int64_t depth_ = 0;    // places along the first axis
  int64_t plane_ = 0, copied_ = 0, lines_ = 1, made_ = 0;
  std::vector<int64_t> lines_at_, taps_at_;  // where the lines of x lie, or -1, and the taps of the first output
};

}  // namespace

std::unique_ptr<Kernel> make_float_depthwise(const ops::FloatConv& op, const OpSource&, const Workspace& workspace) {
  return std::make_unique<FloatDepthwiseKernel>(op, workspace);
}

}  // namespace qgraph::cpu
