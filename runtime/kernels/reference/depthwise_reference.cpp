// The definition of the depthwise sum that every instruction set must equal.
#include "kernels/cpu/gemm/gemm.h"

namespace qgraph::reference {

void depthwise(const uint8_t* const* taps, int64_t count, const int16_t* w, int64_t channels, int32_t* acc) {
  for (int64_t c = 0; c < channels; ++c) {
    int32_t sum = 0;
    for (int64_t t = 0; t < count; ++t) sum += taps[t][c] * w[depthwise_index(c, t, count)];
    acc[c] = sum;
  }
}

}  // namespace qgraph::reference
