// The definition of the matrix product that every instruction set must equal.
#include "backend/cpu/isa/gemm.h"

namespace qgraph::reference {

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  const int64_t bytes = panel_bytes(w.k, w.bits);
  const int fields = 8 / w.bits;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const int8_t* panel = w.data + (column + c) / kPanel * bytes + (column + c) % kPanel * kDepth;
      int32_t sum = 0;
      for (int64_t k = 0; k < w.k; ++k) {
        const int64_t word = k / kDepth;
        const int8_t byte = panel[word / fields * kPanel * kDepth + k % kDepth];
        sum += a[r * lda + k] * code_in(byte, static_cast<int>(word % fields), w.bits, w.levels);
      }
      acc[r * ldc + c] = sum;
    }
  }
}

}  // namespace qgraph::reference
