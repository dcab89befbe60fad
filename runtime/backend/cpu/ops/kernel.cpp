#include "backend/cpu/ops/kernel.h"

#include <unordered_map>

namespace qgraph::cpu {

void RowKernel::compute(const Context& c) {
  const int64_t n = rows(c.values);
  c.pool->parallel(n, rows_at_a_time(c.out, n),
                   [&](int64_t begin, int64_t end, int worker) { compute_rows(c, begin, end, worker); });
}

std::unique_ptr<Kernel> make_kernel(const Op& op, const OpSource& source, const Workspace& workspace) {
  static const auto factories = [] {
    KernelTable table;
    add_linear_kernels(table);
    add_linear_float32_kernels(table);
    add_einsum_kernels(table);
    add_det_kernels(table);
    add_col2im_kernels(table);
    add_conv_kernels(table);
    add_conv_float32_kernels(table);
    add_attention_kernels(table);
    add_pointwise_kernels(table);
    add_norm_kernels(table);
    add_norm_float32_kernels(table);
    add_pool_kernels(table);
    add_pool_float32_kernels(table);
    add_signal_float32_kernels(table);
    add_reduce_float32_kernels(table);
    add_view_kernels(table);
    add_strided_copy_kernels(table);
    add_concat_kernels(table);
    add_pad_kernels(table);
    add_scatter_kernels(table);
    add_trilu_reverse_kernels(table);
    add_gather_kernels(table);
    add_index_kernels(table);
    add_order_kernels(table);
    add_grid_kernels(table);
    add_detection_kernels(table);
    add_recurrent_kernels(table);
    add_elementwise_kernels(table);
    add_resize_kernels(table);
    add_resize_float32_kernels(table);
    return std::unordered_map<std::string, KernelFactory>(table.begin(), table.end());
  }();
  const auto it = factories.find(op.kind());
  return it == factories.end() ? nullptr : it->second(op, source, workspace);
}

}  // namespace qgraph::cpu
