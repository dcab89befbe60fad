// Gather, GatherElements and GatherND.
#include <algorithm>
#include <cstring>

#include "backend/cpu/ops/kernel.h"
#include "ops/movement.h"
#include "ops/shape.h"

namespace qgraph::cpu {
namespace {

/// Element i of packed int4 data.
int8_t int4_at(const uint8_t* data, int64_t i) { return kSigned.of(4)[static_cast<size_t>(field_at(data, i, 4))]; }

class GatherKernel : public CpuKernel {
 public:
  GatherKernel(const ops::Gather& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor &x = *c.in[0], &index = *c.in[1];
    const size_t size = byte_size(x.type);
    const uint8_t* from = x.as<uint8_t>();
    uint8_t* to = c.out[0]->as<uint8_t>();
    const auto strides = strides_of(x.shape);
    if (c.out[0]->size() == 0) return;
    if (op_.packed) {
      const int64_t width = x.shape[1];
      for (int64_t i = 0; i < index.size(); ++i) {
        const int64_t start = position(index, i, x.shape[0]) * width;
        for (int64_t j = 0; j < width; ++j) to[i * width + j] = static_cast<uint8_t>(int4_at(from, start + j));
      }
      return;
    }
    if (op_.form == ops::Gather::Form::Nd) {
      const int64_t block = op_.batch_dims + op_.depth < x.shape.size() ? strides[op_.batch_dims + op_.depth - 1] : 1;
      const int64_t n = index.size() / static_cast<int64_t>(op_.depth);
      int64_t per_batch = n;
      for (size_t i = 0; i < op_.batch_dims; ++i) per_batch /= x.shape[i];
      const int64_t batch_stride = op_.batch_dims == 0 ? 0 : strides[op_.batch_dims - 1];
      for (int64_t i = 0; i < n; ++i) {
        int64_t at = i / per_batch * batch_stride;
        for (size_t d = 0; d < op_.depth; ++d)
          at += position(index, i * static_cast<int64_t>(op_.depth) + static_cast<int64_t>(d), x.shape[op_.batch_dims + d]) *
                strides[op_.batch_dims + d];
        std::memcpy(to + static_cast<size_t>(i * block) * size, from + static_cast<size_t>(at) * size,
                    static_cast<size_t>(block) * size);
      }
    } else if (op_.form == ops::Gather::Form::Elements) {
      for (int64_t i = 0; i < index.size(); ++i) {
        int64_t at = 0, rest = i;
        for (size_t d = index.shape.size(); d-- > 0;) {
          const int64_t here = d == op_.axis ? position(index, i, x.shape[d]) : rest % index.shape[d];
          at += here * strides[d];
          rest /= index.shape[d];
        }
        std::memcpy(to + static_cast<size_t>(i) * size, from + static_cast<size_t>(at) * size, size);
      }
    } else {
      const int64_t block = strides[op_.axis], row = block * x.shape[op_.axis], n = index.size();
      const int64_t rows = x.size() / std::max<int64_t>(row, 1);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < n; ++i)
          std::memcpy(to + static_cast<size_t>((r * n + i) * block) * size,
                      from + static_cast<size_t>(r * row + position(index, i, x.shape[op_.axis]) * block) * size,
                      static_cast<size_t>(block) * size);
    }
  }

 private:
  int64_t position(const Tensor& index, int64_t i, int64_t dim) const {
    int64_t v = index.type == DType::I64 ? index.as<int64_t>()[i] : index.as<int32_t>()[i];
    if (v < 0) v += dim;
    if (v < 0 || v >= dim) op_.fail("index " + std::to_string(v) + " is out of range for a dim of " + std::to_string(dim));
    return v;
  }

  const ops::Gather& op_;
};

}  // namespace

void add_gather_kernels(KernelTable& table) {
  for (const char* kind : {"Gather", "GatherElements", "GatherND"}) table.emplace_back(kind, make<GatherKernel, ops::Gather>);
}

}  // namespace qgraph::cpu
