// Memory planning: values whose lifetimes do not overlap share the arena.
#pragma once

#include <cstddef>
#include <vector>

#include "session/steps.h"

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

/// Some ops of a graph that are planned together, and what is around them.
struct PlannedOps {
  const GraphInfo& graph;
  const std::vector<PlacedOp>& ops;
  const std::vector<Tensor>& tensors;
  size_t begin, end;         // those that are planned
  const Schedule& schedule;  // their steps
  size_t memories;
  std::vector<size_t> survivors;  // values that are on the host in the end
  bool keep;                      // all values are, and their memory is not used again
};

/// Where the values of some ops are, while their steps, from 1 on, run.
struct ValuePlan {
  std::vector<std::vector<Lifetime>> lives;  // [memory][tensor]
  std::vector<size_t> views;                 // the tensors that are views
  std::vector<std::vector<Copy>> copies;     // [step]: before it runs; the last, `steps` + 1, when all have run
  std::vector<Copy> known;                   // values known on the host that kernels of other memories read
};

/// `owner` is the tensor whose memory each tensor has, its own or what it is a view of; that of the planned ops' outputs is set.
/// What was written before is on the host.
ValuePlan plan_values(const PlannedOps& what, std::vector<size_t>& owner);

}  // namespace qgraph
