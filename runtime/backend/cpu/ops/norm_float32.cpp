// Normalisations and softmax of float32.
#include "ops/norm_float32.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/isa/ordered_sum.h"
#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

constexpr int64_t kGrain = 4096;  // elements that are worth handing to another thread

/// Parts of `each` elements that are worth handing to another thread.
int64_t parts(int64_t each) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, each)); }

// Call f(outer, column, columns) for blocks of the columns behind an axis.
template <typename F>
void each_block(ThreadPool& pool, const AxisSplit& split, F&& f) {
  const int64_t blocks = (split.inner + kSumColumns - 1) / kSumColumns;
  pool.parallel(split.outer * blocks, parts(split.length * std::min(split.inner, kSumColumns)),
                [&](int64_t begin, int64_t end, int worker) {
                  for (int64_t i = begin; i < end; ++i) {
                    const int64_t column = i % blocks * kSumColumns;
                    f(i / blocks, column, std::min(kSumColumns, split.inner - column), worker);
                  }
                });
}

class SoftmaxKernel : public CpuKernel {
 public:
  SoftmaxKernel(const ops::FloatSoftmax& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), shares_(op.kind() == "LogSoftmax" ? Shares::LogSoftmax : Shares::Softmax) {}

  size_t prepare(const Values&) override { return 3 * kSumColumns * sizeof(double); }
  int64_t rows(const Values&) const override { return op_.split.inner == 1 ? op_.split.outer : 0; }
  void compute_rows(const Context& c, int64_t begin, int64_t end, int) const override {
    const int64_t n = op_.split.length;
    for (int64_t r = begin; r < end; ++r)
      c.kernels->float32->shares(shares_, c.in[0]->as<float>() + r * n, n, c.out[0]->as<float>() + r * n);
  }
  void compute(const Context& c) override {
    const AxisSplit& split = op_.split;
    if (c.in[0]->size() == 0) return;
    if (split.inner == 1)
      return c.pool->parallel(split.outer, parts(split.length),
                              [&](int64_t begin, int64_t end, int worker) { compute_rows(c, begin, end, worker); });
    each_block(*c.pool, split, [&](int64_t outer, int64_t column, int64_t columns, int worker) {
      const int64_t at = outer * split.length * split.inner + column;
      c.kernels->float32->column_shares(shares_, c.in[0]->as<float>() + at, split.length, split.inner, columns,
                                        c.out[0]->as<float>() + at, reinterpret_cast<double*>(c.worker_scratch(worker)));
    });
  }

 private:
  const ops::FloatSoftmax& op_;
  Shares shares_;
};

class HardmaxKernel : public CpuKernel {
 public:
  HardmaxKernel(const ops::FloatSoftmax& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const AxisSplit& split = op_.split;
    if (c.in[0]->size() == 0) return;
    c.pool->parallel(split.outer * split.inner, parts(split.length), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = i / split.inner * split.length * split.inner + i % split.inner;
        const float* x = c.in[0]->as<float>() + at;
        float* y = c.out[0]->as<float>() + at;
        int64_t best = 0;
        for (int64_t k = 1; k < split.length; ++k)
          if (x[k * split.inner] > x[best * split.inner]) best = k;
        for (int64_t k = 0; k < split.length; ++k) y[k * split.inner] = k == best ? 1.0f : 0.0f;
      }
    });
  }

 private:
  const ops::FloatSoftmax& op_;
};

class RowNormalizationKernel : public CpuKernel {
 public:
  RowNormalizationKernel(const ops::RowNormalization& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values& v) override {
    rows_ = op_.n == 0 ? 0 : v.in[0]->size() / op_.n;
    alone_ = false;  // whether its parameters may come from its neighbours
    for (size_t i = 1; i < v.in.size(); ++i) alone_ = alone_ || (v.in[i] != nullptr && !v.in[i]->known);
    return 0;
  }
  int64_t rows(const Values&) const override { return alone_ ? 0 : rows_; }
  void compute(const Context& c) override {
    c.pool->parallel(rows_, parts(op_.n), [&](int64_t begin, int64_t end, int worker) { compute_rows(c, begin, end, worker); });
  }
  void compute_rows(const Context& c, int64_t begin, int64_t end, int) const override {
    const auto *scale = c.in[1]->as<float>(), *bias = c.given(2) ? c.in[2]->as<float>() : nullptr;
    for (int64_t r = begin; r < end; ++r) {
      const float* x = c.in[0]->as<float>() + r * op_.n;
      float mean = 0, inverse = 0;
      if (op_.centred)
        c.kernels->float32->moments(x, op_.n, op_.epsilon, &mean, &inverse);
      else
        inverse = static_cast<float>(
            1.0 / std::sqrt(c.kernels->float32->sum(SumOf::Squares, x, op_.n) / static_cast<double>(op_.n) + op_.epsilon));
      c.kernels->float32->normalize(x, op_.n, &mean, &inverse, 0, scale, bias, op_.each ? 1 : 0,
                                    c.out[0]->as<float>() + r * op_.n);
      if (c.out.size() > 1) c.out[1]->as<float>()[r] = mean;
      if (c.out.size() > 2) c.out[2]->as<float>()[r] = inverse;
    }
  }

