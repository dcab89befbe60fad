// Pad and CenterCropPad.
#include "ops/pad.h"

#include <algorithm>

#include "backend/cpu/ops/copy_by_table.h"
#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

/// Where element i of a padded axis lies in x; -1 where it is filled in.
int64_t source(const ops::PaddedAxis& axis, dialect::PadMode mode, int64_t i) {
  const int64_t n = axis.high - axis.low;
  int64_t at = i - axis.begin - axis.low;
  if (at >= 0 && at < n) return axis.low + at;
  switch (mode) {
    case dialect::PadMode::Constant:
      return -1;
    case dialect::PadMode::Reflect: {
      const int64_t period = std::max<int64_t>(1, 2 * (n - 1));
      at = (at % period + period) % period;
      if (at >= n) at = period - at;
      break;
    }
    case dialect::PadMode::Edge:
      at = at < 0 ? 0 : n - 1;
      break;
    case dialect::PadMode::Wrap:
      at = (at % n + n) % n;
      break;
  }
  return axis.low + at;
}

class PadKernel : public CpuKernel {
 public:
  PadKernel(const ops::PadBase& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values& v) override {
    const Shape &from = v.in[0]->shape, &to = v.out[0]->shape;
    std::vector<std::vector<int64_t>> tables(to.size());
    for (size_t d = 0; d < to.size() && elements(to) != 0; ++d) {
      if (op_.axes[d].begin == 0 && from[d] == to[d]) continue;
      for (int64_t i = 0; i < to[d]; ++i) tables[d].push_back(source(op_.axes[d], op_.mode, i));
    }
    copy_.plan(from, to, std::move(tables));
    return 0;
  }

  void compute(const Context& c) override {
    const uint64_t zero = 0;
    const void* fill = op_.fill(c.values);
    copy_.run(*c.pool, c.in[0]->as<uint8_t>(), c.out[0]->as<uint8_t>(), byte_size(c.in[0]->type), fill == nullptr ? &zero : fill);
  }

 private:
  const ops::PadBase& op_;
  CopyByTable copy_;
};

}  // namespace

void add_pad_kernels(KernelTable& table) {
  for (const char* kind : {"Pad", "ai.onnx.Pad", "CenterCropPad"}) table.emplace_back(kind, make<PadKernel, ops::PadBase>);
}

}  // namespace qgraph::cpu
