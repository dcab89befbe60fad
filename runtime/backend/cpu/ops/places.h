// Indices as they were given, made places of a dim.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "ops/op.h"
#include "support/thread_pool.h"

namespace qgraph::cpu {

/// Index i is a place of dims[i % depth]; negative ones count from the end, and one out of range is an error of `op`.
inline void places_of(const Op& op, const Tensor& index, const int64_t* dims, int64_t depth, std::vector<int64_t>& places) {
  places.resize(static_cast<size_t>(index.size()));
  for (int64_t i = 0; i < index.size(); ++i) {
    const int64_t given = index.type == DType::I64 ? index.as<int64_t>()[i] : index.as<int32_t>()[i], dim = dims[i % depth];
    const int64_t at = given < 0 ? given + dim : given;
    if (at < 0 || at >= dim) op.fail("index " + std::to_string(given) + " is out of range for a dim of " + std::to_string(dim));
    places[static_cast<size_t>(i)] = at;
  }
}

/// Whether all indices are places of `dim`: no sum has the bit of a negative number.
template <typename I>
bool are_places(const I* index, int64_t n, int64_t dim) {
  uint64_t bits = 0;
  const auto length = static_cast<uint64_t>(dim);
  for (int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<uint64_t>(static_cast<int64_t>(index[i]));
    bits |= (at + length) | (length - 1 - at);
  }
  return static_cast<int64_t>(bits) >= 0;
}

/// Call f with the indices, int64 or int32, once all are known to be places of `dim`; one out of range is an error of `op`.
template <typename F>
void with_places(const Op& op, ThreadPool& pool, const Tensor& index, int64_t dim, F&& f) {
  const auto go = [&](const auto* at) {
    std::atomic<bool> good{true};
    pool.parallel(index.size(), 1 << 14, [&](int64_t begin, int64_t end, int) {
      if (!are_places(at + begin, end - begin, dim)) good = false;
    });
    std::vector<int64_t> places;
    if (!good) places_of(op, index, &dim, 1, places);  // says which
    f(at);
  };
  index.type == DType::I64 ? go(index.as<int64_t>()) : go(index.as<int32_t>());
}

}  // namespace qgraph::cpu
