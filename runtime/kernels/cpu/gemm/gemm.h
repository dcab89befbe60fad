// uint8 x int8 -> int32 matrix product and depthwise sum: one of each an instruction set, see Kernels.
#pragma once

#include <cstring>

#include "kernels/kernel.h"

namespace qgraph {

/// The word of four activations at depth k, zero beyond the end.
inline uint32_t tail_word(const uint8_t* a, int64_t k, int64_t end) {
  uint32_t word = 0;
  std::memcpy(&word, a + k, static_cast<size_t>(end - k));
  return word;
}

inline uint32_t full_word(const uint8_t* a) {
  uint32_t word;
  std::memcpy(&word, a, 4);
  return word;
}

#define QGRAPH_DECLARE_GEMM(isa)                                                                                                \
  namespace isa {                                                                                                               \
  void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc, \
            int64_t ldc);                                                                                                       \
  void depthwise(const uint8_t* const* taps, int64_t count, const int16_t* w, int64_t channels, int32_t* acc);                  \
  }
QGRAPH_DECLARE_GEMM(reference)
QGRAPH_DECLARE_GEMM(portable)
QGRAPH_DECLARE_GEMM(avx2)
QGRAPH_DECLARE_GEMM(avx512_vnni)
#undef QGRAPH_DECLARE_GEMM

}  // namespace qgraph
