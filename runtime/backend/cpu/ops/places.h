// Indices as they were given, made places of a dim.
#pragma once

#include <string>
#include <vector>

#include "ops/op.h"

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

}  // namespace qgraph::cpu
