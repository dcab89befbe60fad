#include "session/context.h"

#include "session/control.h"

namespace qgraph {

SessionContext::SessionContext(const std::string& path, std::vector<std::unique_ptr<Backend>> list, const SessionOptions& options)
    : backends(std::move(list)),
      control(std::make_unique<ControlFlow>()),
      program(path),
      memory_limit(options.memory_limit == 0 ? size_t{1} << 38 : options.memory_limit),
      limit_(options.max_iterations),
      poll_(options.poll) {}

SessionContext::~SessionContext() = default;

void SessionContext::step() {
  if (++iterations_ > limit_ && limit_ != 0)
    throw Error("the loops of a run take more than " + std::to_string(limit_) + " iterations; raise max_iterations");
  if (!poll_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - polled_ < std::chrono::milliseconds(100)) return;
  polled_ = now;
  poll_();
}

}  // namespace qgraph
