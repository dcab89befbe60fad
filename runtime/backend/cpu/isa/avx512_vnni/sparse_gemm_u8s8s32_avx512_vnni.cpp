// Products with sparse weights. Two of four: the eight activations that a word stands for are shuffled to where the kept codes
// lie, so that one vpdpbusd does the work of two. Words: those of zeros are not there.
#include <algorithm>

#include "backend/cpu/isa/avx512_vnni/avx512.h"
#include "backend/cpu/isa/gemm.h"
#include "backend/cpu/isa/sparse_layout.h"

#define UNROLL _Pragma("GCC unroll 16")

namespace qgraph::avx512_vnni {
namespace {

constexpr int64_t kWord = kPanel * kDepth;
constexpr int64_t kAhead = 4 * 4 * kPairBytes;  // a row or two wait for memory: ask for it four blocks early

// Places of word s of a block, as bytes of a lane that holds the sixteen activations of words s and s ^ 1.
template <int S>
__m512i places_of(__m512i places) {
  constexpr int kBase = S % 2 == 0 ? 0x04040000 : 0x0c0c0808;
  const __m512i two = _mm512_srli_epi32(places, 2 * S);
  return _mm512_ternarylogic_epi32(two, _mm512_set1_epi32(0x03030303), _mm512_set1_epi32(kBase), 0xea);  // (two & 3) | base
}

template <int R, int P>
void pairs(const uint8_t* a, int64_t lda, const int8_t* b, int64_t stride, int64_t blocks, int32_t* acc, int64_t ldc,
           int64_t columns, bool first) {
  __m512i sum[R][P];
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int p = 0; p < P; ++p) sum[r][p] =
      first ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi32(Lanes::mask(columns - p * kPanel), acc + r * ldc + p * kPanel);
  for (int64_t i = 0; i < blocks; ++i, a += kPairDepth, b += stride) {
    if constexpr (R <= 2) UNROLL for (int i = 0; i < 5 * P; ++i) _mm_prefetch(b + kAhead + i * kWord, _MM_HINT_T0);
    __m512i places[P];
    UNROLL for (int p = 0; p < P; ++p) places[p] = _mm512_load_si512(b + p * kPairBytes);
    const auto half = [&](auto constant) {
      constexpr int kHalf = decltype(constant)::value;
      __m512i low[P], high[P];
      UNROLL for (int p = 0; p < P; ++p) {
        low[p] = places_of<2 * kHalf>(places[p]);
        high[p] = places_of<2 * kHalf + 1>(places[p]);
      }
      UNROLL for (int r = 0; r < R; ++r) {
        const __m512i x = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + r * lda + 16 * kHalf)));
        UNROLL for (int p = 0; p < P; ++p) {
          const int8_t* words = b + p * kPairBytes + (1 + 2 * kHalf) * kWord;
          dot(sum[r][p], _mm512_shuffle_epi8(x, low[p]), _mm512_load_si512(words));
          dot(sum[r][p], _mm512_shuffle_epi8(x, high[p]), _mm512_load_si512(words + kWord));
        }
      }
    };
    half(std::integral_constant<int, 0>());
    half(std::integral_constant<int, 1>());
  }
  UNROLL for (int p = 0; p < P; ++p) UNROLL for (int r = 0; r < R; ++r)
      _mm512_mask_storeu_epi32(acc + r * ldc + p * kPanel, Lanes::mask(columns - p * kPanel), sum[r][p]);
}

// All blocks of some rows; the activations of the last are copied where they end inside it.
template <int R, int P>
void pair_rows(const uint8_t* a, int64_t lda, const int8_t* b, int64_t stride, int64_t k, int32_t* acc, int64_t ldc,
               int64_t columns) {
  const int64_t full = k / kPairDepth, left = k % kPairDepth;
  pairs<R, P>(a, lda, b, stride, full, acc, ldc, columns, true);
  if (left == 0) return;
  uint8_t tail[R * kPairDepth] = {};
  for (int r = 0; r < R; ++r) std::memcpy(tail + r * kPairDepth, a + r * lda + full * kPairDepth, static_cast<size_t>(left));
  pairs<R, P>(tail, kPairDepth, b + full * stride, stride, 1, acc, ldc, columns, false);
}

template <int P>
void pair_columns(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t stride, int64_t k, int32_t* acc,
                  int64_t ldc, int64_t columns) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6) pair_rows<6, P>(a + r * lda, lda, b, stride, k, acc + r * ldc, ldc, columns);
  constexpr decltype(&pair_rows<1, P>) kRest[] = {nullptr,         pair_rows<1, P>, pair_rows<2, P>,
                                                  pair_rows<3, P>, pair_rows<4, P>, pair_rows<5, P>};
  if (r < rows) kRest[rows - r](a + r * lda, lda, b, stride, k, acc + r * ldc, ldc, columns);
}

// Panels of one group: four for a row or two, which wait for memory, else two, whose sums fit the registers.
void pair_group(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t stride, int64_t k, int32_t* acc,
                int64_t ldc, int64_t columns) {
  if (rows <= 2 && columns > 3 * kPanel)
    return (rows == 1 ? pair_rows<1, 4> : pair_rows<2, 4>)(a, lda, b, stride, k, acc, ldc, columns);
  for (int64_t c = 0; c < columns; c += 2 * kPanel) {
    const auto run = columns - c > kPanel ? pair_columns<2> : pair_columns<1>;
    run(a, lda, rows, b + c / kPanel * kPairBytes, stride, k, acc + c, ldc, columns - c);
  }
}

