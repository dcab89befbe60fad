// DeformConv: filters times patches whose elements are read between the pixels, where the offsets say.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/ops/conv_float32.h"

namespace qgraph::cpu {
namespace {

/// Four pixels of a channel and what each counts; a pixel beyond the image counts as 0.
struct Sample {
  int64_t at[4] = {-1, -1, -1, -1};
  float weight[4] = {}, mask = 1;
  bool inside = false;

  float of(const float* x) const {
    float value = 0;
    if (inside) {
      value = weight[0] * pixel(x, 0);
      for (int i = 1; i < 4; ++i) value = value + weight[i] * pixel(x, i);
    }
    return value * mask;
  }

 private:
  float pixel(const float* x, int i) const { return at[i] < 0 ? 0 : x[at[i]]; }
};

class DeformConvKernel : public CpuKernel {
 public:
  DeformConvKernel(const ops::FloatDeformConv& op, const OpSource& s, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {
    const TensorInfo& w = s.input(1);
    if (w.data != nullptr && elements(w.shape) > 0) filters_.pack(reinterpret_cast<const float*>(w.data), op, workspace);
    constant_ = filters_.given();
  }

  bool reads(size_t input) const override { return input != 1 || !constant_; }

  size_t prepare(const Values&) override {
    PatchGrid grid{op_.size, op_.out_size, op_.stride, std::vector<ops::Space>(static_cast<size_t>(op_.taps))};
    product_.prepare(std::move(grid), op_.batch, op_.groups, op_.inputs / op_.groups, op_.outputs / op_.groups,
                     std::max<int64_t>(1, op_.outputs), workspace_);
    return static_cast<size_t>(product_.bytes());
  }

  void compute(const Context& c) override {
    if (product_.tasks() == 0) return;
    if (!constant_) filters_.pack(c.in[1]->as<float>(), op_, workspace_);
    c.pool->parallel(product_.tasks(), product_.small() ? product_.tasks() : 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) task(c, product_.task(i), reinterpret_cast<float*>(c.worker_scratch(worker)));
    });
  }

 private:
  void task(const Context& c, const FloatConvProduct::Task& task, float* scratch) const {
    const int64_t per = op_.inputs / op_.groups, channel = task.group * (op_.outputs / op_.groups) + task.row;
    FloatEpilogue e;
    if (op_.has_bias) e.row_bias = c.in[op_.bias]->as<float>() + channel;
    float* y = c.out[0]->as<float>() + (task.image * op_.outputs + channel) * op_.pixels + task.place;
    product_.compute_with([&](int64_t from, int64_t channels, float* panels,
                              int64_t panel) { gather(c, task, task.group * per + from, channels, panels, panel); },
                          *c.kernels, task, filters_, e, y, op_.pixels, scratch);
  }

  void gather(const Context& c, const FloatConvProduct::Task& task, int64_t channel, int64_t channels, float* panels,
              int64_t panel) const {
    const int64_t plane = op_.size[1] * op_.size[2], together = op_.inputs / op_.offset_groups;
    const float* x = c.in[0]->as<float>() + task.image * op_.inputs * plane;
    for (int64_t place = 0; place < round_up(task.places, kPanel); ++place) {
      float* to = panels + place / kPanel * panel + place % kPanel;
      for (int64_t t = 0; t < op_.taps; ++t)
        for (int64_t i = 0; i < channels;) {
          const int64_t group = (channel + i) / together, end = std::min(channels, (group + 1) * together - channel);
          const Sample sample = place < task.places ? find(c, task.image, group, t, task.place + place) : Sample{};
          for (; i < end; ++i)
            to[(i * op_.taps + t) * kPanel] = place < task.places ? sample.of(x + (channel + i) * plane) : 0.0f;
        }
    }
  }

  Sample find(const Context& c, int64_t image, int64_t group, int64_t tap, int64_t place) const {
    const int64_t moved = (image * op_.offset_groups + group) * op_.taps + tap, height = op_.size[1], width = op_.size[2];
    const float* offset = c.in[2]->as<float>() + moved * 2 * op_.pixels + place;
    const int64_t oy = place / op_.out_size[2], ox = place % op_.out_size[2];
    const int64_t ky = tap / op_.kernel[2], kx = tap % op_.kernel[2];
    const float y = static_cast<float>(oy * op_.stride[1] - op_.begin[1] + ky * op_.dilation[1]) + offset[0],
                x = static_cast<float>(ox * op_.stride[2] - op_.begin[2] + kx * op_.dilation[2]) + offset[op_.pixels];
    Sample made;
    if (op_.has_mask) made.mask = c.in[4]->as<float>()[moved * op_.pixels + place];
    made.inside = y > -1 && y < static_cast<float>(height) && x > -1 && x < static_cast<float>(width);
    if (!made.inside) return made;
    const float top = std::floor(y), left = std::floor(x), down = y - top, right = x - left, up = 1 - down, back = 1 - right;
    const float weights[4] = {up * back, up * right, down * back, down * right};
    for (int i = 0; i < 4; ++i) {
      const int64_t py = static_cast<int64_t>(top) + i / 2, px = static_cast<int64_t>(left) + i % 2;
      made.weight[i] = weights[i];
      if (py >= 0 && py < height && px >= 0 && px < width) made.at[i] = py * width + px;
    }
    return made;
  }

  const ops::FloatDeformConv& op_;
  FloatFilters filters_;
  FloatConvProduct product_;
  bool constant_ = false;
};

}  // namespace

std::unique_ptr<Kernel> make_deform_conv(const Op& op, const OpSource& source, const Workspace& workspace) {
  return make<DeformConvKernel, ops::FloatDeformConv>(op, source, workspace);
}

}  // namespace qgraph::cpu
