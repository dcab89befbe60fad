// Gather, GatherElements and GatherND.
#include <cstring>

#include "backend/cpu/ops/copy.h"
#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/places.h"
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
    if (c.out[0]->size() == 0) return;
    if (op_.form == ops::Gather::Form::Nd) {
      places_of(op_, index, x.shape.data() + op_.batch_dims, static_cast<int64_t>(op_.depth), places_);
      return blocks(c);
    }
    if (op_.form == ops::Gather::Form::Elements)
      return with_places(op_, *c.pool, index, x.shape[op_.axis], [&](const auto* at) { elements_of(c, at); });
    places_of(op_, index, &x.shape[op_.axis], 1, places_);
    if (op_.packed)
      packed_rows(c);
    else
      slices(c);
  }

 private:
  void packed_rows(const Context& c) const {
    const int64_t width = c.in[0]->shape[1];
    const auto* from = c.in[0]->as<uint8_t>();
    auto* to = c.out[0]->as<int8_t>();
    for (size_t i = 0; i < places_.size(); ++i)
      for (int64_t j = 0; j < width; ++j) *to++ = int4_at(from, places_[i] * width + j);
  }

  /// Whole slices along the axis, for everything in front of it.
  void slices(const Context& c) const {
    const Tensor& x = *c.in[0];
    const AxisSplit split = split_at(x.shape, static_cast<int64_t>(op_.axis), op_.what());
    const auto n = static_cast<int64_t>(places_.size());
    const size_t size = byte_size(x.type);
    const int64_t bytes = split.inner * static_cast<int64_t>(size);
    const uint8_t* from = x.as<uint8_t>();
    uint8_t* to = c.out[0]->as<uint8_t>();
    c.pool->parallel(split.outer * n, copy_grain(bytes), [&](int64_t begin, int64_t end, int) {
      if (split.inner == 1)
        return with_word(size, [&]<typename T>(T) {
          for (int64_t i = begin; i < end; ++i)
            reinterpret_cast<T*>(to)[i] =
                reinterpret_cast<const T*>(from)[i / n * split.length + places_[static_cast<size_t>(i % n)]];
        });
      for (int64_t i = begin; i < end; ++i)
        std::memcpy(to + i * bytes, from + (i / n * split.length + places_[static_cast<size_t>(i % n)]) * bytes,
                    static_cast<size_t>(bytes));
    });
  }

  /// An element for each index, from its own place along the other axes.
  template <typename I>
  void elements_of(const Context& c, const I* index) const {
    const Tensor& x = *c.in[0];
    const Shape& shape = c.in[1]->shape;
    const auto own = strides_of(x.shape);
    const size_t last = shape.size() - 1;
    const int64_t width = shape[last], step = own[op_.axis], across = op_.axis == last ? 0 : 1, dim = x.shape[op_.axis];
    with_word(byte_size(x.type), [&]<typename T>(T) {
      c.pool->parallel(elements(shape) / width, copy_grain(width * 8), [&](int64_t begin, int64_t end, int) {
        for (int64_t row = begin; row < end; ++row) {
          int64_t base = 0, rest = row;
          for (size_t d = last; d-- > 0;) {
            if (d != op_.axis) base += rest % shape[d] * own[d];
            rest /= shape[d];
          }
          const I* at = index + row * width;
          const T* from = x.as<T>() + base;
          T* to = c.out[0]->as<T>() + row * width;
          for (int64_t j = 0; j < width; ++j) to[j] = from[(at[j] < 0 ? at[j] + dim : at[j]) * step + j * across];
        }
      });
    });
  }

  /// What lies behind the places along several axes.
  void blocks(const Context& c) const {
    const Tensor& x = *c.in[0];
    const auto own = strides_of(x.shape);
    const auto depth = static_cast<int64_t>(op_.depth), n = static_cast<int64_t>(places_.size()) / depth;
    const auto size = static_cast<int64_t>(byte_size(x.type)), block = own[op_.batch_dims + op_.depth - 1] * size;
    int64_t per_batch = n;
    for (size_t i = 0; i < op_.batch_dims; ++i) per_batch /= x.shape[i];
    const int64_t batch_stride = op_.batch_dims == 0 ? 0 : own[op_.batch_dims - 1];
    c.pool->parallel(n, copy_grain(block), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t at = i / per_batch * batch_stride;
        for (int64_t d = 0; d < depth; ++d)
          at += places_[static_cast<size_t>(i * depth + d)] * own[op_.batch_dims + static_cast<size_t>(d)];
        std::memcpy(c.out[0]->as<uint8_t>() + i * block, x.as<uint8_t>() + at * size, static_cast<size_t>(block));
      }
    });
  }

  const ops::Gather& op_;
  std::vector<int64_t> places_;
};

}  // namespace

void add_gather_kernels(KernelTable& table) {
  for (const char* kind : {"Gather", "GatherElements", "GatherND"}) table.emplace_back(kind, make<GatherKernel, ops::Gather>);
}

}  // namespace qgraph::cpu
