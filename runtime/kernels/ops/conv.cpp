// Conv and ConvTranspose over one or two spatial axes, NCHW, uint8 x int8.
#include <algorithm>
#include <cstring>

#include "kernels/op.h"

namespace qgraph {
namespace {

constexpr int64_t kRows = 48;     // output pixels of a tile
constexpr int64_t kColumns = 64;  // output channels of a tile

struct Geometry {
  int64_t kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1}, begin[2] = {0, 0}, end[2] = {0, 0};
};

class ConvBase : public Op {
 public:
  // Inputs: x, weights [o, c / group, kernel...], multiplier [o], bias int32 [o].
  explicit ConvBase(const OpSource& s, bool transposed) : Op(s.info), epilogue_(output_epilogue(s)) {
    const TensorInfo& w = s.input(1);
    require(w.data != nullptr && (w.type == DType::I8 || w.type == DType::I4) && (w.shape.size() == 3 || w.shape.size() == 4),
            "the weights must be a constant of 3 or 4 dims");
    spatial_ = static_cast<int>(w.shape.size()) - 2;
    group_ = s.attributes.integer("group", 1, 1, 1 << 24);
    x_zero_ = static_cast<int32_t>(s.attributes.integer("x_zero", 0, 0, 255));
    for (int64_t d : w.shape) require(d >= 1, "the weights are empty");
    inputs_ = transposed ? w.shape[0] : w.shape[1] * group_;
    outputs_ = transposed ? w.shape[1] * group_ : w.shape[0];
    require(inputs_ % group_ == 0 && outputs_ % group_ == 0, "the groups do not divide the channels");
    // one axis is two with the first of length 1
    const auto strides = s.attributes.integers("strides"), dilations = s.attributes.integers("dilations"),
               pads = s.attributes.integers("pads");
    const size_t n = static_cast<size_t>(spatial_);
    require(strides.size() == n && dilations.size() == n && pads.size() == 2 * n, "bad strides, dilations or pads");
    for (size_t i = 0; i < n; ++i) {
      const size_t axis = i + 2 - n;
      g_.kernel[axis] = w.shape[i + 2];
      g_.stride[axis] = strides[i];
      g_.dilation[axis] = dilations[i];
      g_.begin[axis] = pads[i];
      g_.end[axis] = pads[i + n];
      const int64_t limit = 1 << 20;
      require(strides[i] >= 1 && strides[i] < limit && dilations[i] >= 1 && dilations[i] < limit && pads[i] >= -limit &&
                  pads[i] < limit && pads[i + n] >= -limit && pads[i + n] < limit && g_.kernel[axis] < limit,
              "bad strides, dilations or pads");
    }
    multiplier_ = reinterpret_cast<const float*>(s.constant(2, DType::F32, outputs_).data);
    if (s.has(3)) bias_ = reinterpret_cast<const int32_t*>(s.constant(3, DType::I32, outputs_).data);
    const int64_t count = elements(w.shape);
    codes_.resize(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i)
      codes_[static_cast<size_t>(i)] = w.type == DType::I8 ? static_cast<int8_t>(w.data[i]) : int4_at(w.data, i);
  }

 protected:
  void take_input(Context& c) {
    const Tensor& x = in(c, 0, {DType::U8});
    require(x.rank() == spatial_ + 2 && x.shape[1] == inputs_, "the input does not fit the weights");
    batch_ = x.shape[0];
    size_[0] = spatial_ == 2 ? x.shape[2] : 1;
    size_[1] = x.shape.back();
  }
  void set_output(Context& c) {
    for (int64_t d : out_) require(d >= 0 && d < (int64_t{1} << 31), "the output would be empty or too large");
    Shape shape{batch_, outputs_, out_[0], out_[1]};
    if (spatial_ == 1) shape.erase(shape.begin() + 2);
    out(c).shape = shape;
  }
  size_t out_size() const { return static_cast<size_t>(bits(epilogue_.type) / 8); }

