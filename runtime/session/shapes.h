// Shapes of all values for the shapes of the inputs, and the values that follow from shapes alone.
#pragma once

#include <map>

#include "session/context.h"

namespace qgraph {

/// What inferring the shapes of some ops left behind.
struct Inferred {
  size_t end = 0;                            // the first op that waits for data, or the number of ops
  std::map<Backend*, size_t> scratch;        // bytes that each backend's kernels need
  std::vector<std::vector<uint8_t>> folded;  // values that are known
};

class ShapeInference {
 public:
  ShapeInference(SessionContext& context, GraphInfo& graph, std::vector<PlacedOp>& ops, std::vector<Tensor>& tensors);

  /// Forget all shapes, set those of the inputs.
  void start(const std::vector<Shape>& inputs);

  /// Infer shapes from op `begin` on, whose predecessors have run or are known, up to the first op that needs what only a run of
  /// the ops before it tells; prepare the kernels of the ops that are left to run. Throws Error on bad shapes, and where an
  /// output or scratch would take more than the memory limit.
  Inferred infer(size_t begin);

 private:
  bool waits(size_t i) const;
  bool fold(size_t i, Inferred& found);
  Kernel& host_kernel(size_t i);

  SessionContext& context_;
  GraphInfo& graph_;
  std::vector<PlacedOp>& ops_;
  std::vector<Tensor>& tensors_;
  std::vector<bool> pending_;                               // values whose shapes follow from a run that is not made yet
  std::map<size_t, std::unique_ptr<Kernel>> host_kernels_;  // of ops that have none on the host, where they were needed
};

}  // namespace qgraph
