// 64 channels and four taps at a time: the bytes of four taps are interleaved, so that one vpdpbusd adds all four. The weights of
// a group of channels stay in registers while the pixels pass.
#include <algorithm>

#include "backend/cpu/isa/avx512_vnni/avx512.h"
#include "backend/cpu/isa/gemm.h"

namespace qgraph::avx512_vnni {
namespace {

constexpr int kHeld = 3;  // groups of four taps whose weights fit the registers: a window of 3 x 3

// Four words of 16 channels, or their sums; by value, so that they stay in registers.
struct Four {
  __m512i a, b, c, d;
};

inline __m512i plus(__m512i sum, __m512i x, __m512i w) {
  dot(sum, x, w);
  return sum;
}

// Four bytes of each of 64 channels side by side; word j has channels 4 j to 4 j + 3 of each lane's sixteen.
inline Four interleave(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
  const __m512i ab_high = _mm512_unpackhi_epi8(a, b), cd_high = _mm512_unpackhi_epi8(c, d);
  return {_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd), _mm512_unpacklo_epi16(ab_high, cd_high),
          _mm512_unpackhi_epi16(ab_high, cd_high)};
}

inline Four add(Four sum, Four x, Four w) {
  return {plus(sum.a, x.a, w.a), plus(sum.b, x.b, w.b), plus(sum.c, x.c, w.c), plus(sum.d, x.d, w.d)};
}

// 64 channels, or as many as the mask says; memory behind a mask is slower.
inline __m512i load(const uint8_t* p, Lanes::Full) { return _mm512_loadu_si512(p); }
inline __m512i load(const uint8_t* p, __mmask64 mask) { return _mm512_maskz_loadu_epi8(mask, p); }
inline void store(uint8_t* p, __m512i x, Lanes::Full) { _mm512_storeu_si512(p, x); }
inline void store(uint8_t* p, __m512i x, __mmask64 mask) { _mm512_mask_storeu_epi8(p, mask, x); }

inline void store(int32_t* acc, __m512i x, int64_t left) {
  if (left >= 16) return _mm512_storeu_si512(acc, x);
  if (left > 0) _mm512_mask_storeu_epi32(acc, Lanes::mask(left), x);
}

// A transposition of 4 x 4 lanes: from the order of the words to that of the channels, or back.
inline Four transpose_lanes(Four x) {
  const __m512i a = _mm512_shuffle_i32x4(x.a, x.b, 0x44), b = _mm512_shuffle_i32x4(x.c, x.d, 0x44);
  const __m512i c = _mm512_shuffle_i32x4(x.a, x.b, 0xee), d = _mm512_shuffle_i32x4(x.c, x.d, 0xee);
  return {_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd), _mm512_shuffle_i32x4(c, d, 0x88),
          _mm512_shuffle_i32x4(c, d, 0xdd)};
}

// 64 numbers of 32 bits, of which `count` are there, in the order of the words.
inline Four words_of(const void* from, int64_t count) {
  const auto* p = static_cast<const int32_t*>(from);
  const auto some = [&](int64_t i) {
    return count > i ? _mm512_maskz_loadu_epi32(Lanes::mask(count - i), p + i) : _mm512_setzero_si512();
  };
  return transpose_lanes({some(0), some(16), some(32), some(48)});
}

#include "backend/cpu/isa/finish.inc"

