// vpdpbusd on 256 bits, for CPUs that have it and no AVX-512: 6 rows x 1 panel of 16 columns, or a row or two x 4 panels, which
// keeps more of memory's reads in flight. Codes of fewer bits are expanded in registers for a few rows, into L1 for many.
#include <immintrin.h>

#include <algorithm>

#include "backend/cpu/isa/gemm.h"

#define UNROLL _Pragma("GCC unroll 8")

namespace qgraph::avx_vnni {
namespace {

constexpr int64_t kWord = kPanel * kDepth;
constexpr int64_t kChunk = 256;  // depth of expanded weights: a panel of 4 KiB
constexpr int64_t kFewRows = 6;  // rows for which expanding in registers is the quicker way

inline void dot(__m256i& sum, __m256i x, __m256i w) { sum = _mm256_dpbusd_avx_epi32(sum, x, w); }

__m256i table_of(const Levels& levels) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels.data())));
}

// Half h of the codes from field s of each byte of a word.
template <int Bits>
__m256i load(const int8_t* word, int h, int s, __m256i table) {
  const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(word + 32 * h));
  if constexpr (Bits == 8) return bytes;
  const __m256i fields = _mm256_and_si256(_mm256_srli_epi16(bytes, s * Bits), _mm256_set1_epi8((1 << Bits) - 1));
  return _mm256_shuffle_epi8(table, fields);
}

// The first `columns` of 16 accumulators, in two halves.
void put(int32_t* acc, __m256i low, __m256i high, int64_t columns) {
  if (columns >= kPanel) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc), low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + 8), high);
    return;
  }
  alignas(32) int32_t out[kPanel];
  _mm256_store_si256(reinterpret_cast<__m256i*>(out), low);
  _mm256_store_si256(reinterpret_cast<__m256i*>(out + 8), high);
  std::memcpy(acc, out, static_cast<size_t>(columns) * 4);
}

__m256i get(const int32_t* acc, int h, int64_t columns) {
  alignas(32) int32_t in[8] = {};
  if (columns > 8 * h) std::memcpy(in, acc + 8 * h, static_cast<size_t>(std::min<int64_t>(8, columns - 8 * h)) * 4);
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(in));
}

template <int R, int P, int Bits>
void tile(const uint8_t* a, int64_t lda, const int8_t* b, int64_t panel, int64_t k, int32_t* acc, int64_t ldc, int64_t columns,
          bool first, const Levels& levels) {
  constexpr int kFields = 8 / Bits;
  const __m256i table = table_of(levels);
  __m256i sum[R][P][2];
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int p = 0; p < P; ++p) UNROLL for (int h = 0; h < 2; ++h) sum[r][p][h] =
      first ? _mm256_setzero_si256() : get(acc + r * ldc + p * kPanel, h, columns - p * kPanel);
  const int64_t full = k / (kDepth * kFields);
  for (int64_t w = 0; w < full; ++w) {
    UNROLL for (int s = 0; s < kFields; ++s) UNROLL for (int p = 0; p < P; ++p) {
      const __m256i low = load<Bits>(b + p * panel + w * kWord, 0, s, table);
      const __m256i high = load<Bits>(b + p * panel + w * kWord, 1, s, table);
      UNROLL for (int r = 0; r < R; ++r) {
        const __m256i x = _mm256_set1_epi32(static_cast<int>(full_word(a + r * lda + (w * kFields + s) * kDepth)));
        dot(sum[r][p][0], x, low);
        dot(sum[r][p][1], x, high);
      }
    }
  }
  if (full * kFields * kDepth < k) {
    UNROLL for (int s = 0; s < kFields; ++s) UNROLL for (int p = 0; p < P; ++p) UNROLL for (int r = 0; r < R; ++r) {
      const __m256i x = _mm256_set1_epi32(static_cast<int>(any_word(a + r * lda, (full * kFields + s) * kDepth, k)));
      UNROLL for (int h = 0; h < 2; ++h) dot(sum[r][p][h], x, load<Bits>(b + p * panel + full * kWord, h, s, table));
    }
  }
  UNROLL for (int p = 0; p < P; ++p) UNROLL for (int r = 0; r < R; ++r)
      put(acc + r * ldc + p * kPanel, sum[r][p][0], sum[r][p][1], columns - p * kPanel);
}

// One panel for all rows.
template <int Bits>
void rows_of(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t k, int32_t* acc, int64_t ldc, int64_t columns,
             bool first, const Levels& levels) {
  constexpr decltype(&tile<1, 1, Bits>) kTiles[] = {nullptr,          tile<1, 1, Bits>, tile<2, 1, Bits>, tile<3, 1, Bits>,
                                                    tile<4, 1, Bits>, tile<5, 1, Bits>, tile<6, 1, Bits>};
  for (int64_t r = 0; r < rows; r += 6)
    kTiles[std::min<int64_t>(6, rows - r)](a + r * lda, lda, b, 0, k, acc + r * ldc, ldc, columns, first, levels);
}

template <int Bits>
void expand(const int8_t* packed, int64_t words, const Levels& levels, int8_t* out) {
  const __m256i table = table_of(levels);
  for (int64_t w = 0; w < words; ++w)
    for (int h = 0; h < 2; ++h)
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + w * kWord + 32 * h),
                         load<Bits>(packed + w * Bits / 8 * kWord, h, static_cast<int>(w % (8 / Bits)), table));
}

template <int Bits>
void product(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
             int64_t ldc) {
  const int64_t panel = panel_bytes(w.k, Bits);
  const int8_t* b = w.data + column / kPanel * panel;
  int64_t c = 0;
  if (rows == 1)
    for (; c + 4 * kPanel <= columns; c += 4 * kPanel)
      tile<1, 4, Bits>(a, lda, b + c / kPanel * panel, panel, w.k, acc + c, ldc, columns - c, true, w.levels);
  alignas(64) int8_t expanded[kChunk * kPanel];
  for (; c < columns; c += kPanel) {
    const int8_t* from = b + c / kPanel * panel;
    if (Bits == 8 || rows <= kFewRows) {
      rows_of<Bits>(a, lda, rows, from, w.k, acc + c, ldc, columns - c, true, w.levels);
      continue;
    }
    for (int64_t d = 0; d < w.k; d += kChunk) {
      const int64_t depth = std::min(kChunk, w.k - d);
      expand<Bits>(from + d / 8 * Bits * kPanel, round_up(depth, kDepth) / kDepth, w.levels, expanded);
      rows_of<8>(a + d, lda, rows, expanded, depth, acc + c, ldc, columns - c, d == 0, kSigned.four);
    }
  }
}

}  // namespace

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  with_bits(w.bits, [&](auto bits) { product<decltype(bits)::value>(a, lda, rows, w, column, columns, acc, ldc); });
}

}  // namespace qgraph::avx_vnni
