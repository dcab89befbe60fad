// The CPU: kernels of one instruction set on a pool of threads.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/ops/kernel.h"
#include "support/memory.h"
#include "support/thread_pool.h"

namespace qgraph::cpu {

class CpuBackend : public Backend {
 public:
  /// `threads` 0 means QGRAPH_THREADS, else all cores; an empty `isa` QGRAPH_ISA, else the best of this CPU.
  CpuBackend(int threads, const std::string& isa);

  const std::string& name() const override { return name_; }
  std::unique_ptr<Kernel> make_kernel(const Op& op, const OpSource& source) override;
  void reserve_scratch(size_t bytes) override;
  size_t scratch_bytes() const override { return workspace_.scratch_bytes * static_cast<size_t>(pool_.size()); }
  /// Kernels that compute as many rows, each by itself.
  bool joins(const Launch& last, const Launch& next) const override;
  void run(std::span<const Launch> step) override;

  const std::string& isa() const { return isa_; }
  int threads() const { return pool_.size(); }

 private:
  std::string name_ = "cpu", isa_;
  ThreadPool pool_;
  Block scratch_;
  Workspace workspace_;
};

}  // namespace qgraph::cpu
