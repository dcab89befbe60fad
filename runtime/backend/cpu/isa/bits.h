// What the row kernels of all instruction sets share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "backend/cpu/isa/kernels.h"

namespace qgraph {

// static: a shared copy could be the one of an instruction set that this CPU lacks

static inline int32_t bits_of(float x) {
  int32_t b;
  std::memcpy(&b, &x, 4);
  return b;
}

static inline float of_bits(int32_t b) {
  float x;
  std::memcpy(&x, &b, 4);
  return x;
}

/// Floats as integers of the same order, so that a maximum is an integer reduction that compilers vectorise.
static inline int32_t ordered(int32_t b) { return b ^ ((b >> 31) & 0x7fffffff); }

}  // namespace qgraph
