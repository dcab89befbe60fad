#include <immintrin.h>

#include <algorithm>
#include <array>
#include <utility>

#include "backend/cpu/isa/gemm_f32.h"

namespace qgraph::avx2 {
namespace {

struct Floats {
  using Vector = __m256;
  using Mask = __m256i;
  static constexpr int kCount = 8;
  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector all(float x) { return _mm256_set1_ps(x); }
  static Vector load(const float* p) { return _mm256_loadu_ps(p); }
  static Vector load_some(const float* p, int64_t n) { return _mm256_maskload_ps(p, mask(0, static_cast<int>(n))); }
  static void store(float* p, Vector x) { _mm256_storeu_ps(p, x); }
  static void store_some(float* p, Vector x, int64_t n) { _mm256_maskstore_ps(p, mask(0, static_cast<int>(n)), x); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  /// max and min return their second operand where one is NaN.
  static Vector clamp(Vector t, Vector low, Vector high) { return _mm256_min_ps(high, _mm256_max_ps(low, t)); }
  /// Lanes [from, from + count).
  static Mask mask(int from, int count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32(from - 1)),
                            _mm256_cmpgt_epi32(_mm256_set1_epi32(from + count), lane));
  }
  /// The lanes of x that it takes are zeros.
  static Vector merge(Vector x, Mask m, const float* p) { return _mm256_or_ps(x, _mm256_maskload_ps(p, m)); }
};

constexpr int kMostPanels[] = {0, 4, 2, 2, 1, 1, 1};

}  // namespace
#include "backend/cpu/isa/gemm_f32.inc"
}  // namespace qgraph::avx2
