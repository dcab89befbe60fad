#include <immintrin.h>

#include "kernels/cpu/rows/bits.h"

#define QGRAPH_ISA avx512_vnni
#define QGRAPH_ISA_NAME "avx512_vnni"
#define QGRAPH_LANES

namespace qgraph::avx512_vnni {
namespace {

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
};

}  // namespace
#include "kernels/cpu/rows/lanes.inc"

namespace {

#define QGRAPH_CURVE
constexpr bool kCurves = true;

// A coefficient of all segments is two registers, and the segment of each lane picks from them.
template <typename Y>
void curve_as(const int16_t* x, const Curve& f, int64_t n, const Epilogue& e, Y* y) {
  using L = Lanes;
  __m512 c[Curve::kTerms][2];
  for (int k = 0; k < Curve::kTerms; ++k)
    for (int half = 0; half < 2; ++half) c[k][half] = _mm512_loadu_ps(f.c + k * Curve::kSegments + half * 16);
  const auto start = L::all(f.start), middle = L::all((1 << f.shift) / 2), last = L::all(Curve::kSegments - 1);
  const auto low = L::all(e.low), high = L::all(e.high);
  const auto zero = L::all(e.zero);
  const __m128i shift = _mm_cvtsi32_si128(f.shift);
  each(0, n, [&](int64_t i, auto mask) {
    const auto from = L::sub(L::load(x + i, mask), start);
    const auto segment = _mm512_min_epi32(L::max(_mm512_sra_epi32(from, shift), L::zero()), last);
    const auto d = L::real(L::sub(L::sub(from, _mm512_sll_epi32(segment, shift)), middle));
    auto pick = [&](int k) { return _mm512_permutex2var_ps(c[k][0], segment, c[k][1]); };
    auto t = pick(Curve::kTerms - 1);
    for (int k = Curve::kTerms - 2; k >= 0; --k) t = L::add(L::mul(t, d), pick(k));
    L::store(y + i, L::add(L::round(L::clamp(t, low, high)), zero), mask);
  });
}

void curve(const int16_t* x, const Curve& f, int64_t n, const Epilogue& e, void* y) {
  if (e.type == DType::U8) return curve_as(x, f, n, e, static_cast<uint8_t*>(y));
  curve_as(x, f, n, e, static_cast<int16_t*>(y));
}

}  // namespace
}  // namespace qgraph::avx512_vnni

#include "kernels/cpu/rows/rows.inc"
