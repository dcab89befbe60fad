// uint8 x int8 -> int32 matrix product and depthwise sum: one of each an instruction set, see Kernels.
#pragma once

#include <cstring>
#include <type_traits>

#include "backend/cpu/isa/kernels.h"

namespace qgraph {

/// The word of four activations at depth k, zero beyond the end.
inline uint32_t tail_word(const uint8_t* a, int64_t k, int64_t end) {
  uint32_t word = 0;
  std::memcpy(&word, a + k, static_cast<size_t>(end - k));
  return word;
}

/// The same, or a whole word, or nothing where k lies beyond the end.
inline uint32_t any_word(const uint8_t* a, int64_t k, int64_t end) {
  return k >= end ? 0 : tail_word(a, k, end - k < 4 ? end : k + 4);
}

inline uint32_t full_word(const uint8_t* a) {
  uint32_t word;
  std::memcpy(&word, a, 4);
  return word;
}

/// Code `s` of a byte that holds 8 / bits of them.
inline int8_t code_in(int8_t byte, int s, int bits, const Levels& levels) {
  if (bits == 8) return byte;
  return levels[static_cast<size_t>(static_cast<uint8_t>(byte) >> (s * bits) & ((1 << bits) - 1))];
}

/// Throws Error: there are no kernels for codes of so many bits.
[[noreturn]] void refuse_bits(int bits);

/// Call f with the bits of a code as a constant.
template <typename F>
void with_bits(int bits, F&& f) {
  switch (bits) {
    case 8:
      return f(std::integral_constant<int, 8>());
    case 4:
      return f(std::integral_constant<int, 4>());
    case 2:
      return f(std::integral_constant<int, 2>());
    default:
      refuse_bits(bits);
  }
}

/// Kernels::fused of instruction sets that have none.
inline bool never_fused(const Rows&, int64_t, const PackedWeights&, int64_t, int64_t, const Epilogue&, void*, int64_t,
                        const void*) {
  return false;
}

namespace amx_int8 {
bool fused(const Rows& a, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, const Epilogue& e, void* y,
           int64_t row_stride, const void* residual);
}
namespace avx512_vnni {
bool fused(const Rows& a, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, const Epilogue& e, void* y,
           int64_t row_stride, const void* residual);
void fused_depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels,
                     int64_t step, int column_reuse, const Epilogue& e, uint8_t* y);
/// Expand `words` words of P panels of fewer bits, `from` bytes apart, to 8 bits, `to` bytes apart.
void expand_panels(const int8_t* packed, int64_t from, int panels, int64_t words, int bits, const Levels& levels, int8_t* out,
                   int64_t to);
/// The same of weights in a sparse form, [from, from + depth) of their depth, `from` a multiple of 32; from panel column / 16.
void expand_sparse(const PackedWeights& w, int64_t column, int panels, int64_t from, int64_t depth, int8_t* out, int64_t to);
/// The product with weights in a sparse form.
void sparse_gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns,
                 int32_t* acc, int64_t ldc);
}  // namespace avx512_vnni

#define QGRAPH_DECLARE_GEMM(isa, row_step, avx512)                                                                               \
  namespace isa {                                                                                                                \
  constexpr int64_t kRowStep = row_step;                                                                                         \
  constexpr bool kSparse = avx512, kVnni4Layout = avx512;                                                                        \
  void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,  \
            int64_t ldc);                                                                                                        \
  void depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels, int64_t step, \
                 int column_reuse, int32_t* acc);                                                                                \
  }
QGRAPH_DECLARE_GEMM(reference, 1, false)
QGRAPH_DECLARE_GEMM(portable, 4, false)
QGRAPH_DECLARE_GEMM(avx2, 6, false)
QGRAPH_DECLARE_GEMM(avx_vnni, 6, false)
QGRAPH_DECLARE_GEMM(avx512_vnni, 6, true)
QGRAPH_DECLARE_GEMM(amx_int8, 16, true)
#undef QGRAPH_DECLARE_GEMM

}  // namespace qgraph
