// LayerNorm (last axes), GroupNorm (InstanceNorm is one group a channel), Softmax, LocalResponseNorm.
#include <algorithm>
#include <cmath>

#include "ops/op.h"

namespace qgraph {
namespace {

// Inputs: x, gamma, beta (float32, already divided by the output's scale). epsilon is divided by the input scale squared.
class LayerNorm : public RowOp {
 public:
  explicit LayerNorm(const OpSource& s) : RowOp(s.info), epilogue_(output_epilogue(s)), epsilon_(s.attributes.number("epsilon")) {
    gamma_ = reinterpret_cast<const float*>(s.constant(1, DType::F32).data);
    n_ = elements(s.input(1).shape);
    beta_ = reinterpret_cast<const float*>(s.constant(2, DType::F32, n_).data);
    require(n_ > 0 && n_ <= (1 << 20) && epsilon_ >= 0, "bad parameters");
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16});
    int64_t tail = 1;
    size_t i = x.shape.size();
    while (i > 0 && tail < n_) tail *= x.shape[--i];
    require(tail == n_ || x.size() == 0, "gamma does not fit the last axes");
    out(c).shape = x.shape;
  }
  int64_t rows(const Context& c) const override { return c.in[0]->size() / n_; }
  void run_rows(Context& c, int64_t begin, int64_t end, int) override {
    const Tensor& x = *c.in[0];
    for (int64_t r = begin; r < end; ++r)
      c.kernels->layer_norm(x.as<uint8_t>() + static_cast<size_t>(r * n_) * byte_size(x.type), x.type, n_, epsilon_, gamma_,
                            beta_, epilogue_, c.out[0]->as<uint8_t>() + static_cast<size_t>(r * n_) * byte_size(epilogue_.type));
  }

 private:
  Epilogue epilogue_;
  float epsilon_;
  const float *gamma_, *beta_;
  int64_t n_;
};

// Inputs: x [batch, channels, ...], gamma, beta (one a channel). Statistics over a group's channels and positions.
class GroupNorm : public Op {
 public:
  explicit GroupNorm(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)), epsilon_(s.attributes.number("epsilon")) {
    gamma_ = reinterpret_cast<const float*>(s.constant(1, DType::F32).data);
    channels_ = elements(s.input(1).shape);
    beta_ = reinterpret_cast<const float*>(s.constant(2, DType::F32, channels_).data);
    groups_ = s.attributes.integer("groups", 1, 1, 1 << 24);
    require(channels_ > 0 && channels_ % groups_ == 0 && epsilon_ >= 0, "bad parameters");
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16});
    require(x.rank() >= 2 && x.shape[1] == channels_, "the channels do not fit");
    out(c).shape = x.shape;
  }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t positions = x.size() / std::max<int64_t>(1, x.shape[0] * channels_);
    const int64_t each = channels_ / groups_, n = each * positions;
    if (x.size() == 0) return;
    c.pool->parallel(x.shape[0] * groups_, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t g = begin; g < end; ++g) {
        int64_t sum = 0, squares = 0;
        for (int64_t i = 0; i < n; ++i) {
          const int64_t v = read_code(x, g * n + i);
          sum += v;
          squares += v * v;
        }
        const __int128 spread = static_cast<__int128>(n) * squares - static_cast<__int128>(sum) * sum;
        const double count = static_cast<double>(n), variance = static_cast<double>(spread) / (count * count);
        const float mean = static_cast<float>(static_cast<double>(sum) / count);
        const float inv = static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(epsilon_)));
        for (int64_t ch = 0; ch < each; ++ch) {
          const int64_t channel = g % groups_ * each + ch;
          float t[256];
          const float one = 1.0f;
          for (int64_t from = 0; from < positions; from += 256) {
            const int64_t m = std::min<int64_t>(256, positions - from), at = g * n + ch * positions + from;
            for (int64_t i = 0; i < m; ++i) {
              t[i] = (static_cast<float>(read_code(x, at + i)) - mean) * inv;
              t[i] = t[i] * gamma_[channel];
              t[i] = t[i] + beta_[channel];
            }
            c.kernels->requantize(t, DType::F32, 0, &one, 0, m, epilogue_,
                                  c.out[0]->as<uint8_t>() + static_cast<size_t>(at) * byte_size(epilogue_.type));
          }
        }
      }
    });
  }

 private:
  Epilogue epilogue_;
  float epsilon_;
  const float *gamma_, *beta_;
  int64_t channels_, groups_;
};

