// A copy that takes each element of an axis from a place of its own, as Pad and the nearest elements of Resize do.
#pragma once

#include <cstdint>
#include <vector>

#include "qgraph/runtime.h"
#include "support/thread_pool.h"

namespace qgraph::cpu {

class CopyByTable {
 public:
  /// For each axis where its elements lie in the input, -1 where they are filled in; empty where it stays as it is.
  void plan(const Shape& from, const Shape& to, std::vector<std::vector<int64_t>> tables);
  /// Copy elements of `size` bytes; `fill` is the element to fill with.
  void run(ThreadPool& pool, const uint8_t* x, uint8_t* y, size_t size, const void* fill) const;

 private:
  /// Neighbours that lie side by side in the input too; from -1: those that are filled in.
  struct Run {
    int64_t to, from, count;
  };

  void row(const uint8_t* from, uint8_t* to, size_t size, const void* fill) const;

  Shape shape_;
  std::vector<int64_t> strides_;              // of the input
  std::vector<std::vector<int64_t>> tables_;  // of each axis up to the last that changes
  size_t last_ = 0;                           // that axis
  int64_t block_ = 1;                         // elements behind it
  int64_t repeats_ = 0;                       // where each element stands so often side by side, else 0
  std::vector<Run> runs_;                     // of it; none where no axis changes
};

}  // namespace qgraph::cpu
