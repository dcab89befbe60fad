// 32 channels and two taps at a time: bytes widened to words, interleaved, and multiplied by vpdpwssd, which does not saturate.
#include <immintrin.h>

#include "kernels/cpu/gemm/gemm.h"

namespace qgraph::avx512_vnni {

void depthwise(const uint8_t* const* taps, int64_t count, const int16_t* w, int64_t channels, int32_t* acc) {
  const int64_t pairs = round_up(count, 2) / 2;
  // dwords 0-3 of both, 4-7 of both, ...
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  for (int64_t c = 0; c < channels; c += kGroup) {
    const int64_t left = channels - c;
    const auto mask = left >= kGroup ? ~__mmask32{0} : static_cast<__mmask32>((uint32_t{1} << left) - 1);
    const int16_t* from = w + c * pairs * 2;
    __m512i low = _mm512_setzero_si512(), high = low;
    for (int64_t p = 0; p < pairs; ++p, from += kGroup * 2) {
      const __m512i a = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(mask, taps[2 * p] + c));
      const __m512i b = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(mask, taps[2 * p + 1] + c));
      low = _mm512_dpwssd_epi32(low, _mm512_unpacklo_epi16(a, b), _mm512_load_si512(from));
      high = _mm512_dpwssd_epi32(high, _mm512_unpackhi_epi16(a, b), _mm512_load_si512(from + kGroup));
    }
    _mm512_mask_storeu_epi32(acc + c, static_cast<__mmask16>(mask), _mm512_permutex2var_epi32(low, first, high));
    _mm512_mask_storeu_epi32(acc + c + 16, static_cast<__mmask16>(mask >> 16), _mm512_permutex2var_epi32(low, second, high));
  }
}

}  // namespace qgraph::avx512_vnni
