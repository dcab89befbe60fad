#include "tooling/fake_quantize.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <vector>

#include "support/thread_pool.h"

#if defined(__x86_64__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

namespace qgraph {
namespace {

constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: rounds half to even what is smaller than 2^22
constexpr int64_t kRow = 4096;         // elements of a chunk of work

// One scale for n elements.
CLONES void forward_row(const float* x, float s, float low, float high, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    float t = x[i] / s;
    t = t > low ? t : low;
    t = t < high ? t : high;
    y[i] = ((t + kMagic) - kMagic) * s;
  }
}

// The same, and the least and the greatest of the n elements.
CLONES void watched_row(const float* x, float s, float low, float high, int64_t n, float* y, float* extremes) {
  float least[16], most[16];
  std::fill(least, least + 16, x[0]);
  std::fill(most, most + 16, x[0]);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t j = 0; j < 16; ++j) {
      const float v = x[i + j];
      least[j] = v < least[j] ? v : least[j];
      most[j] = v > most[j] ? v : most[j];
      float t = v / s;
      t = t > low ? t : low;
      t = t < high ? t : high;
      y[i + j] = ((t + kMagic) - kMagic) * s;
    }
  for (; i < n; ++i) {
    least[0] = std::min(least[0], x[i]);
    most[0] = std::max(most[0], x[i]);
    y[i] = ((std::min(std::max(x[i] / s, low), high) + kMagic) - kMagic) * s;
  }
  extremes[0] = *std::min_element(least, least + 16);
  extremes[1] = *std::max_element(most, most + 16);
}

// Codes of one token, its largest element becoming 127.
CLONES void token_row(const float* x, int64_t n, float* y) {
  float part[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t j = 0; j < 16; ++j) {
      const float v = x[i + j] < 0 ? -x[i + j] : x[i + j];
      part[j] = v > part[j] ? v : part[j];
    }
  for (; i < n; ++i) part[0] = std::max(part[0], std::abs(x[i]));
  const float peak = *std::max_element(part, part + 16), inverse = 127.0f / (peak == 0 ? 1.0f : peak), step = peak / 127.0f;
  for (i = 0; i < n; ++i) y[i] = ((x[i] * inverse + kMagic) - kMagic) * step;
}

// A scale and a zero point for each of n neighbours.
CLONES void forward_columns(const float* x, const float* s, const float* z, float qmin, float qmax, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    float t = x[i] / s[i];
    const float low = qmin - z[i], high = qmax - z[i];
    t = t > low ? t : low;
    t = t < high ? t : high;
    y[i] = ((t + kMagic) - kMagic) * s[i];
  }
}

CLONES float backward_row(const float* g, const float* x, float s, float low, float high, int64_t n, float* gx) {
  float sum = 0;
  float part[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t j = 0; j < 16; ++j) {
      const float t = x[i + j] / s;
      float c = t > low ? t : low;
      c = c < high ? c : high;
      const float inside = c == t ? 1.0f : 0.0f;
      c = (c + kMagic) - kMagic;
      gx[i + j] = g[i + j] * inside;
      part[j] += g[i + j] * (c - t * inside);
    }
  for (; i < n; ++i) {
    const float t = x[i] / s;
    float c = std::min(std::max(t, low), high);
    const float inside = c == t ? 1.0f : 0.0f;
    c = (c + kMagic) - kMagic;
    gx[i] = g[i] * inside;
    sum += g[i] * (c - t * inside);
  }
  for (float p : part) sum += p;
  return sum;
}

CLONES void backward_columns(const float* g, const float* x, const float* s, const float* z, float qmin, float qmax, int64_t n,
                             float* gx, float* gs) {
  for (int64_t i = 0; i < n; ++i) {
    const float low = qmin - z[i], high = qmax - z[i], t = x[i] / s[i];
    float c = t > low ? t : low;
    c = c < high ? c : high;
    const float inside = c == t ? 1.0f : 0.0f;
    c = (c + kMagic) - kMagic;
    gx[i] = g[i] * inside;
    gs[i] += g[i] * (c - t * inside);
  }
}

ThreadPool& pool(int threads) {
  static std::mutex mutex;
  static std::unique_ptr<ThreadPool> made;
  std::lock_guard lock(mutex);
  if (made == nullptr || made->size() != threads) made = std::make_unique<ThreadPool>(threads);
  return *made;
}

int64_t scale_index(const QuantizerShape& q, int64_t outer, int64_t axis) {
  if (q.block == 0) return q.axis_scales == 1 ? 0 : axis;
  return (outer * q.axis_scales + axis / q.block) * q.inner;
}

// Where the last axis carries the scales, one row of memory has a scale each; else a run of `inner` has one.
bool by_columns(const QuantizerShape& q) { return q.block == 0 ? q.inner == 1 && q.axis_scales > 1 : q.inner > 1; }

}  // namespace

void fake_quantize_tokens(const float* x, int64_t rows, int64_t n, float* y, int threads) {
  pool(threads).parallel(rows, std::max<int64_t>(1, kRow / std::max<int64_t>(n, 1)), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) token_row(x + r * n, n, y + r * n);
  });
}