  // Finish one output channel's plane of accumulators (the bias is already in them).
  void finish_plane(const Context& c, int64_t channel, const int32_t* acc, int64_t n, uint8_t* y) const {
    Epilogue e = epilogue_;
    e.multiplier = multiplier_ + channel;
    e.multiplier_stride = 0;
    c.kernels->finish(e, acc, n, 1, n, y, n, nullptr);
  }

  Epilogue epilogue_;
  Geometry g_;
  int spatial_ = 2;
  int64_t group_ = 1, inputs_ = 0, outputs_ = 0, batch_ = 0;
  int64_t size_[2] = {1, 1}, out_[2] = {1, 1};
  int32_t x_zero_ = 0;
  const float* multiplier_ = nullptr;
  const int32_t* bias_ = nullptr;
  std::vector<int8_t> codes_;
};

class Conv : public ConvBase {
 public:
  explicit Conv(const OpSource& s) : ConvBase(s, false) {
    const int64_t per = inputs_ / group_, n = outputs_ / group_;
    depth_ = per * g_.kernel[0] * g_.kernel[1];
    depthwise_ = per == 1;
    if (depthwise_) return;
    const size_t part = static_cast<size_t>(packed_bytes(n, depth_)), sums = static_cast<size_t>(round_up(n, kPanel));
    packed_.resize(part * static_cast<size_t>(group_));
    sums_.resize(sums * static_cast<size_t>(group_));
    for (int64_t g = 0; g < group_; ++g) {
      int8_t* data = packed_.data() + static_cast<size_t>(g) * part;
      int32_t* sum = sums_.data() + static_cast<size_t>(g) * sums;
      pack_weights(reinterpret_cast<const uint8_t*>(codes_.data()) + g * n * depth_, n, depth_, depth_, 1, 0, data, sum);
      parts_.push_back({data, sum, n, depth_});
    }
    codes_.clear();
    codes_.shrink_to_fit();
  }

  void infer(Context& c) override {
    take_input(c);
    for (int i = 0; i < 2; ++i) {
      const int64_t reach = g_.dilation[i] * (g_.kernel[i] - 1) + 1, room = size_[i] + g_.begin[i] + g_.end[i] - reach;
      require(room >= 0 || size_[i] == 0, "the input is smaller than the kernel");
      out_[i] = room < 0 ? 0 : room / g_.stride[i] + 1;
    }
    set_output(c);
  }

  size_t scratch(const Context&) const override {
    if (depthwise_) return static_cast<size_t>(round_up(out_[1] * 4, 64));
    return static_cast<size_t>(round_up(kRows * depth_ + 4, 64) + kRows * kColumns * 8 + 64);
  }

