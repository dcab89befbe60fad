// Functions on float32 arrays, one table an instruction set; each has one meaning on all of them, byte for byte.
#pragma once

#include <cstdint>

namespace qgraph {

/// What is summed: x, x * x or |x|, each exact in double.
enum class SumOf { Values, Squares, Magnitudes };

struct Float32Kernels {
  /// The sum of n elements in the order of ordered_sum.h.
  double (*sum)(SumOf of, const float* x, int64_t n);

  /// sums[c] = the same of x[i * stride + c] over i < n, for each column c.
  void (*column_sums)(SumOf of, const float* x, int64_t n, int64_t stride, int64_t columns, double* sums);
};

namespace reference {
const Float32Kernels& float32_kernels();
}
namespace portable {
const Float32Kernels& float32_kernels();
}
namespace avx2 {
const Float32Kernels& float32_kernels();
}
namespace avx512_vnni {
const Float32Kernels& float32_kernels();
}

}  // namespace qgraph
