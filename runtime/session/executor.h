// Runs a program on some backends: shapes, steps and memory are planned for the shapes of the inputs, and a run only computes.
#pragma once

#include <atomic>

#include "session/arena.h"
#include "session/memory_plan.h"
#include "session/shapes.h"
#include "session/signature.h"
#include "session/steps.h"

namespace qgraph {

class Executor {
 public:
  /// `backends` in the order in which they are asked for kernels. Of `options`, threads and isa are the backends' business.
  Executor(const std::string& path, std::vector<std::unique_ptr<Backend>> backends, const SessionOptions& options);

  const std::vector<Signature>& inputs() const { return inputs_; }
  const std::vector<Signature>& outputs() const { return outputs_; }
  void prepare(const std::vector<Shape>& shapes);
  std::vector<Array> run(const std::vector<Array>& arrays);
  /// See Session.
  Array tensor(const std::string& name) const;
  std::vector<std::string> tensor_names() const;
  size_t arena_bytes() const;
  std::vector<OpTime> profile() const { return times_; }
  const Program& program() const { return program_; }

 private:
  // All tensors as one memory has them.
  struct Space {
    std::vector<Tensor> tensors;
    Arena arena;
    size_t bytes = 0;
  };

  void place_values();
  void count_work();
  void bind(const std::vector<Array>& arrays);
  void run_steps();
  void run_timed();
  void copy(const Copy& copy);

  Backends backends_;
  Program program_;
  std::vector<PlacedOp> ops_;
  ShapeInference shapes_;
  std::vector<Signature> inputs_, outputs_;
  bool profile_, keep_;
  size_t memory_limit_;
  std::vector<Space> spaces_;  // by memory; the first is the host's
  Schedule schedule_;
  ValuePlan plan_;
  std::vector<OpTime> times_;
  std::vector<Shape> current_;  // the shapes that all is prepared for
  bool ready_ = false;
  std::atomic<bool> busy_{false};
};

}  // namespace qgraph