  void run(Context& c) override {
    const int64_t pixels = out_[0] * out_[1];
    if (pixels == 0 || batch_ == 0) return;
    if (depthwise_) {
      c.pool->parallel(batch_ * outputs_, 1, [&](int64_t begin, int64_t end, int worker) {
        for (int64_t i = begin; i < end; ++i) plane(c, i / outputs_, i % outputs_, worker);
      });
      return;
    }
    const int64_t tiles = (pixels + kRows - 1) / kRows;
    c.pool->parallel(batch_ * group_ * tiles, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) tile(c, i / tiles / group_, i / tiles % group_, i % tiles * kRows, worker);
    });
  }

 private:
  void gather(const uint8_t* x, int64_t pixel, uint8_t* row) const {
    const int64_t per = inputs_ / group_;
    const int64_t y0 = pixel / out_[1] * g_.stride[0] - g_.begin[0], x0 = pixel % out_[1] * g_.stride[1] - g_.begin[1];
    const bool whole = g_.dilation[1] == 1 && x0 >= 0 && x0 + g_.kernel[1] <= size_[1];
    const auto zero = static_cast<uint8_t>(x_zero_);
    for (int64_t channel = 0; channel < per; ++channel, x += size_[0] * size_[1]) {
      for (int64_t ky = 0; ky < g_.kernel[0]; ++ky) {
        const int64_t iy = y0 + ky * g_.dilation[0];
        const uint8_t* line = x + iy * size_[1] + x0;
        if (iy < 0 || iy >= size_[0]) {
          std::memset(row, zero, static_cast<size_t>(g_.kernel[1]));
        } else if (whole) {
          for (int64_t kx = 0; kx < g_.kernel[1]; ++kx) row[kx] = line[kx];
        } else {
          for (int64_t kx = 0; kx < g_.kernel[1]; ++kx) {
            const int64_t at = kx * g_.dilation[1], ix = x0 + at;
            row[kx] = ix >= 0 && ix < size_[1] ? line[at] : zero;
          }
        }
        row += g_.kernel[1];
      }
    }
  }

  void tile(const Context& c, int64_t image, int64_t group, int64_t pixel, int worker) const {
    const int64_t pixels = out_[0] * out_[1], rows = std::min(kRows, pixels - pixel), n = outputs_ / group_;
    uint8_t* patches = c.worker_scratch(worker);
    auto* acc = reinterpret_cast<int32_t*>(patches + round_up(kRows * depth_ + 4, 64));
    auto* done = reinterpret_cast<uint8_t*>(acc + kRows * kColumns);
    const uint8_t* x = c.in[0]->as<uint8_t>() + (image * inputs_ + group * (inputs_ / group_)) * size_[0] * size_[1];
    for (int64_t r = 0; r < rows; ++r) gather(x, pixel + r, patches + r * depth_);
    const PackedWeights& w = parts_[static_cast<size_t>(group)];
    for (int64_t column = 0; column < n; column += kColumns) {
      const int64_t columns = std::min(kColumns, n - column), channel = group * n + column;
      c.kernels->gemm(patches, depth_, rows, w, column, columns, acc, kColumns);
      c.kernels->correct(acc, kColumns, rows, columns, w.column_sums + column, x_zero_, nullptr, 0, depth_);
      Epilogue e = epilogue_;
      e.multiplier = multiplier_ + channel;
      e.bias = bias_ == nullptr ? nullptr : bias_ + channel;
      c.kernels->finish(e, acc, kColumns, rows, columns, done, kColumns, nullptr);
      uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>((image * outputs_ + channel) * pixels + pixel) * out_size();
      if (out_size() == 1)
        turn(done, y, rows, columns, pixels);
      else if (out_size() == 2)
        turn(reinterpret_cast<int16_t*>(done), reinterpret_cast<int16_t*>(y), rows, columns, pixels);
      else
        turn(reinterpret_cast<float*>(done), reinterpret_cast<float*>(y), rows, columns, pixels);
    }
  }

  template <typename T>
  static void turn(const T* from, T* to, int64_t rows, int64_t columns, int64_t stride) {
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = 0; r < rows; ++r) to[c * stride + r] = from[r * kColumns + c];
  }

  // Depthwise: one input channel makes one plane of outputs.
  void plane(const Context& c, int64_t image, int64_t channel, int worker) const {
    auto* acc = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
    const int64_t source = channel / (outputs_ / group_);
    const uint8_t* x = c.in[0]->as<uint8_t>() + (image * inputs_ + source) * size_[0] * size_[1];
    uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>((image * outputs_ + channel) * out_[0] * out_[1]) * out_size();
    const int8_t* w = codes_.data() + channel * depth_;
    for (int64_t oy = 0; oy < out_[0]; ++oy) {
      std::fill(acc, acc + out_[1], bias_ == nullptr ? 0 : bias_[channel]);
      for (int64_t ky = 0; ky < g_.kernel[0]; ++ky) {
        const int64_t iy = oy * g_.stride[0] - g_.begin[0] + ky * g_.dilation[0];
        if (iy < 0 || iy >= size_[0]) continue;
        for (int64_t kx = 0; kx < g_.kernel[1]; ++kx) {
          const int32_t weight = w[ky * g_.kernel[1] + kx];
          const int64_t shift = kx * g_.dilation[1] - g_.begin[1], step = g_.stride[1];
          // the range of outputs whose input lies inside
          const int64_t first = shift >= 0 ? 0 : (-shift + step - 1) / step;
          const int64_t last = shift >= size_[1] ? 0 : std::min(out_[1], (size_[1] - 1 - shift) / step + 1);
          const uint8_t* line = x + iy * size_[1] + shift;
          if (step == 1)
            for (int64_t ox = first; ox < last; ++ox) acc[ox] += (line[ox] - x_zero_) * weight;
          else
            for (int64_t ox = first; ox < last; ++ox) acc[ox] += (line[ox * step] - x_zero_) * weight;
        }
      }
      finish_plane(c, channel, acc, out_[1], y + static_cast<size_t>(oy * out_[1]) * out_size());
    }
  }

  int64_t depth_ = 0;
  bool depthwise_ = false;
  AlignedBytes packed_;
  std::vector<int32_t> sums_;
  std::vector<PackedWeights> parts_;
};

