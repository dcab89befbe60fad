// ConvTranspose of float32. The outputs whose places have the same remainders by the strides see the same taps, each at a fixed
// distance: they are a convolution of stride 1, whose outputs lie strides apart.
#include <algorithm>
#include <vector>

#include "backend/cpu/ops/conv_float32.h"

namespace qgraph::cpu {
namespace {

/// Quotient rounded down, and up.
int64_t down(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
int64_t up(int64_t a, int64_t b) { return -down(-a, b); }

class FloatTransposedKernel : public CpuKernel {
 public:
  FloatTransposedKernel(const ops::FloatConvTranspose& op, const OpSource& s, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {
    const TensorInfo& w = s.input(1);
    constant_ = w.data != nullptr && elements(w.shape) > 0;
    if (constant_) pack(reinterpret_cast<const float*>(w.data));
  }

  bool reads(size_t input) const override { return input != 1 || !constant_; }

  size_t prepare(const Values&) override {
    if (!constant_) find_parts();
    int64_t bytes = 0;
    in_place_ = op_.stride == ops::Space{1, 1, 1};
    for (Part& part : parts_) {
      PatchGrid grid{op_.size, {}, {1, 1, 1}, {}};
      ops::Space from{};
      for (size_t axis = 0; axis < 3; ++axis) {  // places are remainder - begin + j * stride, from the first j on
        const int64_t shift = part.remainder[axis] - op_.begin[axis], stride = op_.stride[axis];
        from[axis] = up(-shift, stride);
        part.first[axis] = shift + from[axis] * stride;
        grid.out[axis] = std::max<int64_t>(0, up(op_.out_size[axis] - part.first[axis], stride));
      }
      for (const ops::Space& k : part.taps) {
        ops::Space at{};
        for (size_t axis = 0; axis < 3; ++axis)
          at[axis] = (part.remainder[axis] - k[axis] * op_.dilation[axis]) / op_.stride[axis] + from[axis];
        grid.taps.push_back(at);
      }
      part.out = grid.out;
      part.product.prepare(std::move(grid), op_.batch, op_.groups, op_.inputs / op_.groups, op_.outputs / op_.groups,
                           in_place_ ? std::max<int64_t>(1, op_.outputs) : kRows, workspace_);
      const int64_t made = in_place_ ? 0 : part.product.tile() * part.product.chunk() * 4;
      bytes = std::max(bytes, round_up(part.product.bytes(), 64) + made);
    }
    return static_cast<size_t>(bytes);
  }

  void compute(const Context& c) override {
    if (op_.pixels == 0 || op_.batch == 0) return;
    if (!constant_) pack(c.in[1]->as<float>());
    for (const Part& part : parts_) {
      const FloatConvProduct& product = part.product;
      c.pool->parallel(product.tasks(), product.small() ? product.tasks() : 1, [&](int64_t begin, int64_t end, int worker) {
        for (int64_t i = begin; i < end; ++i) task(c, part, product.task(i), c.worker_scratch(worker));
      });
    }
  }

 private:
  static constexpr int64_t kRows = 64;  // of a task whose outputs are spread afterwards

  struct Part {
    ops::Space remainder{}, first{}, out{};  // by the strides, of a place with the pad before it; the first place; places
    std::vector<ops::Space> taps;
    FloatFilters filters;
    FloatConvProduct product;
  };

  void find_parts() {
    const ops::Space &s = op_.stride, &d = op_.dilation, &n = op_.kernel;
    parts_ = std::vector<Part>(static_cast<size_t>(s[0] * s[1] * s[2]));
    for (size_t i = 0; i < parts_.size(); ++i) {
      const auto r = static_cast<int64_t>(i);
      parts_[i].remainder = {r / s[2] / s[1], r / s[2] % s[1], r % s[2]};
    }
    for (int64_t z = 0; z < n[0]; ++z)
      for (int64_t y = 0; y < n[1]; ++y)
        for (int64_t x = 0; x < n[2]; ++x)
          parts_[static_cast<size_t>((z * d[0] % s[0] * s[1] + y * d[1] % s[1]) * s[2] + x * d[2] % s[2])].taps.push_back(
              {z, y, x});
  }

  void pack(const float* w) {
    if (constant_ || parts_.empty()) find_parts();
    const int64_t per = op_.inputs / op_.groups, rows = op_.outputs / op_.groups;
    for (Part& part : parts_) {
      const auto taps = static_cast<int64_t>(part.taps.size());
      part.filters.pack(op_.groups, rows, per * taps, channels_of_part(per, taps) * taps, workspace_.kernels.rows_f32,
                        [&](int64_t g, int64_t o, int64_t k) {
                          const ops::Space& tap = part.taps[static_cast<size_t>(k % taps)];
                          const int64_t place = (tap[0] * op_.kernel[1] + tap[1]) * op_.kernel[2] + tap[2];
                          return w[((g * per + k / taps) * rows + o) * op_.taps + place];
                        });
    }
  }

  void task(const Context& c, const Part& part, const FloatConvProduct::Task& t, uint8_t* scratch) const {
    const int64_t channel = t.group * (op_.outputs / op_.groups) + t.row;
    float* y = c.out[0]->as<float>() + (t.image * op_.outputs + channel) * op_.pixels;
    FloatEpilogue e;
    if (op_.has_bias) e.row_bias = c.in[2]->as<float>() + channel;
    auto* patches = reinterpret_cast<float*>(scratch);
    auto* made = reinterpret_cast<float*>(scratch + round_up(part.product.bytes(), 64));
    const float* x = c.in[0]->as<float>();
    if (in_place_) return part.product.compute(*c.kernels, t, part.filters, x, e, y + t.place, op_.pixels, patches);
    part.product.compute(*c.kernels, t, part.filters, x, e, made, t.places, patches);
    for (int64_t r = 0; r < t.rows; ++r, y += op_.pixels) spread(part, t, made + r * t.places, y);
  }

  void spread(const Part& part, const FloatConvProduct::Task& t, const float* made, float* y) const {
    const int64_t width = part.out[2], lines = part.out[1], stride = op_.stride[2];
    for (int64_t place = t.place; place < t.place + t.places;) {
      const int64_t px = place % width, py = place / width % lines, pz = place / width / lines;
      const int64_t count = std::min(width - px, t.place + t.places - place);
      float* to =
          y + ((part.first[0] + pz * op_.stride[0]) * op_.out_size[1] + part.first[1] + py * op_.stride[1]) * op_.out_size[2] +
          part.first[2] + px * stride;
      for (int64_t i = 0; i < count; ++i) to[i * stride] = *made++;
      place += count;
    }
  }

  const ops::FloatConvTranspose& op_;
  std::vector<Part> parts_;  // one for all remainders along the axes
  bool constant_ = false, in_place_ = false;
};

}  // namespace

std::unique_ptr<Kernel> make_float_transposed(const Op& op, const OpSource& source, const Workspace& workspace) {
  return make<FloatTransposedKernel, ops::FloatConvTranspose>(op, source, workspace);
}

}  // namespace qgraph::cpu