 private:
  const ops::RowNormalization& op_;
  int64_t rows_ = 0;
  bool alone_ = false;
};

class GroupNormalizationKernel : public CpuKernel {
 public:
  GroupNormalizationKernel(const ops::GroupNormalization& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    if (x.size() == 0) return;
    const int64_t channels = x.shape[1], groups = op_.groups == 0 ? channels : op_.groups, each = channels / groups;
    const int64_t positions = x.size() / (x.shape[0] * channels), n = each * positions;
    c.pool->parallel(x.shape[0] * groups, parts(n), [&](int64_t begin, int64_t end, int) {
      for (int64_t g = begin; g < end; ++g) {
        float mean, inverse;
        c.kernels->float32->moments(x.as<float>() + g * n, n, op_.epsilon, &mean, &inverse);
        for (int64_t i = 0; i < each; ++i) {
          const int64_t at = g * n + i * positions, channel = g % groups * each + i;
          c.kernels->float32->normalize(x.as<float>() + at, positions, &mean, &inverse, 0, c.in[1]->as<float>() + channel,
                                        c.in[2]->as<float>() + channel, 0, c.out[0]->as<float>() + at);
        }
      }
    });
  }

 private:
  const ops::GroupNormalization& op_;
};

class BatchNormalizationKernel : public CpuKernel {
 public:
  BatchNormalizationKernel(const ops::BatchNormalization& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values& v) override { return static_cast<size_t>(v.in[1]->size()) * sizeof(float); }
  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    if (x.size() == 0) return;
    const int64_t channels = c.in[1]->size(), batch = x.shape[0], positions = x.size() / (batch * channels);
    auto* inverse = reinterpret_cast<float*>(c.worker_scratch(0));
    for (int64_t i = 0; i < channels; ++i)
      inverse[i] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.in[4]->as<float>()[i]) + op_.epsilon));
    const auto part = [&](int64_t at, int64_t channel, int64_t n, int64_t step) {
      c.kernels->float32->normalize(x.as<float>() + at, n, c.in[3]->as<float>() + channel, inverse + channel, step,
                                    c.in[1]->as<float>() + channel, c.in[2]->as<float>() + channel, step,
                                    c.out[0]->as<float>() + at);
    };
    if (positions == 1)
      c.pool->parallel(batch, parts(channels), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) part(r * channels, 0, channels, 1);
      });
    else
      c.pool->parallel(batch * channels, parts(positions), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) part(r * positions, r % channels, positions, 0);
      });
  }

 private:
  const ops::BatchNormalization& op_;
};

class ResponseNormalizationKernel : public CpuKernel {
 public:
  ResponseNormalizationKernel(const ops::ResponseNormalization& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    if (x.size() == 0) return;
    const int64_t channels = x.shape[1], positions = x.size() / (x.shape[0] * channels);
    c.pool->parallel(x.shape[0] * channels, parts(positions), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t channel = r % channels;
        c.kernels->float32->response_norm(x.as<float>() + r * positions, positions, positions,
                                          -std::min(channel, (op_.size - 1) / 2), std::min(channels - 1 - channel, op_.size / 2),
                                          op_.factor, op_.bias, op_.beta, c.out[0]->as<float>() + r * positions);
      }
    });
  }

 private:
  const ops::ResponseNormalization& op_;
};

