// Elements as integers in their order: NaN is above infinity, 0 is -0.
#pragma once

#include <cstdint>
#include <cstring>

namespace qgraph::cpu {

template <typename T>
int64_t ordered(T v) {
  return static_cast<int64_t>(v);
}

template <>
inline int64_t ordered(float v) {
  if (v != v) return INT32_MAX;
  int32_t bits;
  v = v + 0.0f;  // -0 becomes 0
  std::memcpy(&bits, &v, 4);
  return bits < 0 ? -static_cast<int64_t>(bits & 0x7fffffff) : bits;
}

}  // namespace qgraph::cpu
