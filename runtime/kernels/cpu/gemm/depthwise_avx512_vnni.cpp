// 64 channels and four taps at a time: the bytes of four taps are interleaved, so that one vpdpbusd adds all four. The weights of
// a group of channels stay in registers while the pixels pass.
#include <algorithm>

#include "kernels/cpu/gemm/avx512.h"
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/rows/lanes_avx512.h"

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

// A transposition of 4 x 4 lanes: from the order of the words to that of the channels, or back.
inline Four turned(Four x) {
  const __m512i a = _mm512_shuffle_i32x4(x.a, x.b, 0x44), b = _mm512_shuffle_i32x4(x.c, x.d, 0x44);
  const __m512i c = _mm512_shuffle_i32x4(x.a, x.b, 0xee), d = _mm512_shuffle_i32x4(x.c, x.d, 0xee);
  return {_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd), _mm512_shuffle_i32x4(c, d, 0x88),
          _mm512_shuffle_i32x4(c, d, 0xdd)};
}

// 64 numbers of 32 bits, of which `count` are there, in the order of the words.
inline Four words_of(const void* from, int64_t count) {
  const auto* p = static_cast<const int32_t*>(from);
  const auto some = [&](int64_t i) {
    return count > i ? _mm512_maskz_loadu_epi32(columns_mask(count - i), p + i) : _mm512_setzero_si512();
  };
  return turned({some(0), some(16), some(32), some(48)});
}

#include "kernels/cpu/rows/finish.inc"

// f(first channel, how many, its sums, pixel) for all pixels and groups of 64 channels; the sums begin with begin(channel,
// count).
template <typename Begin, typename F>
void sums(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels, int64_t step,
          Begin&& begin, F&& f) {
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
    const Four nothing = begin(c, left);
    auto&& to = f(c, left, mask);
    if (quads == kHeld) {
      const Four first = load(0), second = load(1), third = load(2);
      for (int64_t p = 0; p < pixels; ++p) {
        const int64_t at = c + p * step;
        to(p, add(add(add(nothing, some, at, mask, first), some + 4, at, mask, second), some + 8, at, mask, third));
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
      to(p, sum);
    }
  }
}

}  // namespace

void depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels, int64_t step,
               int32_t* acc) {
  const auto begin = [](int64_t, int64_t) -> Four {
    const __m512i zero = _mm512_setzero_si512();
    return {zero, zero, zero, zero};
  };
  sums(taps, count, weights, channels, pixels, step, begin, [&](int64_t c, int64_t left, __mmask64) {
    return [=](int64_t p, Four sum) {
      const Four x = turned(sum);
      int32_t* to = acc + p * channels + c;
      store(to, x.a, left);
      store(to + 16, x.b, left - 16);
      store(to + 32, x.c, left - 32);
      store(to + 48, x.d, left - 48);
    };
  });
}

void fused_depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels,
                     int64_t step, const Epilogue& e, uint8_t* y) {
  const Bytes bytes(e);
  const auto begin = [&](int64_t c, int64_t left) { return words_of(e.bias + c, left); };
  sums(taps, count, weights, channels, pixels, step, begin, [&](int64_t c, int64_t left, __mmask64 mask) {
    const Four m = words_of(e.multiplier + c, left);
    return [=](int64_t p, Four sum) {
      const auto part = [](__m512i x, __m512i m) { return Lanes::mul(Lanes::real(x), _mm512_castsi512_ps(m)); };
      _mm512_mask_storeu_epi8(y + p * channels + c, mask,
                              bytes.by_lanes(part(sum.a, m.a), part(sum.b, m.b), part(sum.c, m.c), part(sum.d, m.d)));
    };
  });
}

}  // namespace qgraph::avx512_vnni