class LpNormalizationKernel : public CpuKernel {
 public:
  LpNormalizationKernel(const ops::LpNormalization& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const AxisSplit& split = op_.split;
    const SumOf of = op_.squares ? SumOf::Squares : SumOf::Magnitudes;
    const Float32Kernels& f = *c.kernels->float32;
    if (c.in[0]->size() == 0) return;
    each_block(*c.pool, split, [&](int64_t outer, int64_t column, int64_t columns, int) {
      const int64_t at = outer * split.length * split.inner + column;
      const float* x = c.in[0]->as<float>() + at;
      float* y = c.out[0]->as<float>() + at;
      double sums[kSumColumns];
      float divisors[kSumColumns];
      if (split.inner == 1)
        sums[0] = f.sum(of, x, split.length);
      else
        f.column_sums(of, x, split.length, split.inner, columns, sums);
      for (int64_t i = 0; i < columns; ++i) {
        divisors[i] = static_cast<float>(op_.squares ? std::sqrt(sums[i]) : sums[i]);
        if (divisors[i] == 0) divisors[i] = 1;
      }
      if (split.inner == 1) return f.pair(Pair::Div, x, 1, divisors, 0, split.length, y);
      for (int64_t i = 0; i < split.length; ++i)
        f.pair(Pair::Div, x + i * split.inner, 1, divisors, 1, columns, y + i * split.inner);
    });
  }

 private:
  const ops::LpNormalization& op_;
};

class MeanVarianceNormalizationKernel : public CpuKernel {
 public:
  MeanVarianceNormalizationKernel(const ops::MeanVarianceNormalization& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values& v) override {
    const Shape& shape = v.in[0]->shape;
    starts_ = offsets(shape, op_.kept);
    offsets_ = offsets(shape, op_.axes);
    return 0;
  }
  void compute(const Context& c) override {
    const auto n = static_cast<int64_t>(offsets_.size());
    c.pool->parallel(static_cast<int64_t>(starts_.size()), parts(n), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t start = starts_[static_cast<size_t>(r)];
        const float* x = c.in[0]->as<float>() + start;
        float* y = c.out[0]->as<float>() + start;
        const int64_t* at = offsets_.data();
        const double count = static_cast<double>(n);
        const double middle = ordered_sum(n, [=](int64_t i) { return static_cast<double>(x[at[i]]); }) / count;
        const double squares = ordered_sum(n, [=](int64_t i) {
          const double d = static_cast<double>(x[at[i]]) - middle;
          return d * d;
        });
        const auto mean = static_cast<float>(middle), divisor = static_cast<float>(std::sqrt(squares / count) + 1e-9);
        for (int64_t i = 0; i < n; ++i) y[at[i]] = (x[at[i]] - mean) / divisor;
      }
    });
  }

 private:
  // Of all elements of some axes, in order.
  static std::vector<int64_t> offsets(const Shape& shape, const Shape& axes) {
    const auto strides = strides_of(shape);
    std::vector<int64_t> all{0};
    for (const int64_t axis : axes) {
      std::vector<int64_t> more;
      for (const int64_t before : all)
        for (int64_t i = 0; i < shape[static_cast<size_t>(axis)]; ++i)
          more.push_back(before + i * strides[static_cast<size_t>(axis)]);
      all = std::move(more);
    }
    return all;
  }

  const ops::MeanVarianceNormalization& op_;
  std::vector<int64_t> starts_, offsets_;  // of the first element of each, and of the others from it
};

}  // namespace

void add_norm_float32_kernels(KernelTable& table) {
  for (const char* kind : {"ai.onnx.Softmax", "LogSoftmax"}) table.emplace_back(kind, make<SoftmaxKernel, ops::FloatSoftmax>);
  table.emplace_back("Hardmax", make<HardmaxKernel, ops::FloatSoftmax>);
  for (const char* kind : {"LayerNormalization", "RMSNormalization"})
    table.emplace_back(kind, make<RowNormalizationKernel, ops::RowNormalization>);
  for (const char* kind : {"GroupNormalization", "InstanceNormalization"})
    table.emplace_back(kind, make<GroupNormalizationKernel, ops::GroupNormalization>);
  table.emplace_back("BatchNormalization", make<BatchNormalizationKernel, ops::BatchNormalization>);
  table.emplace_back("LRN", make<ResponseNormalizationKernel, ops::ResponseNormalization>);
  table.emplace_back("LpNormalization", make<LpNormalizationKernel, ops::LpNormalization>);
  table.emplace_back("MeanVarianceNormalization", make<MeanVarianceNormalizationKernel, ops::MeanVarianceNormalization>);
}

}  // namespace qgraph::cpu
