// Resize of ONNX: copies of the nearest elements, or interpolation in float32 along one axis after another.
#include "ops/resize_float32.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/ops/copy.h"
#include "backend/cpu/ops/copy_by_table.h"
#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/resample.h"
#include "ops/shape.h"

namespace qgraph::cpu {
namespace {

using dialect::Interpolation;

/// The element to fill with where the image ends; of integers cut and saturated, int64 as int32.
uint64_t fill_element(float value, DType type) {
  uint64_t element = 0;
  const auto limited = [&](double low, double high) {
    return std::trunc(std::min(std::max(static_cast<double>(value), low), high));
  };
  const auto put = [&](auto v) { std::memcpy(&element, &v, sizeof(v)); };
  switch (type) {
    case DType::F32:
      put(value);
      break;
    case DType::I64:
      put(static_cast<int64_t>(limited(-2147483648.0, 2147483647.0)));
      break;
    case DType::I32:
      put(static_cast<int32_t>(limited(-2147483648.0, 2147483647.0)));
      break;
    case DType::I16:
      put(static_cast<int16_t>(limited(-32768, 32767)));
      break;
    case DType::I8:
      put(static_cast<int8_t>(limited(-128, 127)));
      break;
    case DType::Bool:
      put(static_cast<uint8_t>(value != 0));
      break;
    default:
      put(static_cast<uint8_t>(limited(0, 255)));
  }
  return element;
}

class OnnxResizeKernel : public CpuKernel {
 public:
  OnnxResizeKernel(const ops::OnnxResize& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values& v) override {
    const Shape &from = v.in[0]->shape, &to = v.out[0]->shape;
    empty_ = elements(to) == 0;
    beyond_.assign(to.size(), {});
    steps_.clear();
    if (empty_) return 0;
    for (const ops::ResizedAxis& a : op_.axes) beyond_[a.axis] = beyond(a);
    if (op_.mode == Interpolation::Nearest) {
      std::vector<std::vector<int64_t>> tables(to.size());
      for (const ops::ResizedAxis& a : op_.axes)
        for (int64_t o = 0; o < a.out_size; ++o)
          tables[a.axis].push_back(is_beyond(a.axis, o) ? -1 : a.nearest(op_.nearest, a.place(op_.coordinates, o)));
      nearest_.plan(from, to, std::move(tables));
      return 0;
    }
    return plan_steps(from);
  }

  void compute(const Context& c) override {
    if (empty_) return;
    const DType type = c.in[0]->type;
    const uint64_t fill = fill_element(op_.extrapolation_value, type);
    if (op_.mode == Interpolation::Nearest)
      return nearest_.run(*c.pool, c.in[0]->as<uint8_t>(), c.out[0]->as<uint8_t>(), byte_size(type), &fill);
    if (steps_.empty())
      return copy_rows(*c.pool, c.in[0]->as<uint8_t>(), 0, c.out[0]->as<uint8_t>(), 0, static_cast<int64_t>(bytes_of(*c.in[0])),
                       1);
    const float* x = c.in[0]->as<float>();
    for (size_t i = 0; i < steps_.size(); ++i) {
      const Resample& step = steps_[i];
      float* y = i + 1 == steps_.size() ? c.out[0]->as<float>() : between_[i % 2].data();
      step.run(
          *c.pool, c.scratch, c.scratch_bytes, [&](int64_t row, float*) { return x + row * step.in_length(); },
          [&](int64_t row, float*) { return y + row * step.out_length(); }, [](int64_t, float*) {});
      x = y;
    }
    for (size_t axis = 0; axis < beyond_.size(); ++axis) blank(axis, *c.out[0]);
  }

 private:
  /// The places of an axis that TfCropAndResize shows beyond the image; none where there are none.
  std::vector<bool> beyond(const ops::ResizedAxis& a) const {
    if (op_.coordinates != dialect::ResizeCoordinates::TfCropAndResize) return {};
    std::vector<bool> found;
    for (int64_t o = 0; o < a.out_size; ++o) {
      const float s = a.place(op_.coordinates, o);
      found.push_back(!(s >= 0 && s <= static_cast<float>(a.size - 1)));
    }
    return found;
  }
  bool is_beyond(size_t axis, int64_t o) const { return !beyond_[axis].empty() && beyond_[axis][static_cast<size_t>(o)]; }