void fake_quantize(const float* x, const float* scale, const float* zero, const QuantizerShape& q, float qmin, float qmax,
                   float* y, float* extremes, int threads) {
  if (q.block == 0 && q.axis_scales == 1) {
    const int64_t n = q.outer * q.axis * q.inner, rows = (n + kRow - 1) / kRow;
    if (extremes != nullptr) {
      std::vector<float> found(static_cast<size_t>(2 * rows));
      pool(threads).parallel(rows, 4, [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r)
          watched_row(x + r * kRow, scale[0], qmin - zero[0], qmax - zero[0], std::min(n, (r + 1) * kRow) - r * kRow,
                      y + r * kRow, found.data() + 2 * r);
      });
      extremes[0] = found[0];
      extremes[1] = found[1];
      for (int64_t r = 0; r < rows; ++r) {
        extremes[0] = std::min(extremes[0], found[static_cast<size_t>(2 * r)]);
        extremes[1] = std::max(extremes[1], found[static_cast<size_t>(2 * r + 1)]);
      }
      return;
    }
    pool(threads).parallel(rows, 4, [&](int64_t begin, int64_t end, int) {
      const int64_t from = begin * kRow, to = std::min(n, end * kRow);
      forward_row(x + from, scale[0], qmin - zero[0], qmax - zero[0], to - from, y + from);
    });
    return;
  }
  if (q.block == 0 && q.inner == 1) {
    pool(threads).parallel(q.outer, std::max<int64_t>(1, kRow / q.axis), [&](int64_t begin, int64_t end, int) {
      for (int64_t o = begin; o < end; ++o) forward_columns(x + o * q.axis, scale, zero, qmin, qmax, q.axis, y + o * q.axis);
    });
    return;
  }
  pool(threads).parallel(q.outer * q.axis, std::max<int64_t>(1, kRow / q.inner), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = scale_index(q, r / q.axis, r % q.axis), from = r * q.inner;
      if (by_columns(q))
        forward_columns(x + from, scale + at, zero + at, qmin, qmax, q.inner, y + from);
      else
        forward_row(x + from, scale[at], qmin - zero[at], qmax - zero[at], q.inner, y + from);
    }
  });
}

void fake_quantize_backward(const float* grad, const float* x, const float* scale, const float* zero, const QuantizerShape& q,
                            float qmin, float qmax, float* grad_x, float* grad_scale, int threads) {
  const int64_t scales = q.scales();
  if (q.block == 0 && q.axis_scales == 1) {
    const int64_t n = q.outer * q.axis * q.inner, rows = (n + kRow - 1) / kRow;
    std::vector<float> sums(static_cast<size_t>(rows));
    pool(threads).parallel(rows, 4, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t from = r * kRow, to = std::min(n, from + kRow);
        sums[static_cast<size_t>(r)] =
            backward_row(grad + from, x + from, scale[0], qmin - zero[0], qmax - zero[0], to - from, grad_x + from);
      }
    });
    double total = 0;
    for (float s : sums) total += static_cast<double>(s);
    grad_scale[0] = static_cast<float>(total);
    return;
  }
  // chunks of a fixed size, so that the order of the sums does not depend on the threads
  const bool columns = q.block == 0 && q.inner == 1;
  const int64_t rows = columns ? q.outer : q.outer * q.axis, length = columns ? q.axis : q.inner;
  const int64_t chunk = q.block != 0 ? q.block : std::max<int64_t>(1, 16 * kRow / std::max<int64_t>(1, length));
  const int64_t chunks = (rows + chunk - 1) / chunk;
  const int64_t kept = columns ? q.axis : 1;
  std::vector<float> sums(columns ? static_cast<size_t>(chunks * kept) : static_cast<size_t>(q.block == 0 ? rows : 0));
  std::fill(grad_scale, grad_scale + scales, 0.0f);
  // a block's rows lie behind each other along the axis; chunks must not cut one
  const int64_t groups = q.block == 0 ? chunks : q.outer * q.axis_scales;
  pool(threads).parallel(groups, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      int64_t first = p * chunk, last = std::min(rows, first + chunk);
      if (q.block != 0) {
        first = p / q.axis_scales * q.axis + p % q.axis_scales * q.block;
        last = std::min((p / q.axis_scales + 1) * q.axis, first + q.block);
      }
      for (int64_t r = first; r < last; ++r) {
        const int64_t from = r * length;
        if (columns) {
          backward_columns(grad + from, x + from, scale, zero, qmin, qmax, length, grad_x + from, sums.data() + p * kept);
          continue;
        }
        const int64_t at = scale_index(q, r / q.axis, r % q.axis);
        if (q.block != 0 && q.inner > 1) {
          backward_columns(grad + from, x + from, scale + at, zero + at, qmin, qmax, length, grad_x + from, grad_scale + at);
          continue;
        }
        const float sum = backward_row(grad + from, x + from, scale[at], qmin - zero[at], qmax - zero[at], length, grad_x + from);
        if (q.block != 0)
          grad_scale[at] += sum;
        else
          sums[static_cast<size_t>(r)] = sum;
      }
    }
  });
  if (q.block != 0) return;
  std::vector<double> totals(static_cast<size_t>(scales));
  if (columns) {
    for (int64_t p = 0; p < chunks; ++p)
      for (int64_t c = 0; c < kept; ++c)
        totals[static_cast<size_t>(c)] += static_cast<double>(sums[static_cast<size_t>(p * kept + c)]);
  } else {
    for (int64_t r = 0; r < rows; ++r)
      totals[static_cast<size_t>(r % q.axis)] += static_cast<double>(sums[static_cast<size_t>(r)]);
  }
  for (int64_t c = 0; c < scales; ++c) grad_scale[c] = static_cast<float>(totals[static_cast<size_t>(c)]);
}

}  // namespace qgraph
