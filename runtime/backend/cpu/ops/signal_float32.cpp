// Fourier transforms and what goes with them.
#include "ops/signal_float32.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/wide_functions.h"

namespace qgraph::cpu {
namespace {

/// Transforms of several signals at a time, one in each lane: element i of part p of signal s is at [p][i][s].
class FourierKernel : public CpuKernel {
 public:
  FourierKernel(const ops::Fourier& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values&) override {
    if (static_cast<int64_t>(cos_.size()) != op_.n) {
      cos_.resize(static_cast<size_t>(op_.n));
      sin_.resize(static_cast<size_t>(op_.n));
      for (int64_t j = 0; j < op_.n; ++j) {
        const double angle = 6.283185307179586 * static_cast<double>(j) / static_cast<double>(op_.n);
        const double sine = sine_of(angle, 0);
        cos_[static_cast<size_t>(j)] = sine_of(angle, 1);
        sin_[static_cast<size_t>(j)] = op_.inverse ? sine : -sine;
      }
    }
    const int64_t signals = op_.in_split.outer * op_.frame_count * op_.in_split.inner;
    lanes_ = signals >= 4 && op_.n <= 1 << 14 ? 8 : 1;
    return static_cast<size_t>(round_up(op_.n * 6 * 8 * lanes_, 64));
  }

  void compute(const Context& c) override { lanes_ == 8 ? all<8>(c) : all<1>(c); }

 private:
  template <int kLanes>
  void all(const Context& c) const {
    const int64_t signals = op_.in_split.outer * op_.frame_count * op_.in_split.inner;
    const int64_t batches = (signals + kLanes - 1) / kLanes;
    c.pool->parallel(batches, 4096 / (op_.n * kLanes), [&](int64_t begin, int64_t end, int worker) {
      auto* x = reinterpret_cast<double*>(c.worker_scratch(worker));
      double *y = x + 2 * op_.n * kLanes, *other = y + 2 * op_.n * kLanes;
      for (int64_t b = begin; b < end; ++b) {
        const int64_t count = std::min<int64_t>(kLanes, signals - b * kLanes);
        std::fill(x, x + 2 * op_.n * kLanes, 0.0);
        for (int64_t s = 0; s < count; ++s) load<kLanes>(c, b * kLanes + s, x + s);
        transform<kLanes>(x, 1, op_.n, 1, y, other);
        for (int64_t s = 0; s < count; ++s) store<kLanes>(c, b * kLanes + s, y + s);
      }
    });
  }

  /// F of x, every `stride`-th of its elements, n in all; w is every `step`-th of the table. `other` is scratch.
  template <int kLanes>
  void transform(const double* x, int64_t stride, int64_t n, int64_t step, double* y, double* other) const {
    const int64_t part = op_.n * kLanes;
    if (n == 1) {
      std::copy(x, x + kLanes, y);
      std::copy(x + part, x + part + kLanes, y + part);
      return;
    }
    int64_t p = 2;
    while (n % p != 0) p = p * p > n ? n : p + 1;
    const int64_t m = n / p;
    for (int64_t r = 0; r < p; ++r)
      transform<kLanes>(x + r * stride * kLanes, stride * p, m, step * p, other + r * m * kLanes, y + r * m * kLanes);
    for (int64_t k = 0; k < n; ++k) {
      double a[kLanes] = {}, b[kLanes] = {};
      const double* first = other + k % m * kLanes;
      std::copy(first, first + kLanes, a);
      std::copy(first + part, first + part + kLanes, b);
      for (int64_t r = 1, turn = k; r < p; ++r, turn = turn + k < n ? turn + k : turn + k - n) {
        const double c = cos_[static_cast<size_t>(turn * step)], d = sin_[static_cast<size_t>(turn * step)];
        const double *u = first + r * m * kLanes, *v = u + part;
        for (int s = 0; s < kLanes; ++s) {
          a[s] = a[s] + (c * u[s] - d * v[s]);
          b[s] = b[s] + (c * v[s] + d * u[s]);
        }
      }
      std::copy(a, a + kLanes, y + k * kLanes);
      std::copy(b, b + kLanes, y + part + k * kLanes);
    }
  }

