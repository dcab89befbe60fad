// 6 rows x 4 panels of 16 columns: 24 accumulators, one vpdpbusd for 64 products (it does not saturate). Codes of fewer bits
// are expanded in registers for a few rows, into L1 for many. Bytes are made of the accumulators where they are.
#include <algorithm>

#include "backend/cpu/isa/avx512_vnni/avx512.h"
#include "backend/cpu/isa/gemm.h"

#define UNROLL _Pragma("GCC unroll 8")

namespace qgraph::avx512_vnni {
namespace {

constexpr int64_t kChunk = 256;  // depth of expanded weights: four panels fill half of L1
constexpr int64_t kFewRows = 4;  // rows for which expanding in registers is the quicker way

__m512i table_of(const Levels& levels) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels.data())));
}

// Codes from field s of each byte, looked up in the table of levels.
template <int Bits>
__m512i expand(__m512i bytes, int s, __m512i table) {
  if constexpr (Bits == 8) return bytes;
  const __m512i fields =
      _mm512_and_si512(_mm512_srli_epi16(bytes, static_cast<unsigned>(s * Bits)), _mm512_set1_epi8((1 << Bits) - 1));
  return _mm512_shuffle_epi8(table, fields);
}

#include "backend/cpu/isa/finish.inc"

// Where a tile's sums come from and go to: accumulators in memory.
template <int P>
struct Accumulators {
  Accumulators(int32_t* acc, int64_t ldc, int64_t columns, bool first) : acc(acc), ldc(ldc), first(first) {
    UNROLL for (int p = 0; p < P; ++p) mask[p] = Lanes::mask(columns - p * kPanel);
  }
  Accumulators below(int64_t rows) const {
    Accumulators other = *this;
    other.acc += rows * ldc;
    return other;
  }
  __m512i begin(int r, int p) const {
    return first ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi32(mask[p], acc + r * ldc + p * kPanel);
  }
  void end(int r, const __m512i* sum) const {
    UNROLL for (int p = 0; p < P; ++p) _mm512_mask_storeu_epi32(acc + r * ldc + p * kPanel, mask[p], sum[p]);
  }
  int32_t* acc;
  int64_t ldc;
  bool first;
  __mmask16 mask[P];
};

// The same: from the bias, to bytes.
template <int P, Extra kExtra>
struct Finished {
  Finished(const Epilogue& e, int64_t columns, uint8_t* y, int64_t row_stride, const uint8_t* residual)
      : e(e), bytes(e), y(y), row_stride(row_stride), residual(residual), whole(columns == P * kPanel) {
    all = columns >= 64 ? ~uint64_t{0} : (uint64_t{1} << columns) - 1;
    UNROLL for (int p = 0; p < P; ++p) mask[p] = Lanes::mask(columns - p * kPanel);
  }
  Finished below(int64_t rows) const {
    Finished other = *this;
    other.y += rows * row_stride;
    if (kExtra != Extra::kNone) other.residual += rows * row_stride;
    return other;
  }
  __m512i begin(int, int p) const {
    if (e.bias == nullptr) return _mm512_setzero_si512();
    return whole ? _mm512_loadu_si512(e.bias + p * kPanel) : _mm512_maskz_loadu_epi32(mask[p], e.bias + p * kPanel);
  }
  void end(int r, const __m512i* sum) const {
    if (whole)
      put(r, sum, [](int) { return Lanes::Full{}; });
    else
      put(r, sum, [&](int p) { return mask[p]; });
  }
  template <typename Masks>
  void put(int r, const __m512i* sum, Masks&& masks) const {
    __m512 t[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    UNROLL for (int p = 0; p < P; ++p) t[p] = finished<kExtra, false, false, true>(
        e, sum[p], Lanes::load(e.multiplier + p * kPanel, masks(p)), t[p], 1.0f, residual, r * row_stride + p * kPanel, masks(p));
    const __m512i codes = bytes(t[0], t[1], t[2], t[3]);
    uint8_t* to = y + r * row_stride;
    if (!std::is_same_v<decltype(masks(0)), Lanes::Full> || P == 3)  // memory behind a mask is slower
      _mm512_mask_storeu_epi8(to, all, codes);
    else if (P == 4)
      _mm512_storeu_si512(to, codes);
    else if (P == 2)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(codes));
    else
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_castsi512_si128(codes));
  }
  const Epilogue& e;
  const Bytes<true> bytes;
  uint8_t* y;
  int64_t row_stride;
  const uint8_t* residual;
  bool whole;  // every panel is
  __mmask64 all;
  __mmask16 mask[P];
};

