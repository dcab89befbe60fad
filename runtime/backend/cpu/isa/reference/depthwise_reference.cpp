// The definition of the depthwise sum that every instruction set must equal.
#include "backend/cpu/isa/gemm.h"

namespace qgraph::reference {

void depthwise(const uint8_t* const* taps, int64_t count, const void* weights, int64_t channels, int64_t pixels, int64_t step,
               int, int32_t* acc) {
  const auto* w = static_cast<const int16_t*>(weights);
  for (int64_t p = 0; p < pixels; ++p)
    for (int64_t c = 0; c < channels; ++c) {
      int32_t sum = 0;
      for (int64_t t = 0; t < count; ++t) sum += taps[t][p * step + c] * w[depthwise_index(c, t, count)];
      acc[p * channels + c] = sum;
    }
}

}  // namespace qgraph::reference