  template <int kLanes>
  void load(const Context& c, int64_t signal, double* x) const {
    const AxisSplit& s = op_.in_split;
    const int64_t parts = c.in[0]->shape.back(), inner = signal % s.inner, frame = signal / s.inner % op_.frame_count,
                  outer = signal / s.inner / op_.frame_count;
    const float* from = c.in[0]->as<float>() + ((outer * s.length + frame * op_.frame_step) * s.inner + inner) * parts;
    const float* window = op_.frames && c.given(2) ? c.in[2]->as<float>() : nullptr;
    double* imaginary = x + op_.n * kLanes;
    for (int64_t i = 0; i < op_.given; ++i) {
      const double w = window == nullptr ? 1.0 : window[i];
      x[i * kLanes] = from[i * s.inner * parts] * w;
      if (parts == 2) imaginary[i * kLanes] = from[i * s.inner * parts + 1] * w;
    }
    if (!(op_.inverse && op_.onesided)) return;
    for (int64_t i = op_.n / 2 + 1; i < op_.n; ++i) {
      x[i * kLanes] = x[(op_.n - i) * kLanes];
      imaginary[i * kLanes] = -imaginary[(op_.n - i) * kLanes];
    }
  }

  template <int kLanes>
  void store(const Context& c, int64_t signal, const double* y) const {
    const int64_t parts = c.out[0]->shape.back(), inner = op_.in_split.inner;
    float* to = c.out[0]->as<float>() + (signal / inner * op_.results * inner + signal % inner) * parts;
    const double* imaginary = y + op_.n * kLanes;
    const double n = op_.inverse ? static_cast<double>(op_.n) : 1.0;
    for (int64_t i = 0; i < op_.results; ++i) {
      to[i * inner * parts] = static_cast<float>(y[i * kLanes] / n);
      if (parts == 2) to[i * inner * parts + 1] = static_cast<float>(imaginary[i * kLanes] / n);
    }
  }

  const ops::Fourier& op_;
  std::vector<double> cos_, sin_;  // w
  int lanes_ = 1;
};

class MelWeightMatrixKernel : public CpuKernel {
 public:
  MelWeightMatrixKernel(const ops::MelWeightMatrix& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values&) override { return 0; }
  void compute(const Context& c) override {
    constexpr double kLog10 = 2.302585092994046;
    const auto mel = [&](size_t i) { return 2595 * log_of(1 + static_cast<double>(*c.in[i]->as<float>()) / 700) / kLog10; };
    const double rate = c.in[2]->type == DType::I64 ? static_cast<double>(*c.in[2]->as<int64_t>()) : *c.in[2]->as<int32_t>();
    const double low = mel(3), step = (mel(4) - low) / static_cast<double>(op_.bins + 2);
    const auto edge = [&](int64_t i) {
      const double hertz = 700 * (exp_of((static_cast<double>(i) * step + low) / 2595 * kLog10) - 1);
      return std::floor(static_cast<double>(op_.length + 1) * hertz / rate);
    };
    float* y = c.out[0]->as<float>();
    double first = edge(0), middle = edge(1);
    for (int64_t i = 0; i < op_.bins; ++i) {
      const double last = edge(i + 2);
      for (int64_t row = 0; row <= op_.length / 2; ++row) {
        const auto j = static_cast<double>(row);
        double made = 0;
        if (first == middle && first == j)
          made = 1;
        else if (first <= j && j <= middle)
          made = (j - first) / (middle - first);
        if (middle <= j && j < last) made = (last - j) / (last - middle);
        y[row * op_.bins + i] = static_cast<float>(made);
      }
      first = middle;
      middle = last;
    }
  }

 private:
  const ops::MelWeightMatrix& op_;
};

class BitCastKernel : public CpuKernel {
 public:
  BitCastKernel(const ops::BitCast&, const OpSource&, const Workspace& workspace) : CpuKernel(workspace) {}

  void compute(const Context& c) override { std::memcpy(c.out[0]->data, c.in[0]->data, bytes_of(*c.in[0])); }
};

}  // namespace

void add_signal_float32_kernels(KernelTable& table) {
  for (const char* kind : {"DFT", "STFT"}) table.emplace_back(kind, make<FourierKernel, ops::Fourier>);
  table.emplace_back("MelWeightMatrix", make<MelWeightMatrixKernel, ops::MelWeightMatrix>);
  table.emplace_back("BitCast", make<BitCastKernel, ops::BitCast>);
}

}  // namespace qgraph::cpu
