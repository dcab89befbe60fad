#include <algorithm>
#include <numeric>

#include "session/memory_plan.h"

namespace qgraph {
namespace {

class Planner {
 public:
  Planner(const Program& program, const std::vector<PlacedOp>& ops, const std::vector<Tensor>& tensors, int steps,
          size_t memories)
      : program_(program), ops_(ops), tensors_(tensors), end_(steps + 1), home_(tensors.size()) {
    plan.owner.resize(tensors.size());
    std::iota(plan.owner.begin(), plan.owner.end(), size_t{0});
    plan.lives.assign(memories, std::vector<Lifetime>(tensors.size()));
    plan.copies.resize(static_cast<size_t>(end_) + 1);
    present_.assign(memories, std::vector<bool>(tensors.size()));
    for (int t : program.inputs()) present_[0][static_cast<size_t>(t)] = true;
  }

  void views() {
    for (size_t i = 0; i < ops_.size(); ++i) {
      const auto out = static_cast<size_t>(program_.ops()[i].outputs[0]);
      if (ops_[i].op->view() && !tensors_[out].known)
        plan.owner[out] = plan.owner[static_cast<size_t>(program_.ops()[i].inputs[0])];
    }
  }

  void op(size_t i, int step) {
    const OpInfo& info = program_.ops()[i];
    const size_t space = ops_[i].space;
    for (int output : info.outputs) {
      const auto t = static_cast<size_t>(output);
      if (plan.owner[t] == t && !tensors_[t].known) write(t, space, step);
    }
    const bool runs = ops_[i].kernel != nullptr && !ops_[i].host.out[0]->known;
    for (size_t j = 0; j < info.inputs.size(); ++j) {
      if (info.inputs[j] < 0) continue;
      const size_t t = plan.owner[static_cast<size_t>(info.inputs[j])];
      if (tensors_[t].known) {
        if (runs && space != 0 && ops_[i].kernel->reads(j)) upload(t, space);
      } else {
        read(t, runs ? space : home_[t], step);
      }
    }
  }

  void outputs(bool keep) {
    for (int t : program_.outputs()) {
      const size_t o = plan.owner[static_cast<size_t>(t)];
      if (!tensors_[o].known) read(o, 0, end_);
    }
    if (!keep) return;
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

  const Program& program_;
  const std::vector<PlacedOp>& ops_;
  const std::vector<Tensor>& tensors_;
  int end_;
  std::vector<size_t> home_;                // the memory that a value is written in
  std::vector<std::vector<bool>> present_;  // [memory][tensor]
};

}  // namespace

ValuePlan plan_values(const Program& program, const std::vector<PlacedOp>& ops, const std::vector<Tensor>& tensors,
                      const std::vector<int>& step_of, int steps, size_t memories, bool keep) {
  Planner planner(program, ops, tensors, steps, memories);
  planner.views();
  for (size_t i = 0; i < ops.size(); ++i) planner.op(i, step_of[i]);
  planner.outputs(keep);
  return std::move(planner.plan);
}

}  // namespace qgraph
