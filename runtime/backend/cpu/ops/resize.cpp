// Resize: nearest and linear.
#include "ops/resize.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

class ResizeKernel : public CpuKernel {
 public:
  ResizeKernel(const ops::Resize& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t pixels = op_.out_size[0] * op_.out_size[1];
    if (pixels == 0 || x.size() == 0) return;
    c.pool->parallel(c.out[0]->size() / pixels, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t p = begin; p < end; ++p)
        for (int64_t o = 0; o < pixels; ++o) one(c, x, p, o);
    });
  }

 private:
  float source(int64_t o, int i) const {
    const auto x = static_cast<float>(o), n = static_cast<float>(op_.size[i]), m = static_cast<float>(op_.out_size[i]);
    switch (op_.coordinates) {
      case dialect::ResizeCoordinates::Asymmetric:
        return x / op_.scale[i];
      case dialect::ResizeCoordinates::AlignCorners:
        return op_.out_size[i] == 1 ? 0.0f : x * (n - 1) / (m - 1);
      case dialect::ResizeCoordinates::PytorchHalfPixel:
        return op_.out_size[i] == 1 ? 0.0f : (x + 0.5f) / op_.scale[i] - 0.5f;
      case dialect::ResizeCoordinates::HalfPixel:
        break;
    }
    return (x + 0.5f) / op_.scale[i] - 0.5f;
  }
  int64_t near(int64_t o, int i) const {
    const float s = source(o, i);
    float r = 0;
    switch (op_.nearest) {
      case dialect::ResizeNearest::RoundPreferFloor:
        r = s == std::floor(s) + 0.5f ? std::floor(s) : std::floor(s + 0.5f);
        break;
      case dialect::ResizeNearest::RoundPreferCeil:
        r = std::floor(s + 0.5f);
        break;
      case dialect::ResizeNearest::Floor:
        r = std::floor(s);
        break;
      case dialect::ResizeNearest::Ceil:
        r = std::ceil(s);
        break;
    }
    return std::min(std::max<int64_t>(static_cast<int64_t>(r), 0), op_.size[i] - 1);
  }
  void one(const Context& c, const Tensor& x, int64_t plane, int64_t o) const {
    const int64_t base = plane * op_.size[0] * op_.size[1], at = plane * op_.out_size[0] * op_.out_size[1] + o,
                  oy = o / op_.out_size[1], ox = o % op_.out_size[1];
    if (!op_.linear) {
      const int64_t from = base + near(oy, 0) * op_.size[1] + near(ox, 1);
      if (x.type == DType::U8)
        c.out[0]->as<uint8_t>()[at] = x.as<uint8_t>()[from];
      else
        c.out[0]->as<int16_t>()[at] = x.as<int16_t>()[from];
      return;
    }
    int64_t low[2], high[2];
    float f[2];
    for (int i = 0; i < 2; ++i) {
      float s = source(i == 0 ? oy : ox, i);
      s = std::min(std::max(s, 0.0f), static_cast<float>(op_.size[i] - 1));
      low[i] = static_cast<int64_t>(s);
      high[i] = std::min(low[i] + 1, op_.size[i] - 1);
      f[i] = s - static_cast<float>(low[i]);
    }
    auto v = [&](int64_t y, int64_t xx) { return static_cast<float>(read_code(x, base + y * op_.size[1] + xx) - op_.x_zero); };
    const float top = v(low[0], low[1]) * (1 - f[1]) + v(low[0], high[1]) * f[1];
    const float bottom = v(high[0], low[1]) * (1 - f[1]) + v(high[0], high[1]) * f[1];
    const float one = 1.0f, t = (top * (1 - f[0]) + bottom * f[0]) * op_.multiplier;
    c.kernels->requantize(&t, DType::F32, 0, &one, 0, 1, epilogue_, c.out[0]->as<uint8_t>() + at * (bits(epilogue_.type) / 8));
  }

  const ops::Resize& op_;
  Epilogue epilogue_;
};

}  // namespace

void add_resize_kernels(KernelTable& table) { table.emplace_back("Resize", make<ResizeKernel, ops::Resize>); }

}  // namespace qgraph::cpu
