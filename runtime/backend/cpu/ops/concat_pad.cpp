// Concat, Tile, Pad.
#include <cstring>

#include "backend/cpu/ops/kernel.h"
#include "ops/movement.h"
#include "ops/shape.h"

namespace qgraph::cpu {
namespace {

class ConcatKernel : public CpuKernel {
 public:
  ConcatKernel(const ops::Concat& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const size_t size = byte_size(c.out[0]->type);
    const Shape& shape = c.out[0]->shape;
    if (elements(shape) == 0) return;
    const int64_t inner = strides_of(shape)[op_.axis], row = inner * shape[op_.axis], rows = elements(shape) / row;
    int64_t start = 0;
    for (const Tensor* x : c.in) {
      const int64_t part = x->shape[op_.axis] * inner;
      const bool there = start == 0 && x->data == c.out[0]->data;  // see Op::appends
      for (int64_t r = 0; part != 0 && !there && r < rows; ++r)
        std::memcpy(c.out[0]->as<uint8_t>() + static_cast<size_t>(r * row + start) * size,
                    x->as<uint8_t>() + static_cast<size_t>(r * part) * size, static_cast<size_t>(part) * size);
      start += part;
    }
  }

 private:
  const ops::Concat& op_;
};

class TileKernel : public CpuKernel {
 public:
  TileKernel(const ops::Tile&, const OpSource&, const Workspace& workspace) : CpuKernel(workspace) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const Shape& shape = c.out[0]->shape;
    const size_t size = byte_size(x.type);
    const auto own = strides_of(x.shape);
    const int64_t n = elements(shape);
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = 0, rest = i;
      for (size_t d = shape.size(); d-- > 0;) {
        at += rest % shape[d] % x.shape[d] * own[d];
        rest /= shape[d];
      }
      std::memcpy(c.out[0]->as<uint8_t>() + static_cast<size_t>(i) * size, x.as<uint8_t>() + static_cast<size_t>(at) * size,
                  size);
    }
  }
};

class PadKernel : public CpuKernel {
 public:
  PadKernel(const ops::Pad& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const Shape& shape = c.out[0]->shape;
    const auto own = strides_of(x.shape);
    const size_t size = byte_size(x.type);
    c.pool->parallel(elements(shape), 1 << 14, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t at = 0, rest = i;
        bool inside = true;
        for (size_t d = shape.size(); d-- > 0;) {
          int64_t p = rest % shape[d] - op_.begin[d];
          const int64_t n = x.shape[d];
          rest /= shape[d];
          if (p < 0 || p >= n) {
            if (op_.mode == dialect::PadMode::Constant)
              inside = false;
            else if (op_.mode == dialect::PadMode::Reflect)
              p = p < 0 ? -p : 2 * (n - 1) - p;
            else if (op_.mode == dialect::PadMode::Edge)
              p = p < 0 ? 0 : n - 1;
            else
              p = ((p % n) + n) % n;
          }
          at += p * own[d];
        }
        uint8_t* to = c.out[0]->as<uint8_t>() + static_cast<size_t>(i) * size;
        std::memcpy(to, inside ? x.as<uint8_t>() + static_cast<size_t>(at) * size : reinterpret_cast<const uint8_t*>(&op_.value),
                    size);
      }
    });
  }

 private:
  const ops::Pad& op_;
};

}  // namespace

void add_concat_pad_kernels(KernelTable& table) {
  table.emplace_back("Concat", make<ConcatKernel, ops::Concat>);
  table.emplace_back("Tile", make<TileKernel, ops::Tile>);
  table.emplace_back("Pad", make<PadKernel, ops::Pad>);
}

}  // namespace qgraph::cpu
