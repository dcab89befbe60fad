// Resize of codes: copies of the nearest elements, or linear interpolation.
#include "ops/resize.h"

#include "backend/cpu/ops/copy_by_table.h"
#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/resample.h"

namespace qgraph::cpu {
namespace {

class ResizeKernel : public CpuKernel {
 public:
  ResizeKernel(const ops::Resize& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  size_t prepare(const Values& v) override {
    const Shape &from = v.in[0]->shape, &to = v.out[0]->shape;
    if (elements(to) == 0) return 0;
    const bool two = op_.two_axes;
    if (!op_.linear) {
      std::vector<std::vector<int64_t>> tables(to.size());
      for (const ops::ResizedAxis* a = op_.axes + (two ? 0 : 1); a != op_.axes + 2; ++a)
        for (int64_t o = 0; o < a->out_size; ++o)
          tables[a->axis].push_back(a->nearest(op_.nearest, a->place(op_.coordinates, o)));
      nearest_.plan(from, to, std::move(tables));
      return 0;
    }
    for (int i = 0; i < 2; ++i) {
      const ops::ResizedAxis& a = op_.axes[i];
      taps_[i] = {};
      for (int64_t o = 0; o < a.out_size; ++o) {
        taps_[i].add_linear(a.place(op_.coordinates, o), a.size - 1);
        taps_[i].finish();
      }
    }
    linear_ = {};
    linear_.direct = false;
    linear_.columns = &taps_[1];
    linear_.in_columns = op_.axes[1].size;
    linear_.out_columns = op_.axes[1].out_size;
    if (two) {
      linear_.rows = &taps_[0];
      linear_.in_rows = op_.axes[0].size;
      linear_.out_rows = op_.axes[0].out_size;
    }
    linear_.outer = elements(to) / (linear_.out_rows * linear_.out_columns);
    return linear_.plan();
  }

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    if (c.out[0]->size() == 0) return;
    auto* to = c.out[0]->as<uint8_t>();
    const uint16_t none = 0;
    if (!op_.linear) return nearest_.run(*c.pool, x.as<uint8_t>(), to, byte_size(x.type), &none);
    const int64_t n = linear_.in_length(), m = linear_.out_length();
    const auto load = [&](int64_t row, float* buffer) {
      if (x.type == DType::U8)
        for (int64_t i = 0; i < n; ++i) buffer[i] = static_cast<float>(x.as<uint8_t>()[row * n + i] - op_.x_zero);
      else
        for (int64_t i = 0; i < n; ++i) buffer[i] = static_cast<float>(x.as<int16_t>()[row * n + i] - op_.x_zero);
      return buffer;
    };
    linear_.run(
        *c.pool, c.scratch, c.scratch_bytes, load, [](int64_t, float* buffer) { return buffer; },
        [&](int64_t row, const float* t) {
          c.kernels->requantize(t, DType::F32, 0, &op_.multiplier, 0, m, epilogue_, to + row * m * (bits(epilogue_.type) / 8));
        });
  }

 private:
  const ops::Resize& op_;
  Epilogue epilogue_;
  CopyByTable nearest_;
  Taps taps_[2];
  Resample linear_;
};

}  // namespace

void add_resize_kernels(KernelTable& table) { table.emplace_back("Resize", make<ResizeKernel, ops::Resize>); }

}  // namespace qgraph::cpu
