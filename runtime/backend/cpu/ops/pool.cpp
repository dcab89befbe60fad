// MaxPool, AveragePool (one or two spatial axes, channels last), ReduceMean.
#include <algorithm>
#include <cstring>
#include <limits>

#include "ops/op.h"

namespace qgraph {
namespace {

/// y[at + i] = quantize((float(sum[i]) * multiplier) / count); the sums are overwritten.
void finish_mean(const Context& c, const Epilogue& e, int32_t* sums, int64_t n, float multiplier, int64_t count, int64_t at) {
  auto* t = reinterpret_cast<float*>(sums);
  const float one = 1.0f, each = static_cast<float>(std::max<int64_t>(count, 1));
  for (int64_t i = 0; i < n; ++i) {
    int32_t sum;
    std::memcpy(&sum, sums + i, 4);
    const float mean = (static_cast<float>(sum) * multiplier) / each;
    std::memcpy(t + i, &mean, 4);
  }
  c.kernels->requantize(t, DType::F32, 0, &one, 0, n, e, c.out[0]->as<uint8_t>() + static_cast<size_t>(at) * byte_size(e.type));
}

class Pool : public Op {
 public:
  Pool(const OpSource& s, bool average) : Op(s.info), average_(average), epilogue_(output_epilogue(s)) {
    const Attributes& a = s.attributes;
    const auto kernel = a.integers("kernel"), strides = a.integers("strides"), dilations = a.integers("dilations"),
               pads = a.integers("pads");
    const size_t n = kernel.size();
    require((n == 1 || n == 2) && strides.size() == n && dilations.size() == n && pads.size() == 2 * n, "bad window");
    spatial_ = static_cast<int>(n);
    for (size_t i = 0; i < n; ++i) {
      const size_t axis = i + 2 - n;
      const int64_t limit = 1 << 20;
      for (int64_t v : {kernel[i], strides[i], dilations[i]}) require(v >= 1 && v < limit, "bad window");
      for (int64_t v : {pads[i], pads[i + n]}) require(v >= 0 && v < limit, "bad pads");
      kernel_[axis] = kernel[i];
      stride_[axis] = strides[i];
      dilation_[axis] = dilations[i];
      begin_[axis] = pads[i];
      end_[axis] = pads[i + n];
    }
    require(kernel_[0] * kernel_[1] <= (1 << 15), "the window is too large");
    ceil_ = a.integer("ceil", 0, 0, 1) != 0;
    include_pad_ = a.integer("count_include_pad", 0, 0, 1) != 0;
    if (average_) {
      zero_ = static_cast<int32_t>(a.integer("x_zero", 0, -32768, 32767));
      multiplier_ = a.number("multiplier");
    }
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16});
    require(x.rank() == spatial_ + 2, "the input does not fit the window");
    require(average_ || out(c).type == x.type, "the output's type must be the input's");
    size_[0] = spatial_ == 2 ? x.shape[1] : 1;
    size_[1] = x.shape[x.shape.size() - 2];
    channels_ = x.shape.back();
    for (int i = 0; i < 2; ++i) {
      const int64_t room = size_[i] + begin_[i] + end_[i] - (dilation_[i] * (kernel_[i] - 1) + 1);
      require(room >= 0, "the input is smaller than the window");
      out_[i] = (ceil_ ? (room + stride_[i] - 1) / stride_[i] : room / stride_[i]) + 1;
      if (ceil_ && (out_[i] - 1) * stride_[i] >= size_[i] + begin_[i]) --out_[i];  // no window starts in the padding
    }
    Shape shape{x.shape[0], out_[0], out_[1], channels_};
    if (spatial_ == 1) shape.erase(shape.begin() + 1);
    out(c).shape = shape;
  }
  size_t scratch(const Context&) const override { return static_cast<size_t>(round_up(channels_ * 4, 64)); }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t pixels = out_[0] * out_[1], grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, channels_));
    if (channels_ == 0) return;
    c.pool->parallel(x.shape[0] * pixels, grain, [&](int64_t begin, int64_t end, int worker) {
      auto* sums = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
      int64_t image = begin / pixels, row = begin % pixels / out_[1], column = begin % out_[1];
      for (int64_t p = begin; p < end; ++p) {
        if (x.type == DType::U8)
          one<uint8_t>(c, image, row, column, sums);
        else
          one<int16_t>(c, image, row, column, sums);
        if (++column < out_[1]) continue;
        column = 0;
        if (++row < out_[0]) continue;
        row = 0;
        ++image;
      }
    });
  }

 private:
  /// Of the window's taps along an axis: those that fall on the input, and how many count (padding up to its declared end, not
  /// beyond: ceil mode).
  struct Span {
    int64_t first, last, counted;
  };
  Span span(int axis, int64_t corner) const {
    const int64_t d = dilation_[axis], kernel = kernel_[axis], room = size_[axis] - 1 - corner, padded = room + end_[axis];
    if (corner >= 0 && room >= d * (kernel - 1)) return {0, kernel, kernel};
    const int64_t first = corner >= 0 ? 0 : (-corner + d - 1) / d, last = room < 0 ? 0 : std::min(kernel, room / d + 1);
    const int64_t within = padded < 0 ? 0 : std::min(kernel, padded / d + 1);
    return {first, last, include_pad_ ? within : std::max<int64_t>(0, last - first)};
  }

  template <typename T>
  void one(const Context& c, int64_t image, int64_t row, int64_t column, int32_t* sums) const {
    const int64_t y0 = row * stride_[0] - begin_[0], x0 = column * stride_[1] - begin_[1];
    const Span down = span(0, y0), along = span(1, x0);
    const int64_t o = row * out_[1] + column;
    const int64_t n = channels_;  // a local: what is written through bytes may alias the member
    const int32_t zero = zero_;
    const T* x = c.in[0]->as<T>() + image * size_[0] * size_[1] * channels_;
    auto taps = [&](auto&& f) {
      for (int64_t ky = down.first; ky < down.last; ++ky)
        for (int64_t kx = along.first; kx < along.last; ++kx)
          f(x + ((y0 + ky * dilation_[0]) * size_[1] + x0 + kx * dilation_[1]) * channels_);
    };
    if (!average_) {
      // the greatest values of some channels stay in registers
      typedef T Vector __attribute__((vector_size(16)));
      constexpr int64_t kLanes = 16 / sizeof(T), kVectors = 4;
      T* to = c.out[0]->as<T>() + (image * out_[0] * out_[1] + o) * channels_;
      int64_t from = 0;
      for (; from + kVectors * kLanes <= n; from += kVectors * kLanes) {
        Vector peak[kVectors];
        for (auto& v : peak) v = Vector{} + std::numeric_limits<T>::min();
        taps([&](const T* tap) {
          for (int64_t i = 0; i < kVectors; ++i) {
            Vector v;
            std::memcpy(&v, tap + from + i * kLanes, sizeof(v));
            peak[i] = v > peak[i] ? v : peak[i];
          }
        });
        std::memcpy(to + from, peak, sizeof(peak));
      }
      std::fill(to + from, to + n, std::numeric_limits<T>::min());
      if (from < n)
        taps([&](const T* tap) {
          for (int64_t i = from; i < n; ++i) to[i] = std::max(to[i], tap[i]);
        });
      return;
    }
    std::fill(sums, sums + channels_, 0);
    taps([&](const T* tap) {
      for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<int32_t>(tap[i]) - zero;
    });
    finish_mean(c, epilogue_, sums, channels_, multiplier_, down.counted * along.counted,
                (image * out_[0] * out_[1] + o) * channels_);
  }

  bool average_, ceil_ = false, include_pad_ = false;
  Epilogue epilogue_;
  int spatial_ = 2;
  int64_t kernel_[2] = {1, 1}, stride_[2] = {1, 1}, dilation_[2] = {1, 1}, begin_[2] = {0, 0}, end_[2] = {0, 0};
  int64_t size_[2] = {1, 1}, out_[2] = {1, 1}, channels_ = 0;
  int32_t zero_ = 0;
  float multiplier_ = 1;
};

