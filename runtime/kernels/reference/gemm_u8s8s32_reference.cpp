// The definition of the matrix product that every instruction set must equal.
#include "kernels/cpu/gemm/gemm.h"

namespace qgraph::reference {

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  const int64_t words = round_up(w.k, kDepth) / kDepth;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const int8_t* panel = w.data + (column + c) / kPanel * words * kPanel * kDepth + (column + c) % kPanel * kDepth;
      int32_t sum = 0;
      for (int64_t k = 0; k < w.k; ++k) sum += a[r * lda + k] * panel[k / kDepth * kPanel * kDepth + k % kDepth];
      acc[r * ldc + c] = sum;
    }
  }
}

}  // namespace qgraph::reference
