#include <algorithm>
#include <cstring>

#include "kernels/kernel.h"

namespace qgraph {

void pack_weights(const uint8_t* w, int64_t n, int64_t k, int64_t column_stride, int64_t depth_stride, int offset,
                  int8_t* packed, int32_t* sums) {
  const int64_t words = round_up(k, kDepth) / kDepth;
  for (int64_t panel = 0; panel * kPanel < n; ++panel) {
    int8_t* out = packed + panel * words * kPanel * kDepth;
    for (int64_t c = 0; c < kPanel; ++c) {
      const int64_t column = panel * kPanel + c;
      int32_t sum = 0;
      for (int64_t d = 0; d < words * kDepth; ++d) {
        int8_t value = 0;
        if (column < n && d < k) {
          const uint8_t raw = w[column * column_stride + d * depth_stride];
          value = offset ? static_cast<int8_t>(static_cast<int>(raw) + offset) : static_cast<int8_t>(raw);
        }
        sum += value;
        out[(d / kDepth) * kPanel * kDepth + c * kDepth + d % kDepth] = value;
      }
      sums[column] = sum;
    }
  }
}

}  // namespace qgraph
