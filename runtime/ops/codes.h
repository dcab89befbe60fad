// Codes of 8 bits and fewer; included by the kernels of every instruction set.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "ops/dialect_generated.h"
#include "qgraph/runtime.h"

namespace qgraph {

/// Bytes of one element of an unpacked type.
inline size_t byte_size(DType type) { return static_cast<size_t>(bits(type) / 8); }

/// What the fields of packed codes stand for, by their unsigned value; four entries repeat where there are two bits.
using Levels = std::array<int8_t, 16>;

/// The levels of two's complement.
struct SignedLevels {
  Levels four{0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1},
      two{0, 1, -2, -1, 0, 1, -2, -1, 0, 1, -2, -1, 0, 1, -2, -1};
  constexpr const Levels& of(int bits) const {
    switch (bits) {
      case 2:
        return two;
      case 4:
      case 8:  // codes of 8 bits are their own levels, the table is not read
        return four;
      default:
        throw Error("there are codes of 8, 4 and 2 bits only");
    }
  }
};
inline constexpr SignedLevels kSigned;

/// Field i of packed data of 4 or 2 bits, lowest bits first.
inline int field_at(const uint8_t* data, int64_t i, int bits) {
  const int64_t at = i * bits;
  return (data[at / 8] >> (at % 8)) & ((1 << bits) - 1);
}

using dialect::SparseForm;

}  // namespace qgraph
