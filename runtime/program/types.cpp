#include "qgraph/runtime.h"

namespace qgraph {

const char* name(DType type) {
  static const char* const names[] = {"float32", "int64", "int32", "int16", "int8", "uint8",
                                      "bool",    "int4",  "int2",  "uint4", "uint2"};
  return names[static_cast<int>(type)];
}

int64_t elements(const Shape& shape) {
  int64_t n = 1;
  for (int64_t d : shape) {
    if (d < 0 || __builtin_mul_overflow(n, d, &n) || n > (int64_t{1} << 46)) throw Error("a tensor is too large");
  }
  return n;
}

}  // namespace qgraph
