// Conv of float32: filters times patches, or for one channel a group the sum of its taps.
#include "backend/cpu/ops/conv_float32.h"

#include <algorithm>

#include "backend/cpu/ops/float_panels.h"

namespace qgraph::cpu {

int64_t channels_of_part(int64_t inputs, int64_t taps) {
  constexpr int64_t kDepth = 256;
  return even_part(inputs, std::max<int64_t>(1, kDepth / std::max<int64_t>(1, taps)), 1);
}

void FloatConvProduct::prepare(PatchGrid grid, int64_t batch, int64_t groups, int64_t inputs, int64_t outputs, int64_t most_rows,
                               const Workspace& workspace) {
  constexpr int64_t kPanelsOfTile = 16, kFewPanels = 6, kFewRows = 32;
  patches_ = FloatPatches(std::move(grid));
  batch_ = batch;
  groups_ = groups;
  inputs_ = inputs;
  outputs_ = outputs;
  places_ = patches_.grid().places();
  rows_at_a_time_ = workspace.kernels.rows_f32;
  part_channels_ = channels_of_part(inputs, patches_.taps());
  const int64_t panels = round_up(places_, kPanel) / kPanel, unit = workspace.kernels.panels_f32;
  const int64_t threads = workspace.pool.size();
  int64_t wide = even_part(panels, kPanelsOfTile, unit);
  chunk_ = even_part(outputs, most_rows, rows_at_a_time_);
  auto set = [&] {
    tile_ = wide * kPanel;
    tiles_ = (places_ + tile_ - 1) / tile_;
    chunks_ = (outputs_ + chunk_ - 1) / chunk_;
  };
  for (set(); threads > 1 && !small() && tasks() < 4 * threads; set()) {
    if (wide > kFewPanels && wide > unit)
      wide = even_part(panels, wide / 2, unit);
    else if (chunk_ > kFewRows)
      chunk_ = even_part(outputs, chunk_ / 2, rows_at_a_time_);
    else
      break;
  }
}

FloatConvProduct::Task FloatConvProduct::task(int64_t i) const {
  const int64_t tile = i % tiles_, chunk = i / tiles_ % chunks_, group = i / tiles_ / chunks_ % groups_;
  return {i / tiles_ / chunks_ / groups_,          group,          tile * tile_,
          std::min(tile_, places_ - tile * tile_), chunk * chunk_, std::min(chunk_, outputs_ - chunk * chunk_)};
}

void FloatConvProduct::compute(const Kernels& kernels, const Task& task, const FloatFilters& filters, const float* x,
                               const FloatEpilogue& e, float* y, int64_t y_row, float* scratch) const {
  const int64_t plane = patches_.grid().plane();
  const float* image = x + (task.image * groups_ + task.group) * inputs_ * plane;
  compute_with(
      [&](int64_t from, int64_t channels, float* panels, int64_t panel) {
        patches_.gather(kernels, image + from * plane, channels, task.place, task.places, panels, panel);
      },
      kernels, task, filters, e, y, y_row, scratch);
}

void FloatFilters::pack(const float* w, const ops::FloatConvBase& op, const Workspace& workspace) {
  const int64_t rows = op.outputs / op.groups, inputs = op.inputs / op.groups, depth = inputs * op.taps;
  pack(op.groups, rows, depth, channels_of_part(inputs, op.taps) * op.taps, workspace.kernels.rows_f32,
       [&](int64_t g, int64_t o, int64_t k) { return w[(g * rows + o) * depth + k]; });
}

namespace {

class FloatConvKernel : public CpuKernel {
 public:
  FloatConvKernel(const ops::FloatConv& op, const OpSource& s, const Workspace& workspace) : CpuKernel(workspace), op_(op) {
    const TensorInfo& w = s.input(1);
    if (w.data != nullptr && elements(w.shape) > 0) filters_.pack(reinterpret_cast<const float*>(w.data), op, workspace);
    constant_ = filters_.given();
  }

  bool reads(size_t input) const override { return input != 1 || !constant_; }

  size_t prepare(const Values&) override {
    PatchGrid grid{op_.size, op_.out_size, op_.stride, {}};
    for (int64_t z = 0; z < op_.kernel[0]; ++z)
      for (int64_t y = 0; y < op_.kernel[1]; ++y)
        for (int64_t x = 0; x < op_.kernel[2]; ++x)
          grid.taps.push_back(
              {z * op_.dilation[0] - op_.begin[0], y * op_.dilation[1] - op_.begin[1], x * op_.dilation[2] - op_.begin[2]});
    product_.prepare(std::move(grid), op_.batch, op_.groups, op_.inputs / op_.groups, op_.outputs / op_.groups,
                     std::max<int64_t>(1, op_.outputs), workspace_);
    return static_cast<size_t>(product_.bytes());
  }

  void compute(const Context& c) override {
    if (product_.tasks() == 0) return;
    if (!constant_) filters_.pack(c.in[1]->as<float>(), op_, workspace_);
    c.pool->parallel(product_.tasks(), product_.small() ? product_.tasks() : 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) {
        const auto task = product_.task(i);
        const int64_t channel = task.group * (op_.outputs / op_.groups) + task.row,
                      at = (task.image * op_.outputs + channel) * op_.pixels + task.place;
        FloatEpilogue e;
        if (op_.has_bias) e.row_bias = c.in[2]->as<float>() + channel;
        if (op_.has_residual) {
          e.residual = c.in[3]->as<float>() + at;
          e.residual_row = op_.pixels;
        }
        e.clamped = op_.clamp.given;
        e.low = op_.clamp.low;
        e.high = op_.clamp.high;
        product_.compute(*c.kernels, task, filters_, c.in[0]->as<float>(), e, c.out[0]->as<float>() + at, op_.pixels,
                         reinterpret_cast<float*>(c.worker_scratch(worker)));
      }
    });
  }

 private:
  const ops::FloatConv& op_;
  FloatFilters filters_;
  FloatConvProduct product_;
  bool constant_ = false;
};

std::unique_ptr<Kernel> make_float_conv(const Op& op, const OpSource& source, const Workspace& workspace) {
  const auto& conv = static_cast<const ops::FloatConv&>(op);
  const Shape& w = source.input(1).shape;
  if (w.size() > 2 && w[1] == 1 && conv.groups > 1) return make_float_depthwise(conv, source, workspace);
  return std::make_unique<FloatConvKernel>(conv, source, workspace);
}

}  // namespace

void add_conv_float32_kernels(KernelTable& table) {
  table.emplace_back("ai.onnx.Conv", make_float_conv);
  table.emplace_back("FusedConv", make_float_conv);
  table.emplace_back("DeformConv", make_deform_conv);
  table.emplace_back("ai.onnx.ConvTranspose", make_float_transposed);
}

}  // namespace qgraph::cpu