// Softmax over one axis; output uint8 or int16 codes of scale 1 / top, or float32.
class Softmax : public Op {
 public:
  explicit Softmax(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)) {
    scale_ = s.attributes.number("scale");
    top_ = s.attributes.number("top", 255.0f);
    axis_ = s.attributes.integer("axis", -1, -kMaxRank, kMaxRank - 1);
    zero_ = static_cast<int32_t>(s.attributes.integer("x_zero", 0, -32768, 32767));
    require(top_ > 0, "bad output scale");
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16});
    require(axis_ >= -x.rank() && axis_ < x.rank(), "the axis is out of range");
    out(c).shape = x.shape;
    const size_t axis = static_cast<size_t>(axis_ < 0 ? axis_ + x.rank() : axis_);
    n_ = x.shape[axis];
    inner_ = strides_of(x.shape)[axis];
  }
  size_t scratch(const Context&) const override { return static_cast<size_t>(round_up(n_, 16) * 8); }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    if (x.size() == 0) return;
    c.pool->parallel(x.size() / n_, std::max<int64_t>(1, 4096 / n_), [&](int64_t begin, int64_t end, int worker) {
      auto* t = reinterpret_cast<float*>(c.worker_scratch(worker));
      uint8_t* row = c.worker_scratch(worker) + round_up(n_, 16) * 4;
      for (int64_t r = begin; r < end; ++r) {
        const int64_t start = r / inner_ * inner_ * n_ + r % inner_;
        for (int64_t i = 0; i < n_; ++i) t[i] = static_cast<float>(read_code(x, start + i * inner_) - zero_) * scale_;
        const bool u8 = epilogue_.type == DType::U8, i16 = epilogue_.type == DType::I16;
        c.kernels->softmax(t, n_, top_, u8 ? row : nullptr, i16 ? reinterpret_cast<int16_t*>(row) : nullptr,
                           u8 || i16 ? nullptr : reinterpret_cast<float*>(row));
        for (int64_t i = 0; i < n_; ++i) {
          const int64_t at = start + i * inner_;
          if (u8)
            c.out[0]->as<uint8_t>()[at] = row[i];
          else if (i16)
            c.out[0]->as<int16_t>()[at] = reinterpret_cast<int16_t*>(row)[i];
          else
            c.out[0]->as<float>()[at] = reinterpret_cast<float*>(row)[i];
        }
      }
    });
  }

 private:
  Epilogue epilogue_;
  float scale_ = 1, top_ = 255;
  int64_t axis_ = -1, n_ = 0, inner_ = 1;
  int32_t zero_ = 0;
};

// y = x / (bias + alpha / size * sum of squares over neighbouring channels) ^ beta. The sum is over integers; the power
// is taken in double by one scalar routine for every instruction set.
class LocalResponseNorm : public Op {
 public:
  explicit LocalResponseNorm(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)) {
    const Attributes& a = s.attributes;
    size_ = a.integer("size", 1, 1, 1 << 16);
    zero_ = static_cast<int32_t>(a.integer("x_zero", 0, -32768, 32767));
    factor_ = a.number("factor");  // alpha / size * scale^2
    bias_ = a.number("bias");
    beta_ = a.number("beta");
    multiplier_ = a.number("multiplier");  // input scale / output scale
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16});
    require(x.rank() >= 2, "the input needs channels");
    out(c).shape = x.shape;
  }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    if (x.size() == 0) return;
    const int64_t channels = x.shape[1], positions = x.size() / (x.shape[0] * channels);
    c.pool->parallel(x.shape[0] * channels, 1, [&](int64_t begin, int64_t end, int) {
      const float one = 1.0f;
      for (int64_t r = begin; r < end; ++r) {
        const int64_t channel = r % channels;
        const int64_t first = std::max<int64_t>(0, channel - (size_ - 1) / 2);
        const int64_t last = std::min<int64_t>(channels - 1, channel + size_ / 2);
        for (int64_t p = 0; p < positions; ++p) {
          int64_t squares = 0;
          for (int64_t other = first; other <= last; ++other) {
            const int64_t v = read_code(x, (r - channel + other) * positions + p) - zero_;
            squares += v * v;
          }
          const double base = static_cast<double>(bias_) + static_cast<double>(factor_) * static_cast<double>(squares);
          const float gain = static_cast<float>(std::pow(base, -static_cast<double>(beta_)));
          const float t = (static_cast<float>(read_code(x, r * positions + p) - zero_) * multiplier_) * gain;
          c.kernels->requantize(&t, DType::F32, 0, &one, 0, 1, epilogue_,
                                c.out[0]->as<uint8_t>() + static_cast<size_t>(r * positions + p) * byte_size(epilogue_.type));
        }
      }
    });
  }

 private:
  Epilogue epilogue_;
  int64_t size_ = 1;
  int32_t zero_ = 0;
  float factor_ = 0, bias_ = 1, beta_ = 0.75f, multiplier_ = 1;
};

}  // namespace

void add_norm_ops(OpTable& table) {
  table.push_back(entry<LayerNorm>("LayerNorm"));
  table.push_back(entry<GroupNorm>("GroupNorm"));
  table.push_back(entry<Softmax>("Softmax"));
  table.push_back(entry<LocalResponseNorm>("LocalResponseNorm"));
}

}  // namespace qgraph