// The sums of a group of channels for all pixels, which begin with `initial`, to to(pixel, sum).
template <typename Mask, typename To>
void group(const uint8_t* const* taps, int64_t count, int64_t channel, const int8_t* weights, Mask mask, int64_t pixels,
           int64_t step, int column_reuse, Four initial, To&& to) {
  const int64_t fours = round_up(count, 4) / 4;
  const auto quad = [&](int64_t q) -> Four {
    const int8_t* from = weights + q * 4 * 64;
    return {_mm512_load_si512(from), _mm512_load_si512(from + 64), _mm512_load_si512(from + 128), _mm512_load_si512(from + 192)};
  };
  if (fours != kHeld) {
    for (int64_t p = 0; p < pixels; ++p) {
      Four sum = initial;
      for (int64_t q = 0; q < fours; ++q) {
        const auto tap = [&](int64_t t) { return load(taps[std::min(4 * q + t, count - 1)] + channel + p * step, mask); };
        sum = add(sum, interleave(tap(0), tap(1), tap(2), tap(3)), quad(q));
      }
      to(p, sum);
    }
    return;
  }
  const uint8_t* some[4 * kHeld];
  for (int64_t t = 0; t < 4 * kHeld; ++t) some[t] = taps[std::min(t, count - 1)] + channel;
  const Four first = quad(0), second = quad(1), third = quad(2);
  const auto tap = [&](int t, int64_t p) { return load(some[t] + p * step, mask); };
  const auto three = [&](int t, int64_t p) {
    return interleave(tap(t, p), tap(t + 1, p), tap(t + 2, p), _mm512_setzero_si512());
  };
  const auto four = [&](int t, int64_t p) { return interleave(tap(t, p), tap(t + 1, p), tap(t + 2, p), tap(t + 3, p)); };
  if (column_reuse == 1) {
    const Four middle = three(4, 0);
    Four now = add(add(initial, three(0, 0), first), middle, second), next = add(initial, middle, first);
    for (int64_t p = 0; p < pixels; ++p) {
      const Four last = three(8, p);
      to(p, add(now, last, third));
      now = add(next, last, second);
      next = add(initial, last, first);
    }
  } else if (column_reuse == 2) {
    Four now = add(initial, three(0, 0), first);
    for (int64_t p = 0; p < pixels; ++p) {
      const Four last = three(8, p);
      to(p, add(add(now, three(4, p), second), last, third));
      now = add(initial, last, first);
    }
  } else {
    for (int64_t p = 0; p < pixels; ++p) to(p, add(add(add(initial, four(0, p), first), four(4, p), second), four(8, p), third));
  }
}

// f(first channel, how many, their weights, their mask) for all groups of 64 channels.
template <typename F>
void groups(int64_t channels, int64_t count, const void* weights, F&& f) {
  for (int64_t c = 0; c < channels; c += kVnni4Channels) {
    const int64_t left = std::min(kVnni4Channels, channels - c);
    const auto* from = static_cast<const int8_t*>(weights) + c * round_up(count, 4);
    if (left == kVnni4Channels)
      f(c, left, from, Lanes::Full{});
    else
      f(c, left, from, (__mmask64{1} << left) - 1);
  }
}

}  // namespace

void depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels, int64_t step,
               int column_reuse, int32_t* acc) {
  const __m512i zero = _mm512_setzero_si512();
  groups(channels, count, weights, [&](int64_t c, int64_t left, const int8_t* w, auto mask) {
    group(taps, count, c, w, mask, pixels, step, column_reuse, {zero, zero, zero, zero}, [&](int64_t p, Four sum) {
      const Four x = transpose_lanes(sum);
      int32_t* to = acc + p * channels + c;
      store(to, x.a, left);
      store(to + 16, x.b, left - 16);
      store(to + 32, x.c, left - 32);
      store(to + 48, x.d, left - 48);
    });
  });
}

void fused_depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels,
                     int64_t step, int column_reuse, const Epilogue& e, uint8_t* y) {
  const Bytes<true> bytes(e);
  groups(channels, count, weights, [&](int64_t c, int64_t left, const int8_t* w, auto mask) {
    const Four m = words_of(e.multiplier + c, left);
    const auto part = [](__m512i x, __m512i m) { return Lanes::mul(Lanes::real(x), _mm512_castsi512_ps(m)); };
    group(taps, count, c, w, mask, pixels, step, column_reuse, words_of(e.bias + c, left), [&](int64_t p, Four sum) {
      store(y + p * channels + c, bytes.by_lanes(part(sum.a, m.a), part(sum.b, m.b), part(sum.c, m.c), part(sum.d, m.d)), mask);
    });
  });
}

}  // namespace qgraph::avx512_vnni
