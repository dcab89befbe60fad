// 6 rows x 8 columns. vpmaddubsw would saturate, so both operands are 16 bits wide for vpmaddwd: the activations of a block are
// widened once for all columns, the weights at every load.
#include <immintrin.h>

#include <algorithm>

#include "backend/cpu/isa/gemm.h"

#define UNROLL _Pragma("GCC unroll 8")

namespace qgraph::avx2 {
namespace {

constexpr int64_t kChunk = 1024;  // depth of a block: six rows of words stay in L1
constexpr int64_t kBlockRows = 6;

// Both at once: GCC 12 schedules the intrinsics so that sums are spilled, and 12 sums, 2 words of weights, the activations and
// the products fill the 16 registers.
inline void dot(__m256i& sum, __m256i x, __m256i w) {
  __m256i product;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(x), "x"(w));
}

// Sixteen codes: field s of the bytes at b.
template <int Bits>
__m128i load(const int8_t* b, int s, __m128i levels) {
  const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(b));
  if constexpr (Bits == 8) return bytes;
  const __m128i fields = _mm_and_si128(_mm_srli_epi16(bytes, s * Bits), _mm_set1_epi8((1 << Bits) - 1));
  return _mm_shuffle_epi8(levels, fields);
}

// acc (+)= x [R, 4 * words] times 8 columns of packed weights.
template <int R, int Bits>
void tile(const int16_t* x, int64_t words, const int8_t* b, int32_t* acc, int64_t ldc, int64_t columns, bool first,
          __m128i levels) {
  __m256i sum[R][2];  // pairs of partial sums: columns 0-3 and 4-7
  UNROLL for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
  for (int64_t w = 0; w < words; b += 64) UNROLL for (int s = 0; s < 8 / Bits; ++s, ++w) {
      const __m256i low = _mm256_cvtepi8_epi16(load<Bits>(b, s, levels));
      const __m256i high = _mm256_cvtepi8_epi16(load<Bits>(b + 16, s, levels));
      UNROLL for (int r = 0; r < R; ++r) {
        long long four;
        std::memcpy(&four, x + r * kChunk + w * kDepth, 8);
        const __m256i v = _mm256_set1_epi64x(four);
        dot(sum[r][0], v, low);
        dot(sum[r][1], v, high);
      }
    }
  UNROLL for (int r = 0; r < R; ++r) {
    const __m256i mixed = _mm256_hadd_epi32(sum[r][0], sum[r][1]);  // columns 0 1 4 5 2 3 6 7
    const __m256i found = _mm256_permute4x64_epi64(mixed, 0xd8);
    int32_t* to = acc + r * ldc;
    if (columns >= 8) {
      auto* whole = reinterpret_cast<__m256i*>(to);
      _mm256_storeu_si256(whole, first ? found : _mm256_add_epi32(found, _mm256_loadu_si256(whole)));
      continue;
    }
    alignas(32) int32_t out[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), found);
    for (int64_t c = 0; c < columns; ++c) to[c] = (first ? 0 : to[c]) + out[c];
  }
}

// A row of activations, zero up to `padded`.
void widen(const uint8_t* a, int64_t k, int64_t padded, int16_t* x) {
  int64_t i = 0;
  for (; i + 16 <= k; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(x + i),
                        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i))));
  for (; i < k; ++i) x[i] = a[i];
  for (; i < padded; ++i) x[i] = 0;
}

template <int Bits>
void product(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
             int64_t ldc) {
  constexpr decltype(&tile<1, Bits>) kTiles[] = {nullptr,       tile<1, Bits>, tile<2, Bits>, tile<3, Bits>,
                                                 tile<4, Bits>, tile<5, Bits>, tile<6, Bits>};
  const int64_t bytes = panel_bytes(w.k, Bits);
  const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w.levels.data()));
  alignas(32) int16_t x[kBlockRows * kChunk];
  for (int64_t r = 0; r < rows; r += kBlockRows) {
    const int64_t block = std::min(kBlockRows, rows - r);
    for (int64_t k = 0; k < w.k; k += kChunk) {
      const int64_t depth = std::min(kChunk, w.k - k), padded = round_up(depth, kDepth * 8 / Bits);
      for (int64_t i = 0; i < block; ++i) widen(a + (r + i) * lda + k, depth, padded, x + i * kChunk);
      for (int64_t c = 0; c < columns; c += 8) {
        const int8_t* b = w.data + (column + c) / kPanel * bytes + k / 8 * Bits * kPanel + (column + c) % kPanel * kDepth;
        kTiles[block](x, padded / kDepth, b, acc + r * ldc + c, ldc, columns - c, k == 0, levels);
      }
    }
  }
}

}  // namespace

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  with_bits(w.bits, [&](auto bits) { product<decltype(bits)::value>(a, lda, rows, w, column, columns, acc, ldc); });
}

}  // namespace qgraph::avx2
