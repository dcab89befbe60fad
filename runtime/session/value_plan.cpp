#include "session/memory_plan.h"

namespace qgraph {
namespace {

class Planner {
 public:
  Planner(const PlannedOps& what, std::vector<size_t>& owner)
      : what_(what),
        tensors_(what.tensors),
        owner_(owner),
        end_(static_cast<int>(what.schedule.steps.size()) + 1),
        home_(what.tensors.size()) {
    plan.lives.assign(what.memories, std::vector<Lifetime>(tensors_.size()));
    plan.copies.resize(static_cast<size_t>(end_) + 1);
    present_.assign(what.memories, std::vector<bool>(tensors_.size()));
    for (int t : what.graph.inputs) present_[0][static_cast<size_t>(t)] = true;
    for (size_t i = 0; i < what.begin; ++i)
      for (int t : what.graph.ops[i].outputs) present_[0][static_cast<size_t>(t)] = true;
  }

  void views() {
    for (size_t i = what_.begin; i < what_.end; ++i) {
      const OpInfo& info = what_.graph.ops[i];
      for (int t : info.outputs) owner_[static_cast<size_t>(t)] = static_cast<size_t>(t);
      const auto out = static_cast<size_t>(info.outputs[0]);
      if (!what_.ops[i].op->view() || tensors_[out].known) continue;
      owner_[out] = owner_[static_cast<size_t>(info.inputs[0])];
      plan.views.push_back(out);
    }
  }

  void op(size_t i, int step) {
    const OpInfo& info = what_.graph.ops[i];
    const PlacedOp& placed = what_.ops[i];
    const size_t space = placed.space;
    for (int output : info.outputs) {
      const auto t = static_cast<size_t>(output);
      if (owner_[t] != t || tensors_[t].known) continue;
      if (placed.op->shape_from_data())
        present_[0][t] = true;  // it gets its memory in the run
      else
        write(t, space, step);
    }
    const bool runs = placed.kernel != nullptr && !placed.host.out[0]->known;
    for (size_t j = 0; j < info.inputs.size(); ++j) {
      if (info.inputs[j] < 0) continue;
      const size_t t = owner_[static_cast<size_t>(info.inputs[j])];
      if (tensors_[t].known) {
        if (runs && space != 0 && placed.kernel->reads(j)) upload(t, space);
      } else {
        read(t, runs ? space : home_[t], step);
      }
    }
  }

  void survivors() {
    for (size_t t : what_.survivors)
      if (!tensors_[owner_[t]].known) read(owner_[t], 0, end_);
    if (!what_.keep) return;
    for (size_t t = 0; t < tensors_.size(); ++t) {
      if (present_[home_[t]][t]) read(t, 0, end_);
      for (auto& lives : plan.lives) lives[t].last = end_;
    }
  }

  ValuePlan plan;

 private:
  void write(size_t t, size_t space, int step) {
    plan.lives[space][t] = {step, step, bytes_of(tensors_[t]), 0};
    present_[space][t] = true;
    home_[t] = space;
  }

  // Have a value in a memory before a step; what crosses from one device to another goes through the host.
  void read(size_t t, size_t space, int step) {
    if (!present_[space][t]) {
      const size_t from = space == 0 ? home_[t] : 0;
      read(t, from, step);
      plan.copies[static_cast<size_t>(step)].push_back({t, from, space});
      plan.lives[space][t] = {step, step, bytes_of(tensors_[t]), 0};
      present_[space][t] = true;
    }
    plan.lives[space][t].last = step;
  }

  void upload(size_t t, size_t space) {
    if (present_[space][t]) return;
    present_[space][t] = true;
    plan.lives[space][t] = {0, end_, bytes_of(tensors_[t]), 0};
    plan.known.push_back({t, 0, space});
  }

  const PlannedOps& what_;
  const std::vector<Tensor>& tensors_;
  std::vector<size_t>& owner_;
  int end_;
  std::vector<size_t> home_;                // the memory that a value is written in
  std::vector<std::vector<bool>> present_;  // [memory][tensor]
};

}  // namespace

ValuePlan plan_values(const PlannedOps& what, std::vector<size_t>& owner) {
  Planner planner(what, owner);
  planner.views();
  for (size_t i = what.begin; i < what.end; ++i) planner.op(i, what.schedule.step_of[i - what.begin]);
  planner.survivors();
  return std::move(planner.plan);
}

}  // namespace qgraph
