// 4 rows x 8 columns. vpmaddubsw would saturate, so both operands are widened to 16 bits and multiplied by vpmaddwd.
#include <immintrin.h>

#include "kernels/cpu/gemm/gemm.h"

#define UNROLL _Pragma("GCC unroll 8")

namespace qgraph::avx2 {
namespace {

template <int R>
void tile(const uint8_t* a, int64_t lda, const int8_t* b, int64_t k, int32_t* acc, int64_t ldc, int64_t columns) {
  __m256i sum[R][2];  // pairs of partial sums: columns 0-3 and 4-7
  UNROLL for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
  const int64_t words = round_up(k, kDepth) / kDepth, full = k / kDepth;
  for (int64_t w = 0; w < words; ++w) {
    const __m256i low = _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(b + w * 64)));
    const __m256i high = _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(b + w * 64 + 16)));
    UNROLL for (int r = 0; r < R; ++r) {
      const uint8_t* row = a + r * lda;
      const uint32_t word = w < full ? full_word(row + w * kDepth) : tail_word(row, w * kDepth, k);
      const __m256i x = _mm256_cvtepu8_epi16(_mm_set1_epi32(static_cast<int>(word)));
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(x, low));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(x, high));
    }
  }
  UNROLL for (int r = 0; r < R; ++r) {
    const __m256i mixed = _mm256_hadd_epi32(sum[r][0], sum[r][1]);  // columns 0 1 4 5 2 3 6 7
    alignas(32) int32_t out[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), _mm256_permute4x64_epi64(mixed, 0xd8));
    std::memcpy(acc + r * ldc, out, static_cast<size_t>(columns < 8 ? columns : 8) * 4);
  }
}

}  // namespace

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  const int64_t panel_bytes = round_up(w.k, kDepth) * kPanel;
  for (int64_t c = 0; c < columns; c += 8) {
    const int8_t* b = w.data + (column + c) / kPanel * panel_bytes + (column + c) % kPanel * kDepth;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) tile<4>(a + r * lda, lda, b, w.k, acc + r * ldc + c, ldc, columns - c);
    for (; r < rows; ++r) tile<1>(a + r * lda, lda, b, w.k, acc + r * ldc + c, ldc, columns - c);
  }
}

}  // namespace qgraph::avx2
