#include <immintrin.h>

#include <algorithm>
#include <array>
#include <utility>

#include "backend/cpu/isa/gemm_f32.h"

namespace qgraph::avx2 {
namespace {

struct Floats {
  using Vector = __m256;
  static constexpr int kCount = 8;
  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector all(float x) { return _mm256_set1_ps(x); }
  static Vector load(const float* p) { return _mm256_loadu_ps(p); }
  static Vector load_some(const float* p, int64_t n) { return _mm256_maskload_ps(p, Mask(0, static_cast<int>(n)).lanes); }
  static void store(float* p, Vector x) { _mm256_storeu_ps(p, x); }
  static void store_some(float* p, Vector x, int64_t n) { _mm256_maskstore_ps(p, Mask(0, static_cast<int>(n)).lanes, x); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  /// max and min return their second operand where one is NaN.
  static Vector clamp(Vector t, Vector low, Vector high) { return _mm256_min_ps(high, _mm256_max_ps(low, t)); }
  /// Lanes [from, from + count).

  /// Lanes [from, from + count) of those in `lane`.
  static __m256i within(__m256i lane, int from, int count) {
    return _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32(from - 1)),
                            _mm256_cmpgt_epi32(_mm256_set1_epi32(from + count), lane));
  }
  struct Mask {
    Mask() = default;
    Mask(int from, int count) : lanes(within(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), from, count)) {}
    __m256i lanes;
  };
  static Vector merge(Vector x, const Mask& m, const float* p) { return _mm256_or_ps(x, _mm256_maskload_ps(p, m.lanes)); }

  struct EvenMask {
    EvenMask() = default;
    EvenMask(int from, int count)
        : low(within(_mm256_setr_epi32(0, -1, 1, -1, 2, -1, 3, -1), std::max(from, 0), count + std::min(from, 0))),
          high(within(_mm256_setr_epi32(4, -1, 5, -1, 6, -1, 7, -1), std::max(from, 0), count + std::min(from, 0))) {}
    __m256i low, high;
  };
  static Vector merge(Vector x, const EvenMask& m, const float* p) {
    const Vector both = _mm256_shuffle_ps(_mm256_maskload_ps(p, m.low), _mm256_maskload_ps(p + kCount, m.high), 0x88);
    return _mm256_or_ps(x, _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(both), 0xd8)));
  }
};

constexpr int kMostPanels[] = {0, 4, 2, 2, 1, 1, 1};

}  // namespace
#include "backend/cpu/isa/gemm_f32.inc"
}  // namespace qgraph::avx2
