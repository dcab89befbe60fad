// Plain C++ in the form that compilers vectorise: for CPUs without kernels of their own.
#include <algorithm>

#include "backend/cpu/isa/gemm.h"

namespace qgraph::portable {
namespace {

template <int R, int Bits>
void tile(const uint8_t* a, int64_t lda, const int8_t* panel, int64_t k, int32_t* acc, int64_t ldc, int64_t columns,
          const Levels& levels) {
  int32_t sum[R][kPanel] = {};
  for (int64_t d = 0; d < k; panel += kPanel * kDepth) {
    for (int s = 0; s < 8 / Bits && d < k; ++s, d += kDepth) {
      int8_t wide[kPanel * kDepth];
      for (int i = 0; i < kPanel * kDepth; ++i) wide[i] = code_in(panel[i], s, Bits, levels);
      for (int r = 0; r < R; ++r) {
        uint8_t x[kDepth] = {};
        std::memcpy(x, a + r * lda + d, static_cast<size_t>(std::min<int64_t>(kDepth, k - d)));
        for (int c = 0; c < kPanel; ++c)
          sum[r][c] += x[0] * wide[c * 4] + x[1] * wide[c * 4 + 1] + x[2] * wide[c * 4 + 2] + x[3] * wide[c * 4 + 3];
      }
    }
  }
  for (int r = 0; r < R; ++r) std::memcpy(acc + r * ldc, sum[r], static_cast<size_t>(columns) * 4);
}

template <int Bits>
void product(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
             int64_t ldc) {
  for (int64_t c = 0; c < columns; c += kPanel) {
    const int8_t* panel = w.data + (column + c) / kPanel * panel_bytes(w.k, Bits);
    const int64_t left = std::min<int64_t>(kPanel, columns - c);
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) tile<4, Bits>(a + r * lda, lda, panel, w.k, acc + r * ldc + c, ldc, left, w.levels);
    for (; r < rows; ++r) tile<1, Bits>(a + r * lda, lda, panel, w.k, acc + r * ldc + c, ldc, left, w.levels);
  }
}

}  // namespace

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  with_bits(w.bits, [&](auto bits) { product<decltype(bits)::value>(a, lda, rows, w, column, columns, acc, ldc); });
}

namespace {

void pixel(const uint8_t* const* taps, int64_t count, const int16_t* w, int64_t channels, int64_t at, int32_t* acc) {
  const int64_t pairs = round_up(count, 2) / 2;
  for (int64_t c = 0; c < channels; c += kGroup, w += pairs * kGroup * 2) {
    for (int64_t i = 0; i < kGroup && c + i < channels; i += 4) {  // four channels have neighbouring places
      const int64_t n = std::min<int64_t>(4, channels - c - i);
      const int16_t* from = w + depthwise_index(i, 0, count);
      int32_t sum[4] = {};
      for (int64_t p = 0; p < pairs; ++p, from += kGroup * 2)
        for (int64_t j = 0; j < n; ++j)
          sum[j] += taps[2 * p][at + c + i + j] * from[2 * j] + taps[2 * p + 1][at + c + i + j] * from[2 * j + 1];
      std::memcpy(acc + c + i, sum, static_cast<size_t>(n) * 4);
    }
  }
}

}  // namespace

void depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels, int64_t step,
               int, int32_t* acc) {
  for (int64_t p = 0; p < pixels; ++p)
    pixel(taps, count, static_cast<const int16_t*>(weights), channels, p * step, acc + p * channels);
}

}  // namespace qgraph::portable
