// What the kernels of the CPU backend share: they run on a thread pool with the functions of one instruction set, and those that
// compute row by row can take turns with their neighbours.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/isa/kernels.h"
#include "ops/codes.h"
#include "support/thread_pool.h"

namespace qgraph::cpu {

/// What all kernels of one backend work with.
struct Workspace {
  const Kernels& kernels;
  ThreadPool& pool;
  uint8_t* scratch = nullptr;  // scratch_bytes for each worker
  size_t scratch_bytes = 0;
};

/// The workspace and the operands of one kernel.
struct Context {
  Context(const Workspace& w, const Values& v)
      : values(v), kernels(&w.kernels), pool(&w.pool), scratch(w.scratch), scratch_bytes(w.scratch_bytes), in(v.in), out(v.out) {}
  bool given(size_t i) const { return i < in.size() && in[i] != nullptr; }
  /// Memory for output i, whose shape the kernel has found in the data (see Op::shape_from_data).
  Tensor& place(size_t i, const Shape& shape) const { return values.results->place(i, shape); }
  uint8_t* worker_scratch(int worker) const { return scratch + static_cast<size_t>(worker) * scratch_bytes; }

  const Values& values;
  const Kernels* kernels;
  ThreadPool* pool;
  uint8_t* scratch;
  size_t scratch_bytes;
  const std::vector<const Tensor*>& in;
  const std::vector<Tensor*>& out;
};

class CpuKernel : public Kernel {
 public:
  /// Returns the bytes of scratch that each worker needs.
  size_t prepare(const Values&) override { return 0; }
  void run(const Values& v) final { compute(Context(workspace_, v)); }
  virtual void compute(const Context& c) = 0;
  /// Rows that the kernel computes each by itself, from the same row of its inputs; 0 where it is no such kernel (see RowKernel).
  virtual int64_t rows(const Values&) const { return 0; }
  virtual void compute_rows(const Context&, int64_t /*begin*/, int64_t /*end*/, int /*worker*/) const {}

 protected:
  explicit CpuKernel(const Workspace& w) : workspace_(w) {}
  const Workspace& workspace_;
};

/// Rows whose elements of output 0 are worth handing to another thread, and few enough to stay in a cache.
inline int64_t rows_at_a_time(const std::vector<Tensor*>& out, int64_t rows) {
  constexpr int64_t kElements = 4096;
  return std::max<int64_t>(1, kElements / std::max<int64_t>(1, out[0]->size() / std::max<int64_t>(1, rows)));
}

/// A kernel of `rows` and `compute_rows`; neighbours of as many rows run a few rows at a time.
class RowKernel : public CpuKernel {
 public:
  void compute(const Context& c) override;

 protected:
  using CpuKernel::CpuKernel;
};

/// Call f with the elements of a tensor as a pointer to their type; bools are bytes.
template <typename F>
void with_elements(const Tensor& x, F f) {
  switch (x.type) {
    case DType::F32:
      return f(x.as<float>());
    case DType::I64:
      return f(x.as<int64_t>());
    case DType::I32:
      return f(x.as<int32_t>());
    case DType::I16:
      return f(x.as<int16_t>());
    case DType::I8:
      return f(x.as<int8_t>());
    default:
      return f(x.as<uint8_t>());
  }
}

/// Code i of a uint8 or int16 tensor.
inline int32_t read_code(const Tensor& x, int64_t i) { return x.type == DType::U8 ? x.as<uint8_t>()[i] : x.as<int16_t>()[i]; }

/// Make the kernel of an op; null where there is none.
std::unique_ptr<Kernel> make_kernel(const Op& op, const OpSource& source, const Workspace& workspace);

// One function a family of ops adds its factories to the table.
using KernelFactory = std::unique_ptr<Kernel> (*)(const Op&, const OpSource&, const Workspace&);
using KernelTable = std::vector<std::pair<std::string, KernelFactory>>;
void add_linear_kernels(KernelTable& table);
void add_linear_float32_kernels(KernelTable& table);
void add_einsum_kernels(KernelTable& table);
void add_det_kernels(KernelTable& table);
void add_col2im_kernels(KernelTable& table);
void add_conv_kernels(KernelTable& table);
void add_conv_float32_kernels(KernelTable& table);
void add_attention_kernels(KernelTable& table);
void add_pointwise_kernels(KernelTable& table);
void add_norm_kernels(KernelTable& table);
void add_norm_float32_kernels(KernelTable& table);
void add_pool_kernels(KernelTable& table);
void add_pool_float32_kernels(KernelTable& table);
void add_signal_float32_kernels(KernelTable& table);
void add_reduce_float32_kernels(KernelTable& table);
void add_view_kernels(KernelTable& table);
void add_strided_copy_kernels(KernelTable& table);
void add_concat_kernels(KernelTable& table);
void add_pad_kernels(KernelTable& table);
void add_scatter_kernels(KernelTable& table);
void add_trilu_reverse_kernels(KernelTable& table);
void add_gather_kernels(KernelTable& table);
void add_index_kernels(KernelTable& table);
void add_order_kernels(KernelTable& table);
void add_grid_kernels(KernelTable& table);
void add_detection_kernels(KernelTable& table);
void add_recurrent_kernels(KernelTable& table);
void add_elementwise_kernels(KernelTable& table);
void add_resize_kernels(KernelTable& table);
void add_resize_float32_kernels(KernelTable& table);

/// The factory of kernel K for op O.
template <typename K, typename O>
std::unique_ptr<Kernel> make(const Op& op, const OpSource& source, const Workspace& workspace) {
  return std::make_unique<K>(static_cast<const O&>(op), source, workspace);
}

}  // namespace qgraph::cpu
