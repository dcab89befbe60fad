// Sums in a written order, so that they have the same bytes on every instruction set, however their work is split. The terms are
// doubles: element i is added to lane i % 16, from 0 on and in order; then lane j adds lane j + 8, then j + 4, j + 2 and j + 1.
// In the dialect's notation: osum.
#pragma once

#include <cstdint>

namespace qgraph {
namespace {  // compiled for each instruction set that includes it

constexpr int kSumLanes = 16;
/// The most columns that ordered_sums takes at a time.
constexpr int64_t kSumColumns = 64;

/// f(0) + ... + f(n - 1), in the written order.
template <typename F>
inline double ordered_sum(int64_t n, F f) {
  double lanes[kSumLanes] = {};
  int64_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes)
    for (int j = 0; j < kSumLanes; ++j) lanes[j] += f(i + j);
  for (int j = 0; i + j < n; ++j) lanes[j] += f(i + j);
  for (int step = kSumLanes / 2; step > 0; step /= 2)
    for (int j = 0; j < step; ++j) lanes[j] += lanes[j + step];
  return lanes[0];
}

/// sums[c] = f(0, c) + ... + f(n - 1, c), each in the written order, for up to kSumColumns columns.
template <typename F>
inline void ordered_sums(int64_t n, int64_t columns, double* sums, F f) {
  double lanes[kSumLanes][kSumColumns] = {};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < columns; ++c) lanes[i % kSumLanes][c] += f(i, c);
  for (int step = kSumLanes / 2; step > 0; step /= 2)
    for (int j = 0; j < step; ++j)
      for (int64_t c = 0; c < columns; ++c) lanes[j][c] += lanes[j + step][c];
  for (int64_t c = 0; c < columns; ++c) sums[c] = lanes[0][c];
}

}  // namespace
}  // namespace qgraph
