// 64 channels and four taps at a time: the bytes of four taps are interleaved, so that one vpdpbusd adds all four. The weights of
// a group of channels stay in registers while the pixels pass.
#include <algorithm>

#include "kernels/cpu/gemm/avx512.h"
#include "kernels/cpu/gemm/gemm.h"

namespace qgraph::avx512_vnni {
namespace {

constexpr int kHeld = 3;  // quads of taps whose weights fit the registers: a window of 3 x 3

// Four words of 16 channels, or their sums; by value, so that they stay in registers.
struct Four {
  __m512i a, b, c, d;
};

inline __m512i plus(__m512i sum, __m512i x, __m512i w) {
  dot(sum, x, w);
  return sum;
}

// Add four taps of 64 channels; word j has channels 4 j to 4 j + 3 of each lane's sixteen.
inline Four add(Four sum, const uint8_t* const* taps, int64_t at, __mmask64 mask, Four w) {
  const __m512i a = _mm512_maskz_loadu_epi8(mask, taps[0] + at), b = _mm512_maskz_loadu_epi8(mask, taps[1] + at);
  const __m512i c = _mm512_maskz_loadu_epi8(mask, taps[2] + at), d = _mm512_maskz_loadu_epi8(mask, taps[3] + at);
  const __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
  const __m512i ab_high = _mm512_unpackhi_epi8(a, b), cd_high = _mm512_unpackhi_epi8(c, d);
  return {plus(sum.a, _mm512_unpacklo_epi16(ab, cd), w.a), plus(sum.b, _mm512_unpackhi_epi16(ab, cd), w.b),
          plus(sum.c, _mm512_unpacklo_epi16(ab_high, cd_high), w.c), plus(sum.d, _mm512_unpackhi_epi16(ab_high, cd_high), w.d)};
}

inline void store(int32_t* acc, __m512i x, int64_t left) {
  if (left >= 16) return _mm512_storeu_si512(acc, x);
  if (left > 0) _mm512_mask_storeu_epi32(acc, columns_mask(left), x);
}

// The lanes of four sums in the order of channels: a transposition of 4 x 4 lanes.
inline void put(Four sum, int64_t channels, int32_t* acc) {
  const __m512i a = _mm512_shuffle_i32x4(sum.a, sum.b, 0x44), b = _mm512_shuffle_i32x4(sum.c, sum.d, 0x44);
  const __m512i c = _mm512_shuffle_i32x4(sum.a, sum.b, 0xee), d = _mm512_shuffle_i32x4(sum.c, sum.d, 0xee);
  store(acc, _mm512_shuffle_i32x4(a, b, 0x88), channels);
  store(acc + 16, _mm512_shuffle_i32x4(a, b, 0xdd), channels - 16);
  store(acc + 32, _mm512_shuffle_i32x4(c, d, 0x88), channels - 32);
  store(acc + 48, _mm512_shuffle_i32x4(c, d, 0xdd), channels - 48);
}

}  // namespace

void depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels, int64_t step,
               int32_t* acc) {
  const int64_t quads = round_up(count, 4) / 4;
  const uint8_t* some[4 * kHeld];
  for (int64_t t = 0; t < std::min<int64_t>(4 * kHeld, 4 * quads); ++t) some[t] = taps[std::min(t, count - 1)];
  for (int64_t c = 0; c < channels; c += kQuadGroup) {
    const int64_t left = std::min(kQuadGroup, channels - c);
    const auto mask = left == kQuadGroup ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    const auto* from = static_cast<const int8_t*>(weights) + c * quads * 4;
    const auto load = [&](int64_t q) -> Four {
      const int8_t* quad = from + q * 4 * 64;
      return {_mm512_load_si512(quad), _mm512_load_si512(quad + 64), _mm512_load_si512(quad + 128),
              _mm512_load_si512(quad + 192)};
    };
    const __m512i zero = _mm512_setzero_si512();
    const Four nothing{zero, zero, zero, zero};
    if (quads == kHeld) {
      const Four first = load(0), second = load(1), third = load(2);
      for (int64_t p = 0; p < pixels; ++p) {
        const int64_t at = c + p * step;
        put(add(add(add(nothing, some, at, mask, first), some + 4, at, mask, second), some + 8, at, mask, third), left,
            acc + p * channels + c);
      }
      continue;
    }
    for (int64_t p = 0; p < pixels; ++p) {
      Four sum = nothing;
      for (int64_t q = 0; q < quads; ++q) {
        const uint8_t* four[4];
        for (int64_t t = 0; t < 4; ++t) four[t] = taps[std::min(4 * q + t, count - 1)];
        sum = add(sum, four, c + p * step, mask, load(q));
      }
      put(sum, left, acc + p * channels + c);
    }
  }
}

}  // namespace qgraph::avx512_vnni
