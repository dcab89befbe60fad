#include <immintrin.h>

#include <algorithm>
#include <array>
#include <utility>

#include "backend/cpu/isa/gemm_f32.h"

namespace qgraph::avx512_vnni {
namespace {

struct Floats {
  using Vector = __m512;
  static constexpr int kCount = 16;
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector all(float x) { return _mm512_set1_ps(x); }
  static Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static Vector load_some(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(Mask(0, static_cast<int>(n)).lanes, p); }
  static void store(float* p, Vector x) { _mm512_storeu_ps(p, x); }
  static void store_some(float* p, Vector x, int64_t n) { _mm512_mask_storeu_ps(p, Mask(0, static_cast<int>(n)).lanes, x); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  /// max and min return their second operand where one is NaN.
  static Vector clamp(Vector t, Vector low, Vector high) { return _mm512_min_ps(high, _mm512_max_ps(low, t)); }

  /// Lanes [from, from + count), which may lie outside.
  struct Mask {
    Mask() = default;
    Mask(int from, int count) : lanes(static_cast<__mmask16>(((1u << count) - 1) << from)) {}
    __mmask16 lanes;
  };
  static Vector merge(Vector x, Mask m, const float* p) { return _mm512_mask_loadu_ps(x, m.lanes, p); }

  struct EvenMask {
    EvenMask() = default;
    EvenMask(int from, int count) : lanes(Mask(from, count).lanes), places(lanes) {
      places = (places | places << 8) & 0x00ff00ffu;  // a zero behind each bit
      places = (places | places << 4) & 0x0f0f0f0fu;
      places = (places | places << 2) & 0x33333333u;
      places = (places | places << 1) & 0x55555555u;
    }
    __mmask16 lanes;
    uint32_t places;
  };
  static Vector merge(Vector x, EvenMask m, const float* p) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const Vector low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(m.places), p),
                 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(m.places >> 16), p + kCount);
    return _mm512_mask_mov_ps(x, m.lanes, _mm512_permutex2var_ps(low, even, high));
  }
};

constexpr int kMostPanels[] = {0, 8, 6, 6, 6, 4, 4, 3, 3};

}  // namespace
#include "backend/cpu/isa/gemm_f32.inc"
}  // namespace qgraph::avx512_vnni
