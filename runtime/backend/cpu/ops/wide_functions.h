// Functions of doubles, and the norms that pools and reductions make with them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "backend/cpu/isa/bits.h"

namespace qgraph::cpu {
namespace {

using qgraph::bits_of;
using qgraph::of_bits;
#include "backend/cpu/isa/functions.inc"

/// |x|^p by squaring.
inline double power(float x, int64_t p) {
  double made = 1.0, square = std::fabs(x);
  for (; p > 0; p /= 2) {
    if (p % 2 != 0) made = made * square;
    square = square * square;
  }
  return made;
}

/// sum^(1 / p)
inline double root(double sum, int64_t p) {
  return p == 1 ? sum : p == 2 ? std::sqrt(sum) : exp_of(log_of(sum) / static_cast<double>(p));
}

}  // namespace
}  // namespace qgraph::cpu
