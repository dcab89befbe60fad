// 6 rows x 4 panels of 16 columns: 24 accumulators, one vpdpbusd for 64 products (it does not saturate).
#include <immintrin.h>

#include "kernels/cpu/gemm/gemm.h"

#define UNROLL _Pragma("GCC unroll 8")

namespace qgraph::avx512_vnni {
namespace {

// GCC 12 copies and spills the accumulators of the intrinsic; as an instruction with one operand they stay in place.
inline void dot(__m512i& sum, __m512i x, __m512i w) { asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w)); }

template <int R, int P>
void tile(const uint8_t* a, int64_t lda, const int8_t* b, int64_t panel_bytes, int64_t k, int32_t* acc, int64_t ldc,
          int64_t columns) {
  // unrolled early by the compiler so that the accumulators live in registers
  __m512i sum[R][P];
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int p = 0; p < P; ++p) sum[r][p] = _mm512_setzero_si512();
  const int64_t full = k / kDepth;
  for (int64_t w = 0; w < full; ++w) {
    __m512i weights[P];
    UNROLL for (int p = 0; p < P; ++p) weights[p] = _mm512_load_si512(b + p * panel_bytes + w * 64);
    UNROLL for (int r = 0; r < R; ++r) {
      const __m512i x = _mm512_set1_epi32(static_cast<int>(full_word(a + r * lda + w * kDepth)));
      UNROLL for (int p = 0; p < P; ++p) dot(sum[r][p], x, weights[p]);
    }
  }
  if (full * kDepth < k) {
    UNROLL for (int r = 0; r < R; ++r) {
      const __m512i x = _mm512_set1_epi32(static_cast<int>(tail_word(a + r * lda, full * kDepth, k)));
      UNROLL for (int p = 0; p < P; ++p) dot(sum[r][p], x, _mm512_load_si512(b + p * panel_bytes + full * 64));
    }
  }
  UNROLL for (int p = 0; p < P; ++p) {
    const int64_t left = columns - p * kPanel;
    const __mmask16 mask = left >= kPanel ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    UNROLL for (int r = 0; r < R; ++r) _mm512_mask_storeu_epi32(acc + r * ldc + p * kPanel, mask, sum[r][p]);
  }
}

template <int P>
void columns_of(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t panel_bytes, int64_t k, int32_t* acc,
                int64_t ldc, int64_t columns) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6) tile<6, P>(a + r * lda, lda, b, panel_bytes, k, acc + r * ldc, ldc, columns);
  constexpr decltype(&tile<1, P>) kRest[] = {nullptr, tile<1, P>, tile<2, P>, tile<3, P>, tile<4, P>, tile<5, P>};
  if (r < rows) kRest[rows - r](a + r * lda, lda, b, panel_bytes, k, acc + r * ldc, ldc, columns);
}

}  // namespace

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  const int64_t panel_bytes = round_up(w.k, kDepth) * kPanel;
  for (int64_t c = 0; c < columns; c += 4 * kPanel) {
    const int8_t* b = w.data + (column + c) / kPanel * panel_bytes;
    const int64_t left = columns - c;
    const auto run = left > 3 * kPanel   ? columns_of<4>
                     : left > 2 * kPanel ? columns_of<3>
                     : left > kPanel     ? columns_of<2>
                                         : columns_of<1>;
    run(a, lda, rows, b, panel_bytes, w.k, acc + c, ldc, left);
  }
}

}  // namespace qgraph::avx512_vnni
