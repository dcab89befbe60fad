// Concat.
#include "backend/cpu/ops/copy.h"
#include "backend/cpu/ops/kernel.h"
#include "ops/movement.h"
#include "ops/shape.h"

namespace qgraph::cpu {
namespace {

class ConcatKernel : public CpuKernel {
 public:
  ConcatKernel(const ops::Concat& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Shape& shape = c.out[0]->shape;
    if (elements(shape) == 0) return;
    const int64_t inner = strides_of(shape)[op_.axis] * static_cast<int64_t>(byte_size(c.out[0]->type));
    const int64_t row = inner * shape[op_.axis], rows = static_cast<int64_t>(bytes_of(*c.out[0])) / row;
    uint8_t* to = c.out[0]->as<uint8_t>();
    for (const Tensor* x : c.in) {
      const int64_t part = x->shape[op_.axis] * inner;
      if (x->data != to) copy_rows(*c.pool, x->as<uint8_t>(), part, to, row, part, rows);  // it is there: see Op::appends
      to += part;
    }
  }

 private:
  const ops::Concat& op_;
};

}  // namespace

void add_concat_kernels(KernelTable& table) { table.emplace_back("Concat", make<ConcatKernel, ops::Concat>); }

}  // namespace qgraph::cpu