void two_of_four(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns,
                 int32_t* acc, int64_t ldc) {
  for (int64_t c = column; c < column + columns;) {
    const int64_t end = std::min(column + columns, (c / kPairColumns + 1) * kPairColumns);
    const PairPlace place = pair_place(w.n, w.k, c);
    pair_group(a, lda, rows, w.data + place.offset, place.stride, w.k, acc + c - column, ldc, end - c);
    c = end;
  }
}

// One panel; a few rows take turns with several sums each, so that the dots need not wait for one another.
template <int R, int T>
void words(const uint8_t* a, int64_t lda, const int8_t* b, const int32_t* depths, int64_t count, int64_t k, int32_t* acc,
           int64_t ldc, int64_t columns) {
  __m512i sum[R][T];
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int t = 0; t < T; ++t) sum[r][t] = _mm512_setzero_si512();
  if (count > 0 && depths[count - 1] + kDepth > k) {  // depths rise: the last word alone may reach beyond the rows
    --count;
    UNROLL for (int r = 0; r < R; ++r)
        dot(sum[r][0], _mm512_set1_epi32(static_cast<int>(any_word(a + r * lda, depths[count], k))),
            _mm512_load_si512(b + count * kWord));
  }
  const auto one = [&](int64_t i, int t) {
    const __m512i weights = _mm512_load_si512(b + i * kWord);
    UNROLL for (int r = 0; r < R; ++r)
        dot(sum[r][t], _mm512_set1_epi32(static_cast<int>(full_word(a + r * lda + depths[i]))), weights);
  };
  int64_t i = 0;
  for (; i + T <= count; i += T) UNROLL for (int t = 0; t < T; ++t) one(i + t, t);
  for (; i < count; ++i) one(i, 0);
  UNROLL for (int r = 0; r < R; ++r) {
    UNROLL for (int t = 1; t < T; ++t) sum[r][0] = _mm512_add_epi32(sum[r][0], sum[r][t]);
    _mm512_mask_storeu_epi32(acc + r * ldc, Lanes::mask(columns), sum[r][0]);
  }
}

void kept_words(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns,
                int32_t* acc, int64_t ldc) {
  constexpr decltype(&words<1, 4>) kRest[] = {nullptr,     words<1, 8>, words<2, 4>, words<3, 4>,
                                              words<4, 2>, words<5, 2>, words<6, 2>};
  for (int64_t c = 0; c < columns; c += kPanel) {
    const int64_t from = w.starts[(column + c) / kPanel], count = w.starts[(column + c) / kPanel + 1] - from;
    for (int64_t r = 0; r < rows;) {
      const int64_t some = std::min<int64_t>(6, rows - r);
      kRest[some](a + r * lda, lda, w.data + from * kWord, w.depths + from, count, w.k, acc + r * ldc + c, ldc, columns - c);
      r += some;
    }
  }
}

}  // namespace

void expand_sparse(const PackedWeights& w, int64_t column, int panels, int64_t from, int64_t depth, int8_t* out, int64_t to) {
  const __m512i order = _mm512_set1_epi32(0x03020100);
  for (int p = 0; p < panels; ++p, column += kPanel, out += to) {
    if (w.form == SparseForm::Words) {
      std::memset(out, 0, static_cast<size_t>(round_up(depth, kDepth) * kPanel));
      const int32_t *first = w.depths + w.starts[column / kPanel], *last = w.depths + w.starts[column / kPanel + 1];
      for (const int32_t* d = std::lower_bound(first, last, from); d < last && *d < from + depth; ++d)
        std::memcpy(out + (*d - from) * kPanel, w.data + (d - w.depths) * kWord, kWord);
      continue;
    }
    const PairPlace place = pair_place(w.n, w.k, column);
    for (int64_t d = 0; d < depth; d += kDepth) {
      const int8_t* block = w.data + place.offset + (from + d) / kPairDepth * place.stride;
      const int64_t s = d % kPairDepth / 8;
      const __m512i places = _mm512_and_si512(
          _mm512_srlv_epi32(_mm512_load_si512(block), _mm512_set1_epi32(static_cast<int>(2 * s))), _mm512_set1_epi8(3));
      const __m512i codes = _mm512_load_si512(block + (1 + s) * kWord);
      __m512i dense = _mm512_setzero_si512();
      for (int j = 0; j < 2; ++j) {  // a code goes to the byte of its four that its place names
        const int byte = static_cast<int>(d % 8 / kDepth * 2) + j;
        const __m512i spread =
            _mm512_add_epi8(_mm512_set1_epi32(byte * 0x01010101), _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0));
        const __mmask64 here = _mm512_cmpeq_epi8_mask(_mm512_shuffle_epi8(places, spread), order);
        dense = _mm512_or_si512(dense, _mm512_maskz_shuffle_epi8(here, codes, spread));
      }
      _mm512_store_si512(out + d * kPanel, dense);
    }
  }
}

void sparse_gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns,
                 int32_t* acc, int64_t ldc) {
  (w.form == SparseForm::TwoOfFour ? two_of_four : kept_words)(a, lda, rows, w, column, columns, acc, ldc);
}

}  // namespace qgraph::avx512_vnni
