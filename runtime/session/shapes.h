// Shapes of all values for the shapes of the inputs, and the values that follow from shapes alone.
#pragma once

#include <map>

#include "session/placement.h"

namespace qgraph {

class ShapeInference {
 public:
  ShapeInference(Program& program, const Backends& backends) : program_(program), backends_(backends) {}

  /// Set the tensors, in the order of the program, and the ops' host operands, and prepare the kernels of the ops that are left
  /// to run. `scratch` gets the bytes that each backend's kernels need. Throws Error on bad shapes, and where an output or
  /// scratch would take more than `memory_limit` bytes.
  void infer(const std::vector<Shape>& inputs, size_t memory_limit, std::vector<PlacedOp>& ops, std::vector<Tensor>& tensors,
             std::map<Backend*, size_t>& scratch);

 private:
  void set_inputs(const std::vector<Shape>& inputs, std::vector<Tensor>& tensors) const;
  bool fold(size_t i, PlacedOp& op, std::vector<Tensor>& tensors);

  Program& program_;
  const Backends& backends_;
  std::vector<std::vector<uint8_t>> known_values_;
  std::map<size_t, std::unique_ptr<Kernel>> host_kernels_;  // of ops that have none on the host, where they were needed
};

}  // namespace qgraph
