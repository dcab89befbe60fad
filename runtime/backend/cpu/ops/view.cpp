// Reshape, Squeeze, Unsqueeze, Flatten, Identity: copied only where the value is known on the host.
#include <cstring>

#include "backend/cpu/ops/kernel.h"
#include "ops/movement.h"

namespace qgraph::cpu {
namespace {

class ViewKernel : public CpuKernel {
 public:
  ViewKernel(const ops::View&, const OpSource&, const Workspace& workspace) : CpuKernel(workspace) {}

  void compute(const Context& c) override {
    if (c.out[0]->data != c.in[0]->data && c.in[0]->size() != 0)
      std::memcpy(c.out[0]->data, c.in[0]->data, static_cast<size_t>(c.in[0]->size()) * byte_size(c.in[0]->type));
  }
};

}  // namespace

void add_view_kernels(KernelTable& table) {
  for (const char* kind : {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
    table.emplace_back(kind, make<ViewKernel, ops::View>);
}

}  // namespace qgraph::cpu
