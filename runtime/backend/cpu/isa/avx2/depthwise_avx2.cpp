// 16 channels and two taps at a time: bytes widened to words, interleaved, and multiplied by vpmaddwd, which cannot overflow.
#include <immintrin.h>

#include <algorithm>

#include "backend/cpu/isa/gemm.h"

namespace qgraph::avx2 {
namespace {

// Up to 16 bytes, zero beyond the end.
inline __m256i words(const uint8_t* x, int64_t left) {
  if (left >= 16) return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
  alignas(16) uint8_t part[16] = {};
  std::memcpy(part, x, static_cast<size_t>(left));
  return _mm256_cvtepu8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(part)));
}

inline __m256i load(const int16_t* w) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)); }

void pixel(const uint8_t* const* taps, int64_t count, const int16_t* w, int64_t channels, int64_t at, int32_t* acc) {
  const int64_t pairs = round_up(count, 2) / 2;
  for (int64_t c = 0; c < channels; c += 16) {
    const int64_t left = std::min<int64_t>(16, channels - c);
    const int16_t* from = w + c / kGroup * pairs * kGroup * 2 + c % kGroup;
    __m256i low = _mm256_setzero_si256(), high = low;
    for (int64_t p = 0; p < pairs; ++p, from += kGroup * 2) {
      const __m256i a = words(taps[2 * p] + at + c, left), b = words(taps[2 * p + 1] + at + c, left);
      low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), load(from)));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), load(from + kGroup)));
    }
    alignas(32) int32_t sums[16];
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums), _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums + 8), _mm256_permute2x128_si256(low, high, 0x31));
    std::memcpy(acc + c, sums, static_cast<size_t>(left) * 4);
  }
}

}  // namespace

void depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels, int64_t step,
               int, int32_t* acc) {
  for (int64_t p = 0; p < pixels; ++p)
    pixel(taps, count, static_cast<const int16_t*>(weights), channels, p * step, acc + p * channels);
}

}  // namespace qgraph::avx2
