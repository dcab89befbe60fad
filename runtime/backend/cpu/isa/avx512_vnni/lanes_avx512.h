// Vectors of AVX-512 for the row kernels; for files that are compiled for that instruction set.
#pragma once

#include <immintrin.h>

#include "backend/cpu/isa/bits.h"

namespace qgraph::avx512_vnni {

struct Lanes {
  using Float = __m512;
  using Int = __m512i;
  using Mask = __mmask16;
  struct Full {};  // in place of a mask: all lanes, without the cost of masked memory
  static constexpr int64_t kCount = 16;
  static Mask mask(int64_t left) { return static_cast<Mask>(left >= kCount ? 0xffff : (1u << left) - 1); }
  static Int zero() { return _mm512_setzero_si512(); }
  static Float all(float x) { return _mm512_set1_ps(x); }
  static Int all(int32_t x) { return _mm512_set1_epi32(x); }
  static Float load(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  static Int load(const int32_t* p, Mask m) { return _mm512_maskz_loadu_epi32(m, p); }
  static Int load(const uint8_t* p, Mask m) { return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, p)); }
  static Int load(const int16_t* p, Mask m) { return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(m, p)); }
  static Float load(const float* p, Full) { return _mm512_loadu_ps(p); }
  static Int load(const int32_t* p, Full) { return _mm512_loadu_si512(p); }
  static Int load(const uint8_t* p, Full) { return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static Int load(const int16_t* p, Full) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Float load_or(const float* p, Full, float) { return _mm512_loadu_ps(p); }
  static Int keep(Int x, Full) { return x; }
  static Float load_or(const float* p, Mask m, float other) { return _mm512_mask_loadu_ps(all(other), m, p); }
  static Int keep(Int x, Mask m) { return _mm512_maskz_mov_epi32(m, x); }
  static Int bits(Float x) { return _mm512_castps_si512(x); }
  static Int both(Int a, Int b) { return _mm512_and_si512(a, b); }
  static Int differ(Int a, Int b) { return _mm512_xor_si512(a, b); }
  static Int max(Int a, Int b) { return _mm512_max_epi32(a, b); }
  static Int min(Int a, Int b) { return _mm512_min_epi32(a, b); }
  static int32_t greatest(Int x) { return _mm512_reduce_max_epi32(x); }
  static int64_t total(Int x) {
    return _mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(x)),
                                                    _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(x, 1))));
  }
  /// See ordered in rows.inc.
  static Int ordered(Int b) { return _mm512_xor_si512(b, both(_mm512_srai_epi32(b, 31), all(0x7fffffff))); }
  /// The float whose exponent field is x.
  static Float power(Int x) { return _mm512_castsi512_ps(_mm512_slli_epi32(x, 23)); }
  static Float greater(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  static Float real(Int x) { return _mm512_cvtepi32_ps(x); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int sub(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  /// NaN gives low, as max and min return their second operand.
  static Float clamp(Float t, Float low, Float high) { return _mm512_min_ps(_mm512_max_ps(t, low), high); }
  static Int round(Float t) { return _mm512_cvt_roundps_epi32(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static void store(float* p, Float t, Mask m) { _mm512_mask_storeu_ps(p, m, t); }
  static void store(float* p, Float t, Full) { _mm512_storeu_ps(p, t); }
  static void store(uint8_t* p, Int x, Full) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x)); }
  static void store(int16_t* p, Int x, Full) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(x)); }
  static void store(uint8_t* p, Int x, Mask m) { _mm_mask_storeu_epi8(p, m, _mm512_cvtepi32_epi8(x)); }
  static void store(int16_t* p, Int x, Mask m) { _mm256_mask_storeu_epi16(p, m, _mm512_cvtepi32_epi16(x)); }
  /// Codes of four vectors as bytes, 16-bit `zero` added; saturates. In each lane of 128 bits those of a, then of b, c and d.
  static Int lane_bytes(Int a, Int b, Int c, Int d, Int zero) {
    const Int ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero), cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zero);
    return _mm512_packus_epi16(ab, cd);
  }
  static Int lane_bytes(Int a, Int b, Int c, Int d) {
    return _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
  }
  static Int greater(Int a, Int b) { return _mm512_max_epu8(a, b); }
  static Int lesser(Int a, Int b) { return _mm512_min_epu8(a, b); }
  static Int lesser_words(Int a, Int b) { return _mm512_min_epi16(a, b); }
  /// All of a, then of b, c and d.
  static Int in_order(Int bytes) {
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
  }
  /// Numbers of 32 bits that add up to what the bytes do.
  static Int sums_of_bytes(Int x) { return _mm512_sad_epu8(x, _mm512_setzero_si512()); }
  static Int all(int16_t x) { return _mm512_set1_epi16(x); }
  static Int all(uint8_t x) { return _mm512_set1_epi8(static_cast<char>(x)); }
  /// Codes of two vectors as 16-bit numbers, in order, not below those of `low`; saturates.
  static Int words(Int a, Int b, Int low) {
    const Int order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    return _mm512_permutexvar_epi64(order, _mm512_max_epi16(_mm512_packs_epi32(a, b), low));
  }
  static Int abs(Int x) { return _mm512_abs_epi32(x); }
  static Int load_all(const void* p) { return _mm512_loadu_si512(p); }
  /// Of 16-bit numbers: |x|, the greater as unsigned ones, and those in the upper halves of 32 bits.
  static Int abs_words(Int x) { return _mm512_abs_epi16(x); }
  static Int max_words(Int a, Int b) { return _mm512_max_epu16(a, b); }
  static Int high_words(Int x) { return _mm512_srli_epi32(x, 16); }
  static void store_all(void* p, Int x) { _mm512_storeu_si512(p, x); }
  static Float lesser(Float a, Float b) { return _mm512_min_ps(a, b); }
};

}  // namespace qgraph::avx512_vnni
