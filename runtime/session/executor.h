// A program of a session: what it is given is checked, then its graph runs.
#pragma once

#include <atomic>

#include "session/graph_executor.h"
#include "session/signature.h"

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
  void bind(const std::string& output, const std::string& input);
  void reset();
  Array state(const std::string& input) const;
  Array tensor(const std::string& name) const;
  std::vector<std::string> tensor_names() const;
  size_t arena_bytes() const;
  std::vector<OpTime> profile() const { return graph_.times(); }
  const Program& program() const { return context_.program; }

 private:
  // An input that takes what an output was in the run before.
  struct Bound {
    size_t output, input;
    bool set = false;  // whether it has a value
    Held value;
  };

  Held first_value(const Bound& bound, const std::vector<Array>& arrays);
  Held next_value(const Bound& bound);

  SessionContext context_;
  GraphExecutor graph_;
  std::vector<Signature> inputs_, outputs_;
  bool keep_;
  std::vector<Bound> bound_;
  std::atomic<bool> busy_{false};
};

}  // namespace qgraph