  void blank(size_t axis, Tensor& y) const {
    const AxisSplit split = split_at(y.shape, static_cast<int64_t>(axis), op_.what());
    for (int64_t i = 0; i < split.length; ++i)
      for (int64_t o = 0; is_beyond(axis, i) && o < split.outer; ++o)
        std::fill_n(y.as<float>() + (o * split.length + i) * split.inner, split.inner, op_.extrapolation_value);
  }

  Taps taps(const ops::ResizedAxis& a) const {
    Taps taps;
    for (int64_t o = 0; o < a.out_size; ++o) {
      add_taps(a, is_beyond(a.axis, o) ? 0.0f : a.place(op_.coordinates, o), taps);
      taps.finish();
    }
    return taps;
  }

  void add_taps(const ops::ResizedAxis& a, float s, Taps& taps) const {
    const int64_t end = a.size - 1;
    const bool linear = op_.mode == Interpolation::Linear;
    const double g = op_.antialias ? std::min(static_cast<double>(a.scale), 1.0) : 1.0;
    if (linear && g == 1) return taps.add_linear(s, end);
    const double at = static_cast<double>(s), reach = (linear ? 1 : 2) / g;
    auto first = static_cast<int64_t>(std::floor(at - reach + 1)), last = static_cast<int64_t>(std::floor(at + reach + 1));
    if (op_.exclude_outside) {
      first = std::max<int64_t>(first, 0);
      last = std::min(last, a.size);
    }
    std::vector<double> weights;
    double total = 0;
    for (int64_t i = first; i < last; ++i) {
      weights.push_back(weight(std::fabs(static_cast<double>(i) - at) * g, linear));
      total = total + weights.back();
    }
    const bool scaled = (op_.exclude_outside || g < 1) && total != 0;
    for (int64_t i = first; i < last; ++i) {
      const double w = weights[static_cast<size_t>(i - first)];
      taps.add(std::min(std::max<int64_t>(i, 0), end), static_cast<float>(scaled ? w / total : w));
    }
  }

  double weight(double d, bool linear) const {
    if (linear) return std::max(1 - d, 0.0);
    const double a = op_.cubic_coeff_a;
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0.0;
  }

  /// The last two axes in one step, then one after another. Returns the scratch of each thread.
  size_t plan_steps(Shape shape) {
    taps_.clear();
    for (const ops::ResizedAxis& a : op_.axes) taps_.push_back(taps(a));
    const auto behind = [&](size_t axis) {
      return elements(Shape(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, shape.end()));
    };
    size_t scratch = 0;
    for (size_t left = op_.axes.size(); left > 0;) {
      Resample step;
      const ops::ResizedAxis& last = op_.axes[left - 1];
      const bool columns = steps_.empty() && (left > 1 || behind(last.axis) == 1);
      if (columns) {
        step.columns = &taps_[--left];
        step.in_columns = last.size;
        step.out_columns = last.out_size;
        step.inner = behind(last.axis);
      }
      if (left > 0) {
        const ops::ResizedAxis& a = op_.axes[--left];
        step.rows = &taps_[left];
        step.in_rows = a.size;
        step.out_rows = a.out_size;
        if (columns)
          step.middle = behind(a.axis) / (step.in_columns * step.inner);
        else
          step.inner = behind(a.axis);
        shape[a.axis] = a.out_size;
      }
      if (columns) shape[last.axis] = last.out_size;
      step.outer = elements(shape) / (step.out_rows * step.out_length());
      scratch = std::max(scratch, step.plan());
      if (left > 0) between_[steps_.size() % 2].resize(static_cast<size_t>(elements(shape)));
      steps_.push_back(step);
    }
    return scratch;
  }

  const ops::OnnxResize& op_;
  bool empty_ = false;
  CopyByTable nearest_;
  std::vector<std::vector<bool>> beyond_;  // of each axis
  std::vector<Taps> taps_;                 // of each axis that changes
  std::vector<Resample> steps_;
  std::vector<float> between_[2];  // what a step hands to the next
};

}  // namespace

void add_resize_float32_kernels(KernelTable& table) {
  table.emplace_back("ai.onnx.Resize", make<OnnxResizeKernel, ops::OnnxResize>);
}

}  // namespace qgraph::cpu
