// Resize over the last one or two axes: nearest (copies codes) and linear (half-pixel, align-corners, asymmetric).
#include <algorithm>
#include <cmath>

#include "ops/op.h"

namespace qgraph {
namespace {

// Inputs: x, scales (float32) or sizes (int64), one for each of the spatial axes.
class Resize : public Op {
 public:
  explicit Resize(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)) {
    const Attributes& a = s.attributes;
    linear_ = a.integer("linear", 0, 0, 1) != 0;
    coordinates_ = a.integer("coordinates", 0, 0, 3);  // half_pixel, asymmetric, align_corners, pytorch_half_pixel
    nearest_ = a.integer("nearest", 0, 0, 3);          // round_prefer_floor, round_prefer_ceil, floor, ceil
    zero_ = static_cast<int32_t>(a.integer("x_zero", 0, -32768, 32767));
    multiplier_ = a.number("multiplier", 1.0f);
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16});
    const Tensor& target = in(c, 1, {DType::F32, DType::I64});
    require(target.known, "the size depends on the data, not on the input shapes");
    const int64_t n = target.size();
    require((n == 1 || n == 2) && x.rank() >= n, "one or two axes can be resized");
    require(linear_ || out(c).type == x.type, "the output's type must be the input's");
    Shape shape = x.shape;
    for (int64_t i = 0; i < 2; ++i) {
      in_[i] = out_[i] = 1;
      scale_[i] = 1;
      if (i < 2 - n) continue;
      const auto axis = static_cast<size_t>(x.rank() - 2 + i);
      const int64_t at = i - (2 - n);
      in_[i] = x.shape[axis];
      if (target.type == DType::F32) {
        scale_[i] = target.as<float>()[at];
        require(scale_[i] > 0 && scale_[i] < 1e6f, "bad scale");
        out_[i] = static_cast<int64_t>(std::floor(static_cast<double>(in_[i]) * static_cast<double>(scale_[i])));
      } else {
        out_[i] = target.as<int64_t>()[at];
        require(out_[i] >= 0 && out_[i] < (int64_t{1} << 31) && in_[i] > 0, "bad size");
        scale_[i] = static_cast<float>(out_[i]) / static_cast<float>(in_[i]);
      }
      shape[axis] = out_[i];
    }
    out(c).shape = shape;
  }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t pixels = out_[0] * out_[1];
    if (pixels == 0 || x.size() == 0) return;
    c.pool->parallel(c.out[0]->size() / pixels, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t p = begin; p < end; ++p)
        for (int64_t o = 0; o < pixels; ++o) one(c, x, p, o);
    });
  }

 private:
  float source(int64_t o, int i) const {
    const auto x = static_cast<float>(o), n = static_cast<float>(in_[i]), m = static_cast<float>(out_[i]);
    switch (coordinates_) {
      case 1:
        return x / scale_[i];
      case 2:
        return out_[i] == 1 ? 0.0f : x * (n - 1) / (m - 1);
      case 3:
        return out_[i] == 1 ? 0.0f : (x + 0.5f) / scale_[i] - 0.5f;
      default:
        return (x + 0.5f) / scale_[i] - 0.5f;
    }
  }
  int64_t near(int64_t o, int i) const {
    const float s = source(o, i);
    float r;
    if (nearest_ == 0)
      r = s == std::floor(s) + 0.5f ? std::floor(s) : std::floor(s + 0.5f);
    else if (nearest_ == 1)
      r = std::floor(s + 0.5f);
    else if (nearest_ == 2)
      r = std::floor(s);
    else
      r = std::ceil(s);
    return std::min(std::max<int64_t>(static_cast<int64_t>(r), 0), in_[i] - 1);
  }
  void one(const Context& c, const Tensor& x, int64_t plane, int64_t o) const {
    const int64_t base = plane * in_[0] * in_[1], at = plane * out_[0] * out_[1] + o, oy = o / out_[1], ox = o % out_[1];
    if (!linear_) {
      const int64_t from = base + near(oy, 0) * in_[1] + near(ox, 1);
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
      s = std::min(std::max(s, 0.0f), static_cast<float>(in_[i] - 1));
      low[i] = static_cast<int64_t>(s);
      high[i] = std::min(low[i] + 1, in_[i] - 1);
      f[i] = s - static_cast<float>(low[i]);
    }
    auto v = [&](int64_t y, int64_t xx) { return static_cast<float>(read_code(x, base + y * in_[1] + xx) - zero_); };
    const float top = v(low[0], low[1]) * (1 - f[1]) + v(low[0], high[1]) * f[1];
    const float bottom = v(high[0], low[1]) * (1 - f[1]) + v(high[0], high[1]) * f[1];
    const float one = 1.0f, t = (top * (1 - f[0]) + bottom * f[0]) * multiplier_;
    c.kernels->requantize(&t, DType::F32, 0, &one, 0, 1, epilogue_, c.out[0]->as<uint8_t>() + at * (bits(epilogue_.type) / 8));
  }

  Epilogue epilogue_;
  bool linear_;
  int64_t coordinates_, nearest_, in_[2] = {1, 1}, out_[2] = {1, 1};
  int32_t zero_;
  float multiplier_, scale_[2] = {1, 1};
};

}  // namespace

void add_resize_ops(OpTable& table) { table.push_back(entry<Resize>("Resize")); }

}  // namespace qgraph
