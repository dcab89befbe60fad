#include "backend/cpu/ops/float_panels.h"

#include <cstring>

namespace qgraph::cpu {

void pack_panels(const float* b, int64_t step, int64_t column, int64_t k, int64_t n, float* packed, int64_t panel) {
  for (int64_t c = 0; c < n; c += kPanel, packed += panel) {
    const float* from = b + c * column;
    const int64_t columns = std::min<int64_t>(kPanel, n - c);
    float* to = packed;
    if (column == 1 && columns == kPanel) {
      for (int64_t d = 0; d < k; ++d, from += step, to += kPanel) std::memcpy(to, from, kPanel * sizeof(float));
      continue;
    }
    for (int64_t d = 0; d < k; ++d, from += step, to += kPanel) {
      for (int64_t i = 0; i < columns; ++i) to[i] = from[i * column];
      for (int64_t i = columns; i < kPanel; ++i) to[i] = 0;
    }
  }
}

}  // namespace qgraph::cpu
