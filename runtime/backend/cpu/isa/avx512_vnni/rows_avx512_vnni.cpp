#include "backend/cpu/isa/avx512_vnni/lanes_avx512.h"
#include "backend/cpu/isa/gemm.h"

#define QGRAPH_ISA avx512_vnni
#define QGRAPH_ISA_NAME "avx512_vnni"
#define QGRAPH_LANES

namespace qgraph::avx512_vnni {
#include "backend/cpu/isa/lanes.inc"

namespace {

#define QGRAPH_FUSED
constexpr bool kStridedRows = true;
constexpr auto kFused = fused;
constexpr auto kFusedDepthwise = fused_depthwise;

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

#include "backend/cpu/isa/rows.inc"
