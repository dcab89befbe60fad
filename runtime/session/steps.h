// Ops in the order in which they run, those together that a backend runs together.
#pragma once

#include "session/placement.h"

namespace qgraph {

struct Step {
  Backend* backend;
  std::vector<size_t> ops;
  std::vector<Launch> launches;
};

struct Schedule {
  std::vector<Step> steps;
  std::vector<int> step_of;  // of each op, counted from 1; the step before it where it has nothing to run
};

/// The steps of the ops from `begin` up to `end`.
Schedule group_steps(const std::vector<PlacedOp>& ops, size_t begin, size_t end);

}  // namespace qgraph
