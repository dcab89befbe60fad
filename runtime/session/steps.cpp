#include "session/steps.h"

namespace qgraph {

Schedule group_steps(const std::vector<PlacedOp>& ops, size_t begin, size_t end) {
  Schedule schedule;
  for (size_t i = begin; i < end; ++i) {
    const PlacedOp& op = ops[i];
    if (op.kernel != nullptr && !op.host.out[0]->known) {  // what has nothing to run parts no neighbours
      const Launch launch{op.kernel.get(), &op.operands()};
      auto joins = [&](const Step& step) {
        const PlacedOp& last = ops[step.ops.back()];
        return step.backend == op.backend && op.backend->joins({last.kernel.get(), &last.host}, {op.kernel.get(), &op.host});
      };
      if (schedule.steps.empty() || !joins(schedule.steps.back())) schedule.steps.push_back({op.backend, {}, {}});
      schedule.steps.back().ops.push_back(i);
      schedule.steps.back().launches.push_back(launch);
    }
    schedule.step_of.push_back(static_cast<int>(schedule.steps.size()));
  }
  return schedule;
}

}  // namespace qgraph
