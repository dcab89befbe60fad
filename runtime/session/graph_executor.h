// Runs one graph: what its shapes are, in which steps it runs and where its values lie is planned, and a run only computes.
//
// A plan covers a segment: the ops up to the first that needs a shape or a value which only a run of them tells. Then that is on
// the host, and the next segment is planned for it; the plan holds as long as a run finds the same. Where all shapes follow from
// those of the inputs there is one segment.
#pragma once

#include "session/arena.h"
#include "session/memory_plan.h"
#include "session/shapes.h"

namespace qgraph {

class GraphExecutor {
 public:
  /// With `hold`, outputs lie in memory of their own, which a later run does not touch while somebody holds it. With `keep`, all
  /// values can be read after a run; `profile` measures times.
  GraphExecutor(SessionContext& context, GraphInfo& graph, bool hold, bool keep = false, bool profile = false);
  ~GraphExecutor();

  /// Plan the first segment.
  void prepare(const std::vector<Shape>& shapes);
  void run(std::vector<Held> inputs);
  /// Whether inputs have the shapes that the first segment is planned for.
  bool planned_for(const std::vector<Held>& inputs) const;
  /// Output i of the last run.
  Held output(size_t i) const;
  /// The value of the last run with `keep`.
  const Tensor& tensor(size_t index) const { return tensors()[index]; }
  bool ready() const { return !segments_.empty(); }
  /// Have output i in memory of its own from now on.
  void hold(size_t i);

  const GraphInfo& graph() const { return graph_; }
  const std::vector<OpTime>& times() const { return times_; }
  size_t arena_bytes() const;

 private:
  // All tensors as one memory has them.
  struct Space {
    std::vector<Tensor> tensors;
    Arena arena;
  };

  struct Segment {
    size_t begin = 0, end = 0;  // its ops
    Schedule schedule;
    ValuePlan plan;
    Inferred inferred;
    std::vector<size_t> bytes;              // of the arena of each memory
    std::vector<std::vector<size_t>> live;  // [memory]: the tensors that lie in it
    std::vector<size_t> held;               // values in memory of their own
    std::map<size_t, size_t> appended;      // of these, those that begin with an input, and which
    std::vector<size_t> results;            // values whose shapes a run tells
    std::vector<size_t> wanted;             // values that later ops need on the host
    // What the next segment is planned for.
    bool found = false;
    std::vector<Shape> shapes;                 // of the results
    std::vector<std::vector<uint8_t>> values;  // of what is wanted
  };

  class OpResults;

  std::vector<Tensor>& tensors() { return spaces_[0].tensors; }
  const std::vector<Tensor>& tensors() const { return spaces_[0].tensors; }
  void plan(size_t begin);
  void find_survivors(Segment& segment, std::vector<size_t>& survivors);
  void hold_apart(Segment& segment);
  void place(Segment& segment);
  void reserve_scratch();
  void count_work(const Segment& segment);
  void bind(Segment& segment);
  void run_steps(const Segment& segment);
  void run_timed(const Segment& segment);
  void leave(size_t segment);
  void copy(const Copy& copy);
  bool append(const Segment& segment, size_t tensor);
  void take(size_t tensor, size_t bytes);

  SessionContext& context_;
  GraphInfo& graph_;
  bool keep_, profile_;
  std::vector<bool> hold_;  // by output
  std::vector<PlacedOp> ops_;
  std::vector<Space> spaces_;  // by memory; the first is the host's
  std::vector<std::unique_ptr<OpResults>> results_;
  ShapeInference shapes_;
  std::vector<size_t> owner_;                   // the tensor whose memory each has: its own, or what it is a view of
  std::vector<size_t> writer_;                  // the op that writes a tensor, counted from 1; 0: none
  std::vector<std::shared_ptr<Block>> memory_;  // of values that are held
  std::vector<Segment> segments_;
  std::vector<Held> inputs_;
  std::vector<Shape> current_;  // the shapes that the first segment is planned for
  std::vector<OpTime> times_;
};

}  // namespace qgraph