template <int R, int P, int Bits, typename Sums>
void tile(const Rows& rows, int64_t row, const int8_t* b, int64_t panel, int64_t k, const Sums& sums, const Levels& levels,
          const int8_t* ahead) {
  constexpr int kFields = 8 / Bits;
  const __m512i table = table_of(levels);
  // unrolled early by the compiler so that the accumulators live in registers
  __m512i sum[R][P];
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int p = 0; p < P; ++p) sum[r][p] = sums.begin(r, p);
  const int64_t segments = rows.segments(k), length = k / segments, full = length / (kDepth * kFields);
  const uint8_t* x_of[R];
  UNROLL for (int r = 0; r < R; ++r) x_of[r] = rows.row(row + r);
  int64_t segment = 0;
  for (int64_t w = 0; w < full; b += 64, ahead += 64) {
    __m512i bytes[P];
    UNROLL for (int p = 0; p < P; ++p) bytes[p] = _mm512_load_si512(b + p * panel);
    _mm_prefetch(ahead, _MM_HINT_T1);
    UNROLL for (int s = 0; s < kFields; ++s) {
      __m512i weights[P];
      UNROLL for (int p = 0; p < P; ++p) weights[p] = expand<Bits>(bytes[p], s, table);
      UNROLL for (int r = 0; r < R; ++r) {
        const __m512i x = _mm512_set1_epi32(static_cast<int>(full_word(x_of[r] + (w * kFields + s) * kDepth)));
        UNROLL for (int p = 0; p < P; ++p) dot(sum[r][p], x, weights[p]);
      }
    }
    if (++w == full && ++segment < segments) {
      UNROLL for (int r = 0; r < R; ++r) x_of[r] += rows.step;
      w = 0;
    }
  }
  if (full * kFields * kDepth < length) {  // of one segment
    UNROLL for (int s = 0; s < kFields; ++s) {
      UNROLL for (int r = 0; r < R; ++r) {
        const __m512i x = _mm512_set1_epi32(static_cast<int>(any_word(x_of[r], (full * kFields + s) * kDepth, k)));
        UNROLL for (int p = 0; p < P; ++p) dot(sum[r][p], x, expand<Bits>(_mm512_load_si512(b + p * panel), s, table));
      }
    }
  }
  UNROLL for (int r = 0; r < R; ++r) sums.end(r, sum[r]);
}

template <int P, typename Sums>
void wide(const Rows& a, int64_t rows, const int8_t* b, int64_t panel, int64_t k, const Sums& sums) {
  constexpr decltype(&tile<1, P, 8, Sums>) kRest[] = {
      nullptr, tile<1, P, 8, Sums>, tile<2, P, 8, Sums>, tile<3, P, 8, Sums>, tile<4, P, 8, Sums>, tile<5, P, 8, Sums>};
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6) tile<6, P, 8>(a, r, b, panel, k, sums.below(r), kSigned.four, b + (P + r / 6 % P) * panel);
  if (r < rows) kRest[rows - r](a, r, b, panel, k, sums.below(r), kSigned.four, b + (P + r / 6 % P) * panel);
}

template <int P, int Bits>
void narrow(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t panel, int64_t k, int32_t* acc, int64_t ldc,
            int64_t columns, const Levels& levels) {
  if (rows <= kFewRows) {
    using Sums = Accumulators<P>;
    constexpr decltype(&tile<1, P, Bits, Sums>) kRows[] = {nullptr, tile<1, P, Bits, Sums>, tile<2, P, Bits, Sums>,
                                                           tile<3, P, Bits, Sums>, tile<4, P, Bits, Sums>};
    return kRows[rows]({a, lda}, 0, b, panel, k, Sums(acc, ldc, columns, true), levels, b + P * panel);
  }
  alignas(64) int8_t expanded[P * kChunk * kPanel];
  for (int64_t d = 0; d < k; d += kChunk) {
    const int64_t depth = std::min(kChunk, k - d), words = round_up(depth, kDepth) / kDepth;
    expand_panels(b + d / 8 * Bits * kPanel, panel, P, words, Bits, levels, expanded, kChunk * kPanel);
    wide<P>({a + d, lda}, rows, expanded, kChunk * kPanel, depth, Accumulators<P>(acc, ldc, columns, d == 0));
  }
}

