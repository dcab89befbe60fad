// Memory of values that outlive the plan which computed them: results whose shapes follow from the data, values that a later
// segment of a run reads, and what goes from one run of a program to the next.
#pragma once

#include <memory>
#include <vector>

#include "ops/op.h"
#include "support/memory.h"

namespace qgraph {

/// A value and what keeps its bytes; null where that is the caller's, a constant's or an arena's business.
struct Held {
  Tensor tensor;
  std::shared_ptr<Block> memory;
};

/// Blocks that are used again when nobody holds them any more.
class BlockPool {
 public:
  /// At least `bytes`, aligned to 64; throws Error when there are not so many. A block that was too small grows by half, so that
  /// a value which becomes longer in every run seldom needs another.
  std::shared_ptr<Block> take(size_t bytes);
  size_t bytes() const;

 private:
  std::vector<std::shared_ptr<Block>> blocks_;
};

/// Results that an op has in memory of its own take their place as they are.
class HeldResults : public Results {
 public:
  virtual void adopt(size_t output, Held value) = 0;
};

/// The same value in memory of its own.
Held copied(const Tensor& tensor, BlockPool& pool);

}  // namespace qgraph
