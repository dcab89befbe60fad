// LayerNorm, GroupNorm, Softmax, LocalResponseNorm.
#include "ops/norm.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

class LayerNormKernel : public RowKernel {
 public:
  LayerNormKernel(const ops::LayerNorm& op, const OpSource&, const Workspace& workspace)
      : RowKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  int64_t rows(const Values& c) const override { return c.in[0]->size() / op_.n; }
  void compute_rows(const Context& c, int64_t begin, int64_t end, int) const override {
    const Tensor& x = *c.in[0];
    for (int64_t r = begin; r < end; ++r)
      c.kernels->layer_norm(x.as<uint8_t>() + static_cast<size_t>(r * op_.n) * byte_size(x.type), x.type, op_.n, op_.epsilon,
                            op_.gamma, op_.beta, epilogue_,
                            c.out[0]->as<uint8_t>() + static_cast<size_t>(r * op_.n) * byte_size(epilogue_.type));
  }

 private:
  const ops::LayerNorm& op_;
  Epilogue epilogue_;
};

class GroupNormKernel : public CpuKernel {
 public:
  GroupNormKernel(const ops::GroupNorm& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t positions = x.size() / std::max<int64_t>(1, x.shape[0] * op_.channels);
    const int64_t each = op_.channels / op_.groups, n = each * positions;
    if (x.size() == 0) return;
    c.pool->parallel(x.shape[0] * op_.groups, 1, [&](int64_t begin, int64_t end, int) {
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
        const float inv = static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(op_.epsilon)));
        for (int64_t ch = 0; ch < each; ++ch) {
          const int64_t channel = g % op_.groups * each + ch;
          float t[256];
          const float one = 1.0f;
          for (int64_t from = 0; from < positions; from += 256) {
            const int64_t m = std::min<int64_t>(256, positions - from), at = g * n + ch * positions + from;
            for (int64_t i = 0; i < m; ++i) {
              t[i] = (static_cast<float>(read_code(x, at + i)) - mean) * inv;
              t[i] = t[i] * op_.gamma[channel];
              t[i] = t[i] + op_.beta[channel];
            }
            c.kernels->requantize(t, DType::F32, 0, &one, 0, m, epilogue_,
                                  c.out[0]->as<uint8_t>() + static_cast<size_t>(at) * byte_size(epilogue_.type));
          }
        }
      }
    });
  }

 private:
  const ops::GroupNorm& op_;
  Epilogue epilogue_;
};

class SoftmaxKernel : public CpuKernel {
 public:
  SoftmaxKernel(const ops::Softmax& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  size_t prepare(const Values&) override { return static_cast<size_t>(round_up(op_.n, 16) * 8); }
  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    if (x.size() == 0) return;
    c.pool->parallel(x.size() / op_.n, std::max<int64_t>(1, 4096 / op_.n), [&](int64_t begin, int64_t end, int worker) {
      auto* t = reinterpret_cast<float*>(c.worker_scratch(worker));
      uint8_t* row = c.worker_scratch(worker) + round_up(op_.n, 16) * 4;
      for (int64_t r = begin; r < end; ++r) {
        const int64_t start = r / op_.inner * op_.inner * op_.n + r % op_.inner;
        for (int64_t i = 0; i < op_.n; ++i)
          t[i] = static_cast<float>(read_code(x, start + i * op_.inner) - op_.x_zero) * op_.scale;
        const bool u8 = epilogue_.type == DType::U8, i16 = epilogue_.type == DType::I16;
        c.kernels->softmax(t, op_.n, op_.qmax, u8 ? row : nullptr, i16 ? reinterpret_cast<int16_t*>(row) : nullptr,
                           u8 || i16 ? nullptr : reinterpret_cast<float*>(row));
        for (int64_t i = 0; i < op_.n; ++i) {
          const int64_t at = start + i * op_.inner;
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
  const ops::Softmax& op_;
  Epilogue epilogue_;
};

// The power is taken in double by one scalar routine for every instruction set.
class LocalResponseNormKernel : public CpuKernel {
 public:
  LocalResponseNormKernel(const ops::LocalResponseNorm& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    if (x.size() == 0) return;
    const int64_t channels = x.shape[1], positions = x.size() / (x.shape[0] * channels);
    c.pool->parallel(x.shape[0] * channels, 1, [&](int64_t begin, int64_t end, int) {
      const float one = 1.0f;
      for (int64_t r = begin; r < end; ++r) {
        const int64_t channel = r % channels;
        const int64_t first = std::max<int64_t>(0, channel - (op_.size - 1) / 2);
        const int64_t last = std::min<int64_t>(channels - 1, channel + op_.size / 2);
        for (int64_t p = 0; p < positions; ++p) {
          int64_t squares = 0;
          for (int64_t other = first; other <= last; ++other) {
            const int64_t v = read_code(x, (r - channel + other) * positions + p) - op_.x_zero;
            squares += v * v;
          }
          const double base = static_cast<double>(op_.bias) + static_cast<double>(op_.factor) * static_cast<double>(squares);
          const float gain = static_cast<float>(std::pow(base, -static_cast<double>(op_.beta)));
          const float t = (static_cast<float>(read_code(x, r * positions + p) - op_.x_zero) * op_.multiplier) * gain;
          c.kernels->requantize(&t, DType::F32, 0, &one, 0, 1, epilogue_,
                                c.out[0]->as<uint8_t>() + static_cast<size_t>(r * positions + p) * byte_size(epilogue_.type));
        }
      }
    });
  }

 private:
  const ops::LocalResponseNorm& op_;
  Epilogue epilogue_;
};

}  // namespace

void add_norm_kernels(KernelTable& table) {
  table.emplace_back("LayerNorm", make<LayerNormKernel, ops::LayerNorm>);
  table.emplace_back("GroupNorm", make<GroupNormKernel, ops::GroupNorm>);
  table.emplace_back("Softmax", make<SoftmaxKernel, ops::Softmax>);
  table.emplace_back("LocalResponseNorm", make<LocalResponseNormKernel, ops::LocalResponseNorm>);
}

}  // namespace qgraph::cpu
