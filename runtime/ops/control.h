// Ops that run graphs of their own: If, Loop, Scan. The graphs are closed: what they read from around them is given to the op as
// its last inputs, and by the op to their last inputs.
#pragma once

#include "ops/op.h"

namespace qgraph::ops {

class Control : public Op {
 public:
  bool shape_from_data() const override { return true; }
  void infer(const Values&) override {}

 protected:
  using Op::Op;
  /// Input i of the op, or its output, must have the type of a value of a graph.
  static DType type_of(const GraphInfo& graph, const std::vector<int>& list, size_t i);
  void require_graphs(const OpSource& s, size_t n) const;
};

/// Inputs: condition, captured values. Graphs: the branch where it is true, the other one.
class If : public Control {
 public:
  explicit If(const OpSource& s);
};

/// Inputs: trip count and condition (optional), `carried` values, captured ones. The body reads the number of the iteration, the
/// condition, carried and captured values; it gives the condition, the carried values, and elements that are stacked.
class Loop : public Control {
 public:
  explicit Loop(const OpSource& s);

  size_t carried;
};

/// Inputs: `carried` states, `scanned` sequences, captured values. The body reads states, an element of each sequence, and
/// captured values; it gives the states, and elements of sequences.
class Scan : public Control {
 public:
  explicit Scan(const OpSource& s);

  /// The axis of a sequence along which its elements lie, and whether the last comes first.
  struct Way {
    int64_t axis;
    bool reverse;
  };
  size_t carried, scanned;
  std::vector<Way> in, out;

 private:
  std::vector<Way> ways(const OpSource& s, const std::string& prefix, size_t n) const;
};

}  // namespace qgraph::ops
