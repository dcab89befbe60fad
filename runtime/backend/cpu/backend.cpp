#include "backend/cpu/backend.h"

#include <algorithm>

#include "backend/cpu/isa/select.h"

namespace qgraph::cpu {
namespace {

CpuKernel& kernel_of(const Launch& launch) { return static_cast<CpuKernel&>(*launch.kernel); }

}  // namespace

CpuBackend::CpuBackend(int threads, const std::string& isa)
    : pool_(thread_count(threads)), workspace_{select_kernels(isa, &isa_), pool_} {}

std::unique_ptr<Kernel> CpuBackend::make_kernel(const Op& op, const OpSource& source) {
  return cpu::make_kernel(op, source, workspace_);
}

void CpuBackend::reserve_scratch(size_t bytes) {
  workspace_.scratch_bytes = (bytes + 63) / 64 * 64;
  const size_t all = scratch_bytes() + 64;
  workspace_.scratch = scratch_.reserve(all);
  if (workspace_.scratch == nullptr)
    throw Error("out of memory: " + std::to_string(all) + " bytes are needed; use smaller inputs");
}

bool CpuBackend::joins(const Launch& last, const Launch& next) const {
  const int64_t rows = kernel_of(next).rows(*next.values);
  return rows != 0 && rows == kernel_of(last).rows(*last.values);
}

void CpuBackend::run(std::span<const Launch> step) {
  if (step.size() == 1) return kernel_of(step[0]).compute(Context(workspace_, *step[0].values));
  const int64_t rows = kernel_of(step[0]).rows(*step[0].values);
  int64_t some = rows;
  for (const Launch& launch : step) some = std::min(some, rows_at_a_time(launch.values->out, rows));
  pool_.parallel(rows, some, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t r = begin; r < end; r += some)
      for (const Launch& launch : step)
        kernel_of(launch).compute_rows(Context(workspace_, *launch.values), r, std::min(r + some, end), worker);
  });
}

}  // namespace qgraph::cpu