template <int P>
void columns_of(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t panel, int64_t k, int bits, int32_t* acc,
                int64_t ldc, int64_t columns, const Levels& levels) {
  if (bits == 8) return wide<P>({a, lda}, rows, b, panel, k, Accumulators<P>(acc, ldc, columns, true));
  if (bits == 4) return narrow<P, 4>(a, lda, rows, b, panel, k, acc, ldc, columns, levels);
  if (bits == 2) return narrow<P, 2>(a, lda, rows, b, panel, k, acc, ldc, columns, levels);
  refuse_bits(bits);
}

template <int P, Extra kExtra>
void finished_columns(const Rows& a, int64_t rows, const int8_t* b, int64_t panel, int64_t k, const Epilogue& e, int64_t columns,
                      uint8_t* y, int64_t row_stride, const uint8_t* residual) {
  wide<P>(a, rows, b, panel, k, Finished<P, kExtra>(e, columns, y, row_stride, residual));
}

}  // namespace

void expand_panels(const int8_t* packed, int64_t from, int panels, int64_t words, int bits, const Levels& levels, int8_t* out,
                   int64_t to) {
  const __m512i table = table_of(levels);
  with_bits(bits, [&](auto constant) {
    constexpr int kBits = decltype(constant)::value;
    for (int p = 0; p < panels; ++p)
      for (int64_t w = 0; w < words; ++w)
        _mm512_store_si512(out + p * to + w * 64, expand<kBits>(_mm512_load_si512(packed + p * from + w * kBits / 8 * 64),
                                                                static_cast<int>(w % (8 / kBits)), table));
  });
}

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  if (w.form != SparseForm::Dense) return sparse_gemm(a, lda, rows, w, column, columns, acc, ldc);
  const int64_t panel = panel_bytes(w.k, w.bits);
  for (int64_t c = 0; c < columns; c += 4 * kPanel) {
    const int8_t* b = w.data + (column + c) / kPanel * panel;
    const int64_t left = columns - c;
    const auto run = left > 3 * kPanel   ? columns_of<4>
                     : left > 2 * kPanel ? columns_of<3>
                     : left > kPanel     ? columns_of<2>
                                         : columns_of<1>;
    run(a, lda, rows, b, panel, w.k, w.bits, acc + c, ldc, left, w.levels);
  }
}

bool fused(const Rows& a, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, const Epilogue& e, void* y,
           int64_t row_stride, const void* residual) {
  if (!can_fuse(w, e, residual != nullptr)) return false;
  constexpr decltype(&finished_columns<1, Extra::kNone>) kRuns[2][4] = {
      {finished_columns<1, Extra::kNone>, finished_columns<2, Extra::kNone>, finished_columns<3, Extra::kNone>,
       finished_columns<4, Extra::kNone>},
      {finished_columns<1, Extra::kIntermediateU8>, finished_columns<2, Extra::kIntermediateU8>,
       finished_columns<3, Extra::kIntermediateU8>, finished_columns<4, Extra::kIntermediateU8>}};
  const int64_t panel = panel_bytes(w.k, w.bits);
  for (int64_t c = 0; c < columns; c += 4 * kPanel) {
    const int64_t some = std::min<int64_t>(4 * kPanel, columns - c), panels = (some + kPanel - 1) / kPanel;
    const auto* added = static_cast<const uint8_t*>(residual);
    kRuns[added != nullptr][panels - 1](a, rows, w.data + (column + c) / kPanel * panel, panel, w.k, part_of(e, 0, c), some,
                                        static_cast<uint8_t*>(y) + c, row_stride, added == nullptr ? nullptr : added + c);
  }
  return true;
}

}  // namespace qgraph::avx512_vnni
