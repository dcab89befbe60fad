// Float32 matrices as the matrix kernels read them, and how a product is cut into tasks.
#pragma once

#include <algorithm>

#include "backend/cpu/isa/kernels.h"

namespace qgraph::cpu {

/// Copy k x n elements, (k, c) at b[k * step + c * column], to panels `panel` floats apart, the last one filled up with zeros.
void pack_panels(const float* b, int64_t step, int64_t column, int64_t k, int64_t n, float* packed, int64_t panel);

/// The length of equal parts, multiples of `unit`, into which `length` is cut; none is longer than `most`.
inline int64_t even_part(int64_t length, int64_t most, int64_t unit) {
  const int64_t parts = std::max<int64_t>(1, (length + most - 1) / most);
  return std::max(unit, round_up((length + parts - 1) / parts, unit));
}

}  // namespace qgraph::cpu