struct MaxPool : Pool {
  explicit MaxPool(const OpSource& s) : Pool(s, false) {}
};
struct AveragePool : Pool {
  explicit AveragePool(const OpSource& s) : Pool(s, true) {}
};

class ReduceMean : public Op {
 public:
  explicit ReduceMean(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)), axes_(s.attributes.integers("axes")) {
    keep_ = s.attributes.integer("keepdims", 1, 0, 1) != 0;
    zero_ = static_cast<int32_t>(s.attributes.integer("x_zero", 0, -32768, 32767));
    multiplier_ = s.attributes.number("multiplier");
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16});
    reduced_.assign(x.shape.size(), false);
    for (int64_t a : axes_) {
      if (a < 0) a += x.rank();
      require(a >= 0 && a < x.rank(), "an axis is out of range");
      reduced_[static_cast<size_t>(a)] = true;
    }
    Shape shape;
    kept_shape_.clear();
    kept_strides_.clear();
    inner_shape_.clear();
    inner_strides_.clear();
    const auto strides = strides_of(x.shape);
    for (size_t i = 0; i < x.shape.size(); ++i) {
      (reduced_[i] ? inner_shape_ : kept_shape_).push_back(x.shape[i]);
      (reduced_[i] ? inner_strides_ : kept_strides_).push_back(strides[i]);
      if (!reduced_[i] || keep_) shape.push_back(reduced_[i] ? 1 : x.shape[i]);
    }
    out(c).shape = shape;
  }
  size_t scratch(const Context& c) const override { return static_cast<size_t>(round_up(row(c) * 4, 64)); }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t n = elements(inner_shape_), each = row(c);
    if (elements(kept_shape_) == 0) return;
    // rows of kept elements that lie side by side are summed at once; 2^15 codes fit a sum of 32 bits
    c.pool->parallel(elements(kept_shape_) / each, 1, [&](int64_t begin, int64_t end, int worker) {
      auto* sums = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
      for (int64_t o = begin; o < end; ++o) {
        const int64_t start = offset(o * each, kept_shape_, kept_strides_);
        if (n > (1 << 15)) {
          long_mean(c, x, start, n, o);
          continue;
        }
        std::fill(sums, sums + each, 0);
        for (int64_t i = 0; i < n; ++i) {
          const int64_t at = start + offset(i, inner_shape_, inner_strides_);
          if (x.type == DType::U8)
            for (int64_t j = 0; j < each; ++j) sums[j] += static_cast<int32_t>(x.as<uint8_t>()[at + j]) - zero_;
          else
            for (int64_t j = 0; j < each; ++j) sums[j] += static_cast<int32_t>(x.as<int16_t>()[at + j]) - zero_;
        }
        finish_mean(c, epilogue_, sums, each, multiplier_, n, o * each);
      }
    });
  }

 private:
  /// Elements of the output that lie side by side in the input too.
  int64_t row(const Context& c) const {
    const bool whole = !reduced_.empty() && !reduced_.back() && elements(inner_shape_) <= (1 << 15);
    return whole ? std::max<int64_t>(1, c.in[0]->shape.back()) : 1;
  }
  void long_mean(const Context& c, const Tensor& x, int64_t start, int64_t n, int64_t o) const {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += read_code(x, start + offset(i, inner_shape_, inner_strides_)) - zero_;
    const float one = 1.0f, t = (static_cast<float>(sum) * multiplier_) / static_cast<float>(n);
    c.kernels->requantize(&t, DType::F32, 0, &one, 0, 1, epilogue_, c.out[0]->as<uint8_t>() + o * (bits(epilogue_.type) / 8));
  }
  static int64_t offset(int64_t i, const Shape& shape, const std::vector<int64_t>& strides) {
    int64_t at = 0;
    for (size_t d = shape.size(); d-- > 0;) {
      at += i % shape[d] * strides[d];
      i /= shape[d];
    }
    return at;
  }
  Epilogue epilogue_;
  std::vector<int64_t> axes_;
  std::vector<bool> reduced_;
  Shape kept_shape_, inner_shape_;
  std::vector<int64_t> kept_strides_, inner_strides_;
  bool keep_ = true;
  int32_t zero_ = 0;
  float multiplier_ = 1;
};

}  // namespace

void add_pool_ops(OpTable& table) {
  table.push_back(entry<MaxPool>("MaxPool"));
  table.push_back(entry<AveragePool>("AveragePool"));
  table.push_back(entry<ReduceMean>("ReduceMean"));
}

}  // namespace qgraph
