#include <algorithm>
#include <cstring>

#include "kernels/kernel.h"

namespace qgraph {

void pack_weights(const uint8_t* w, int64_t n, int64_t k, int64_t column_stride, int64_t depth_stride, int offset, int8_t* packed,
                  int32_t* sums) {
  const int64_t words = round_up(k, kDepth) / kDepth;
  for (int64_t panel = 0; panel * kPanel < n; ++panel) {
    int8_t* out = packed + panel * words * kPanel * kDepth;
    for (int64_t c = 0; c < kPanel; ++c) {
      const int64_t column = panel * kPanel + c;
      int32_t sum = 0;
      const uint8_t* from = w + column * column_stride;
      const auto shift = static_cast<uint8_t>(offset);  // adding modulo 256 turns uint8 into int8
      for (int64_t word = 0; word < words; ++word) {
        int8_t* to = out + (word * kPanel + c) * kDepth;
        const int64_t left = column < n ? k - word * kDepth : 0;
        for (int64_t j = 0; j < kDepth; ++j) {
          const int8_t value =
              j < left ? static_cast<int8_t>(static_cast<uint8_t>(from[(word * kDepth + j) * depth_stride] + shift)) : int8_t{0};
          to[j] = value;
          sum += value;
        }
      }
      sums[column] = sum;
    }
  }
}

}  // namespace qgraph
