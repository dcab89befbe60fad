// 6 rows x 4 panels of 16 columns: 24 accumulators, one vpdpbusd for 64 products (it does not saturate). Codes of fewer bits
// are expanded in registers for a few rows, into L1 for many.
#include <algorithm>

#include "kernels/cpu/gemm/avx512.h"
#include "kernels/cpu/gemm/gemm.h"

#define UNROLL _Pragma("GCC unroll 8")

namespace qgraph::avx512_vnni {
namespace {

constexpr int64_t kChunk = 256;  // depth of expanded weights: four panels fill half of L1
constexpr int64_t kFewRows = 4;  // rows for which expanding in registers is the quicker way

__m512i table_of(const Levels& levels) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels.data())));
}

// Codes from field s of each byte, looked up in the table of levels.
template <int Bits>
__m512i expand(__m512i bytes, int s, __m512i table) {
  if constexpr (Bits == 8) return bytes;
  const __m512i fields =
      _mm512_and_si512(_mm512_srli_epi16(bytes, static_cast<unsigned>(s * Bits)), _mm512_set1_epi8((1 << Bits) - 1));
  return _mm512_shuffle_epi8(table, fields);
}

template <int R, int P, int Bits>
void tile(const uint8_t* a, int64_t lda, const int8_t* b, int64_t panel, int64_t k, int32_t* acc, int64_t ldc, int64_t columns,
          bool first, const Levels& levels) {
  constexpr int kFields = 8 / Bits;
  const __m512i table = table_of(levels);
  __mmask16 mask[P];
  UNROLL for (int p = 0; p < P; ++p) mask[p] = columns_mask(columns - p * kPanel);
  // unrolled early by the compiler so that the accumulators live in registers
  __m512i sum[R][P];
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int p = 0; p < P; ++p) sum[r][p] =
      first ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi32(mask[p], acc + r * ldc + p * kPanel);
  const int64_t full = k / (kDepth * kFields);
  for (int64_t w = 0; w < full; ++w) {
    __m512i bytes[P];
    UNROLL for (int p = 0; p < P; ++p) bytes[p] = _mm512_load_si512(b + p * panel + w * 64);
    UNROLL for (int s = 0; s < kFields; ++s) {
      __m512i weights[P];
      UNROLL for (int p = 0; p < P; ++p) weights[p] = expand<Bits>(bytes[p], s, table);
      UNROLL for (int r = 0; r < R; ++r) {
        const __m512i x = _mm512_set1_epi32(static_cast<int>(full_word(a + r * lda + (w * kFields + s) * kDepth)));
        UNROLL for (int p = 0; p < P; ++p) dot(sum[r][p], x, weights[p]);
      }
    }
  }
  if (full * kFields * kDepth < k) {
    UNROLL for (int s = 0; s < kFields; ++s) {
      UNROLL for (int r = 0; r < R; ++r) {
        const __m512i x = _mm512_set1_epi32(static_cast<int>(any_word(a + r * lda, (full * kFields + s) * kDepth, k)));
        UNROLL for (int p = 0; p < P; ++p)
            dot(sum[r][p], x, expand<Bits>(_mm512_load_si512(b + p * panel + full * 64), s, table));
      }
    }
  }
  UNROLL for (int p = 0; p < P; ++p) UNROLL for (int r = 0; r < R; ++r)
      _mm512_mask_storeu_epi32(acc + r * ldc + p * kPanel, mask[p], sum[r][p]);
}

template <int P>
void wide(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t panel, int64_t k, int32_t* acc, int64_t ldc,
          int64_t columns, bool first) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6) tile<6, P, 8>(a + r * lda, lda, b, panel, k, acc + r * ldc, ldc, columns, first, kSigned.four);
  constexpr decltype(&tile<1, P, 8>) kRest[] = {nullptr,       tile<1, P, 8>, tile<2, P, 8>,
                                                tile<3, P, 8>, tile<4, P, 8>, tile<5, P, 8>};
  if (r < rows) kRest[rows - r](a + r * lda, lda, b, panel, k, acc + r * ldc, ldc, columns, first, kSigned.four);
}

template <int P, int Bits>
void narrow(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t panel, int64_t k, int32_t* acc, int64_t ldc,
            int64_t columns, const Levels& levels) {
  if (rows <= kFewRows) {
    constexpr decltype(&tile<1, P, Bits>) kRows[] = {nullptr, tile<1, P, Bits>, tile<2, P, Bits>, tile<3, P, Bits>,
                                                     tile<4, P, Bits>};
    return kRows[rows](a, lda, b, panel, k, acc, ldc, columns, true, levels);
  }
  alignas(64) int8_t expanded[P * kChunk * kPanel];
  for (int64_t d = 0; d < k; d += kChunk) {
    const int64_t depth = std::min(kChunk, k - d), words = round_up(depth, kDepth) / kDepth;
    expand_panels(b + d / 8 * Bits * kPanel, panel, P, words, Bits, levels, expanded, kChunk * kPanel);
    wide<P>(a + d, lda, rows, expanded, kChunk * kPanel, depth, acc, ldc, columns, d == 0);
  }
}

template <int P>
void columns_of(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t panel, int64_t k, int bits, int32_t* acc,
                int64_t ldc, int64_t columns, const Levels& levels) {
  if (bits == 8) return wide<P>(a, lda, rows, b, panel, k, acc, ldc, columns, true);
  if (bits == 4) return narrow<P, 4>(a, lda, rows, b, panel, k, acc, ldc, columns, levels);
  narrow<P, 2>(a, lda, rows, b, panel, k, acc, ldc, columns, levels);
}

}  // namespace

void expand_panels(const int8_t* packed, int64_t from, int panels, int64_t words, int bits, const Levels& levels, int8_t* out,
                   int64_t to) {
  const __m512i table = table_of(levels);
  with_bits(bits, [&](auto constant) {
    constexpr int kBits = decltype(constant)::value;
    for (int p = 0; p < panels; ++p)
      for (int64_t w = 0; w < words; ++w)
        _mm512_store_si512(out + p * to + w * 64, expand<kBits>(_mm512_load_si512(packed + p * from + w * kBits / 8 * 64),
                                                                static_cast<int>(w % (8 / kBits)), table));
  });
}

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  if (w.form != SparseForm::Dense) return sparse_gemm(a, lda, rows, w, column, columns, acc, ldc);
  const int64_t panel = panel_bytes(w.k, w.bits);
  for (int64_t c = 0; c < columns; c += 4 * kPanel) {
    const int8_t* b = w.data + (column + c) / kPanel * panel;
    const int64_t left = columns - c;
    const auto run = left > 3 * kPanel   ? columns_of<4>
                     : left > 2 * kPanel ? columns_of<3>
                     : left > kPanel     ? columns_of<2>
                                         : columns_of<1>;
    run(a, lda, rows, b, panel, w.k, w.bits, acc + c, ldc, left, w.levels);
  }
}

}  // namespace qgraph::avx512_vnni