// Weights [c, o / group, kernel...]; each input pixel spreads into the outputs under the kernel.
class ConvTranspose : public ConvBase {
 public:
  explicit ConvTranspose(const OpSource& s) : ConvBase(s, true) {
    const auto extra = s.attributes.integers("output_padding");
    for (size_t i = 0; i < extra.size() && i < static_cast<size_t>(spatial_); ++i)
      extra_[i + 2 - static_cast<size_t>(spatial_)] = extra[i];
  }

  void infer(Context& c) override {
    take_input(c);
    for (int i = 0; i < 2; ++i) {
      require(extra_[i] >= 0 && extra_[i] < (1 << 20), "bad output padding");
      out_[i] = size_[i] == 0 ? 0
                              : g_.stride[i] * (size_[i] - 1) + extra_[i] + g_.dilation[i] * (g_.kernel[i] - 1) + 1 -
                                    g_.begin[i] - g_.end[i];
    }
    set_output(c);
  }
  size_t scratch(const Context&) const override { return static_cast<size_t>(round_up(out_[0] * out_[1] * 4, 64)); }

  void run(Context& c) override {
    if (out_[0] * out_[1] == 0) return;
    c.pool->parallel(batch_ * outputs_, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) plane(c, i / outputs_, i % outputs_, worker);
    });
  }

 private:
  void plane(const Context& c, int64_t image, int64_t channel, int worker) const {
    auto* acc = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
    const int64_t pixels = out_[0] * out_[1], per = inputs_ / group_, n = outputs_ / group_, group = channel / n;
    std::fill(acc, acc + pixels, bias_ == nullptr ? 0 : bias_[channel]);
    const int64_t taps = g_.kernel[0] * g_.kernel[1];
    for (int64_t i = 0; i < per; ++i) {
      const int64_t source = group * per + i;
      const uint8_t* x = c.in[0]->as<uint8_t>() + (image * inputs_ + source) * size_[0] * size_[1];
      const int8_t* w = codes_.data() + (source * n + channel % n) * taps;
      for (int64_t iy = 0; iy < size_[0]; ++iy)
        for (int64_t ky = 0; ky < g_.kernel[0]; ++ky) {
          const int64_t oy = iy * g_.stride[0] - g_.begin[0] + ky * g_.dilation[0];
          if (oy < 0 || oy >= out_[0]) continue;
          for (int64_t ix = 0; ix < size_[1]; ++ix)
            for (int64_t kx = 0; kx < g_.kernel[1]; ++kx) {
              const int64_t ox = ix * g_.stride[1] - g_.begin[1] + kx * g_.dilation[1];
              if (ox >= 0 && ox < out_[1])
                acc[oy * out_[1] + ox] += (x[iy * size_[1] + ix] - x_zero_) * w[ky * g_.kernel[1] + kx];
            }
        }
    }
    uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>((image * outputs_ + channel) * pixels) * out_size();
    finish_plane(c, channel, acc, pixels, y);
  }

  int64_t extra_[2] = {0, 0};
};

}  // namespace

void add_conv_ops(OpTable& table) {
  table.push_back(entry<Conv>("Conv"));
  table.push_back(entry<ConvTranspose>("ConvTranspose"));
}

}  // namespace qgraph
