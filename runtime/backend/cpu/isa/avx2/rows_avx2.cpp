#include <immintrin.h>

#include "backend/cpu/isa/bits.h"

#define QGRAPH_ISA avx2
#define QGRAPH_ISA_NAME "avx2"
#define QGRAPH_LANES

namespace qgraph::avx2 {
namespace {

// Loads and stores of fewer than 8 elements go through a buffer.
struct Lanes {
  using Float = __m256;
  using Int = __m256i;
  using Mask = int64_t;
  struct Full {};  // in place of a mask: all lanes
  static constexpr int64_t kCount = 8;
  static Mask mask(int64_t left) { return std::min(left, kCount); }
  static Int zero() { return _mm256_setzero_si256(); }
  static Float all(float x) { return _mm256_set1_ps(x); }
  static Int all(int32_t x) { return _mm256_set1_epi32(x); }
  template <typename T>
  static const T* whole(const T* p, Mask m, T* buffer) {
    std::memset(buffer, 0, kCount * sizeof(T));
    std::memcpy(buffer, p, static_cast<size_t>(m) * sizeof(T));
    return buffer;
  }
  static Float load(const float* p, Mask m) {
    float b[kCount];
    return _mm256_loadu_ps(whole(p, m, b));
  }
  static Int load(const int32_t* p, Mask m) {
    int32_t b[kCount];
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(whole(p, m, b)));
  }
  static Int load(const uint8_t* p, Mask m) {
    uint8_t b[kCount];
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(whole(p, m, b))));
  }
  static Int load(const int16_t* p, Mask m) {
    int16_t b[kCount];
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(whole(p, m, b))));
  }
  static Float load(const float* p, Full) { return _mm256_loadu_ps(p); }
  static Int load(const int32_t* p, Full) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Int load(const uint8_t* p, Full) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))); }
  static Int load(const int16_t* p, Full) { return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static Float load_or(const float* p, Full, float) { return _mm256_loadu_ps(p); }
  static Int keep(Int x, Full) { return x; }
  static Float load_or(const float* p, Mask m, float other) {
    float b[kCount];
    std::fill(b, b + kCount, other);
    std::memcpy(b, p, static_cast<size_t>(m) * sizeof(float));
    return _mm256_loadu_ps(b);
  }
  static Int keep(Int x, Mask m) {
    return _mm256_and_si256(x, _mm256_cmpgt_epi32(all(static_cast<int32_t>(m)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
  }
  /// See the AVX-512 ones.
  static Int lane_bytes(Int a, Int b, Int c, Int d, Int zero) {
    const Int ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), zero), cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), zero);
    return _mm256_packus_epi16(ab, cd);
  }
  static Int lane_bytes(Int a, Int b, Int c, Int d) {
    return _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  }
  static Int greater(Int a, Int b) { return _mm256_max_epu8(a, b); }
  static Int lesser(Int a, Int b) { return _mm256_min_epu8(a, b); }
  static Int lesser_words(Int a, Int b) { return _mm256_min_epi16(a, b); }
  static Int in_order(Int bytes) { return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); }
  /// Numbers of 32 bits that add up to what the bytes do.
  static Int sums_of_bytes(Int x) { return _mm256_sad_epu8(x, _mm256_setzero_si256()); }
  static Int all(int16_t x) { return _mm256_set1_epi16(x); }
  static Int all(uint8_t x) { return _mm256_set1_epi8(static_cast<char>(x)); }
  static Int words(Int a, Int b, Int low) {
    return _mm256_permute4x64_epi64(_mm256_max_epi16(_mm256_packs_epi32(a, b), low), 0xd8);
  }
  static Int abs(Int x) { return _mm256_abs_epi32(x); }
  static Int load_all(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static Int abs_words(Int x) { return _mm256_abs_epi16(x); }
  static Int max_words(Int a, Int b) { return _mm256_max_epu16(a, b); }
  static Int high_words(Int x) { return _mm256_srli_epi32(x, 16); }
  static void store_all(void* p, Int x) { _mm256_storeu_si256(static_cast<__m256i*>(p), x); }
  static Float lesser(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Int bits(Float x) { return _mm256_castps_si256(x); }
  static Int both(Int a, Int b) { return _mm256_and_si256(a, b); }
  static Int differ(Int a, Int b) { return _mm256_xor_si256(a, b); }
  static Int max(Int a, Int b) { return _mm256_max_epi32(a, b); }
  static Int min(Int a, Int b) { return _mm256_min_epi32(a, b); }
  static int32_t greatest(Int x) {
    int32_t b[kCount];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b), x);
    int32_t top = b[0];
    for (int32_t v : b) top = v > top ? v : top;
    return top;
  }
  static int64_t total(Int x) {
    int32_t b[kCount];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b), x);
    int64_t sum = 0;
    for (int32_t v : b) sum += v;
    return sum;
  }
  /// See ordered in rows.inc.
  static Int ordered(Int b) { return _mm256_xor_si256(b, both(_mm256_srai_epi32(b, 31), all(0x7fffffff))); }
  /// The float whose exponent field is x.
  static Float power(Int x) { return _mm256_castsi256_ps(_mm256_slli_epi32(x, 23)); }
  static Float greater(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float real(Int x) { return _mm256_cvtepi32_ps(x); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int sub(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  /// NaN gives low, as max and min return their second operand.
  static Float clamp(Float t, Float low, Float high) { return _mm256_min_ps(_mm256_max_ps(t, low), high); }
  static Int round(Float t) { return _mm256_cvtps_epi32(_mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)); }
  static __m128i bytes(Int x) {
    const __m128i pairs = words(x);
    return _mm_packus_epi16(pairs, pairs);
  }
  static __m128i words(Int x) { return _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)); }
  static void store(float* p, Float t, Full) { _mm256_storeu_ps(p, t); }
  static void store(uint8_t* p, Int x, Full) { _mm_storel_epi64(reinterpret_cast<__m128i*>(p), bytes(x)); }
  static void store(int16_t* p, Int x, Full) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), words(x)); }
  static void store(float* p, Float t, Mask m) {
    float b[kCount];
    _mm256_storeu_ps(b, t);
    std::memcpy(p, b, static_cast<size_t>(m) * sizeof(float));
  }
  static void store(uint8_t* p, Int x, Mask m) {
    uint8_t b[16];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(b), bytes(x));
    std::memcpy(p, b, static_cast<size_t>(m));
  }
  static void store(int16_t* p, Int x, Mask m) {
    int16_t b[kCount];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(b), words(x));
    std::memcpy(p, b, static_cast<size_t>(m) * 2);
  }
};

}  // namespace
#include "backend/cpu/isa/lanes.inc"
}  // namespace qgraph::avx2

#include "backend/cpu/isa/rows.inc"
