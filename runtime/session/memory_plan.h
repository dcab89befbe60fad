// Memory planning: values whose lifetimes do not overlap share the arena.
#pragma once

#include <cstddef>
#include <vector>

namespace qgraph {

struct Lifetime {
  int first = -1;  // op that writes the value; -1: needs no memory
  int last = -1;   // last op that reads it
  size_t bytes = 0;
  size_t offset = 0;  // the answer
};

/// Place every value, largest first, at the lowest free offset (64-byte aligned); returns the bytes of the arena.
size_t plan_memory(std::vector<Lifetime>& lives);

}  // namespace qgraph
