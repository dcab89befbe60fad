// Kernels of the ops that run graphs of their own. They run where the session runs, and their graphs on the session's backends.
#pragma once

#include "session/context.h"

namespace qgraph {

/// What the kernels of control flow count as: no device, and no kernels for other ops.
class ControlFlow : public Backend {
 public:
  const std::string& name() const override { return name_; }
  std::unique_ptr<Kernel> make_kernel(const Op&, const OpSource&) override { return nullptr; }
  void reserve_scratch(size_t) override {}
  size_t scratch_bytes() const override { return 0; }

 private:
  std::string name_ = "control flow";
};

/// The kernel of an If, Loop or Scan; null for other ops.
std::unique_ptr<Kernel> make_control_kernel(SessionContext& context, const Op& op, OpInfo& info);

}  // namespace qgraph
