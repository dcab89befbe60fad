// Where the codes of weights packed as TwoOfFour lie.
#pragma once

#include "backend/cpu/isa/kernels.h"

namespace qgraph {

/// Depth that a block of the form TwoOfFour covers, and its bytes for a panel: places, then codes. The panels of a group of
/// columns take turns, so that a group is one stream for memory.
constexpr int64_t kPairDepth = 32;
constexpr int64_t kPairBytes = 5 * kPanel * kDepth;
constexpr int64_t kPairColumns = 4 * kPanel;

/// Where the panel of a column begins, and the bytes from a block of it to the next.
struct PairPlace {
  int64_t offset, stride;
};
inline PairPlace pair_place(int64_t n, int64_t k, int64_t column) {
  const int64_t group = column / kPairColumns * kPairColumns, left = n - group < kPairColumns ? n - group : kPairColumns;
  const int64_t stride = round_up(left, kPanel) / kPanel * kPairBytes, blocks = round_up(k, kPairDepth) / kPairDepth;
  return {group / kPanel * blocks * kPairBytes + (column - group) / kPanel * kPairBytes, stride};
}

}  // namespace qgraph
