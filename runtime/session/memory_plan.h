// Memory planning: values whose lifetimes do not overlap share the arena.
#pragma once

#include <cstddef>
#include <vector>

#include "session/placement.h"

namespace qgraph {

struct Lifetime {
  int first = -1;  // step that writes the value; -1: needs no memory
  int last = -1;   // last step that reads it
  size_t bytes = 0;
  size_t offset = 0;  // the answer
};

/// Place every value, largest first, at the lowest free offset (64-byte aligned); returns the bytes of the arena.
size_t plan_memory(std::vector<Lifetime>& lives);

/// The bytes of a tensor from one memory to another, one of which is the host's.
struct Copy {
  size_t tensor, from, to;
};

/// Where the values of a program are, while steps 1 to `steps` run.
struct ValuePlan {
  std::vector<size_t> owner;                 // the tensor whose memory each has: its own, or what it is a view of
  std::vector<std::vector<Lifetime>> lives;  // [memory][tensor]
  std::vector<std::vector<Copy>> copies;     // [step]: before it runs; the last, `steps` + 1, when all have run
  std::vector<Copy> known;                   // values known on the host that kernels of other memories read
};

/// `step_of` has the step of each op, or the one before it where the op has nothing to run. With `keep` all values are on the
/// host in the end, and their memory is not reused.
ValuePlan plan_values(const Program& program, const std::vector<PlacedOp>& ops, const std::vector<Tensor>& tensors,
                      const std::vector<int>& step_of, int steps, size_t memories, bool keep);

}  // namespace qgraph
