// Trilu and ReverseSequence.
#include <algorithm>
#include <cstring>

#include "backend/cpu/ops/copy.h"
#include "backend/cpu/ops/kernel.h"
#include "ops/movement.h"
#include "ops/shape.h"

namespace qgraph::cpu {
namespace {

class TriluKernel : public CpuKernel {
 public:
  TriluKernel(const ops::Trilu& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    if (x.size() == 0) return;
    const int64_t size = static_cast<int64_t>(byte_size(x.type)), columns = x.shape.back(), height = x.shape[x.shape.size() - 2];
    c.pool->parallel(x.size() / columns, copy_grain(columns * size), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t border = r % height + op_.k + (op_.upper ? 0 : 1);  // the first column of the upper part
        const int64_t first = std::min(std::max<int64_t>(border, 0), columns) * size, whole = columns * size;
        const uint8_t* from = x.as<uint8_t>() + r * whole;
        uint8_t* to = c.out[0]->as<uint8_t>() + r * whole;
        const int64_t low = op_.upper ? first : 0, high = op_.upper ? whole : first;
        std::memset(to, 0, static_cast<size_t>(low));
        std::memcpy(to + low, from + low, static_cast<size_t>(high - low));
        std::memset(to + high, 0, static_cast<size_t>(whole - high));
      }
    });
  }

 private:
  const ops::Trilu& op_;
};

class ReverseSequenceKernel : public CpuKernel {
 public:
  ReverseSequenceKernel(const ops::ReverseSequence& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const auto* lengths = c.in[1]->as<int64_t>();
    const bool batch_first = op_.batch_axis == 0;
    const int64_t columns = x.shape[1], times = x.shape[static_cast<size_t>(op_.time_axis)];
    for (int64_t b = 0; b < c.in[1]->size(); ++b)
      if (lengths[b] < 0 || lengths[b] > times) op_.fail("a length is not between 0 and " + std::to_string(times));
    if (x.size() == 0) return;
    const int64_t rows = x.shape[0] * columns, bytes = static_cast<int64_t>(bytes_of(x)) / rows;
    c.pool->parallel(rows, copy_grain(bytes), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t i = r / columns, j = r % columns, batch = batch_first ? i : j, time = batch_first ? j : i;
        const int64_t at = time < lengths[batch] ? lengths[batch] - 1 - time : time;
        const int64_t from = batch_first ? batch * columns + at : at * columns + batch;
        std::memcpy(c.out[0]->as<uint8_t>() + r * bytes, x.as<uint8_t>() + from * bytes, static_cast<size_t>(bytes));
      }
    });
  }

 private:
  const ops::ReverseSequence& op_;
};

}  // namespace

void add_trilu_reverse_kernels(KernelTable& table) {
  table.emplace_back("Trilu", make<TriluKernel, ops::Trilu>);
  table.emplace_back("ReverseSequence", make<ReverseSequenceKernel, ops::ReverseSequence>);
}

}  // namespace qgraph::cpu
