// Attention for each batch, head and block of query rows; scores never leave the cache.
#include "ops/attention.h"

#include <algorithm>

#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

class AttentionKernel : public CpuKernel {
 public:
  AttentionKernel(const ops::Attention& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {
    epilogue_.multiplier = &op.multiplier;
    epilogue_.multiplier_stride = 0;
  }

  size_t prepare(const Values&) override { return static_cast<size_t>(layout().total); }

  void compute(const Context& c) override {
    // one task: a head with all its query rows, so that keys and values are packed once
    c.pool->parallel(op_.batch * op_.heads, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) one(c, i / op_.heads, i % op_.heads, worker);
    });
  }

 private:
  struct Layout {
    int64_t k_pack, k_sums, v_pack, v_sums, acc, codes, shifts, p_sums, total;
  };

  Layout layout() const {
    Layout l{};
    int64_t at = 0;
    auto take = [&](int64_t bytes) {
      const int64_t here = at;
      at += round_up(bytes, 64);
      return here;
    };
    const int64_t wide = std::max(round_up(op_.keys, kPanel), round_up(op_.v_width, kPanel));
    l.k_pack = take(packed_bytes(op_.keys, op_.width));
    l.k_sums = take(round_up(op_.keys, kPanel) * 4);
    l.v_pack = take(packed_bytes(op_.v_width, op_.keys));
    l.v_sums = take(round_up(op_.v_width, kPanel) * 4);
    l.acc = take(kAttentionRows * wide * 4);
    l.codes = take(kAttentionRows * op_.keys);
    l.shifts = take(kAttentionRows * 4);
    l.p_sums = take(kAttentionRows * 4);
    l.total = at + 64;
    return l;
  }

  void one(const Context& c, int64_t batch, int64_t head, int worker) const {
    if (op_.rows == 0 || op_.v_width == 0) return;
    const Layout l = layout();
    uint8_t* s = c.worker_scratch(worker);
    auto ints = [&](int64_t at) { return reinterpret_cast<int32_t*>(s + at); };
    const int64_t stride = op_.token_major ? op_.heads * op_.width : op_.width,
                  v_stride = op_.token_major ? op_.heads * op_.v_width : op_.v_width;
    auto start = [&](int64_t length, int64_t width) {
      return op_.token_major ? (batch * length * op_.heads + head) * width : (batch * op_.heads + head) * length * width;
    };
    const uint8_t* q = c.in[0]->as<uint8_t>() + start(op_.rows, op_.width);
    const uint8_t* k = c.in[1]->as<uint8_t>() + start(op_.keys, op_.width);
    const uint8_t* v = c.in[2]->as<uint8_t>() + start(op_.keys, op_.v_width);
    c.kernels->pack(k, op_.keys, op_.width, stride, 1, true, reinterpret_cast<int8_t*>(s + l.k_pack), ints(l.k_sums));
    c.kernels->pack(v, op_.v_width, op_.keys, 1, v_stride, true, reinterpret_cast<int8_t*>(s + l.v_pack), ints(l.v_sums));
    int32_t* k_bias = ints(l.k_sums);
    for (int64_t i = 0; i < op_.keys; ++i) k_bias[i] *= -op_.q_zero;
    const PackedWeights wk{reinterpret_cast<int8_t*>(s + l.k_pack), ints(l.k_sums), op_.keys, op_.width};
    const PackedWeights wv{reinterpret_cast<int8_t*>(s + l.v_pack), ints(l.v_sums), op_.v_width, op_.keys};
    const float* mask = c.given(3) ? c.in[3]->as<float>() + batch * op_.mask_strides[0] + head * op_.mask_strides[1] : nullptr;
    const int64_t ld = std::max(round_up(op_.keys, kPanel), round_up(op_.v_width, kPanel));
    int32_t *acc = ints(l.acc), *shifts = ints(l.shifts), *p_sums = ints(l.p_sums);
    uint8_t* codes = s + l.codes;
    const size_t size = byte_size(epilogue_.type);
    for (int64_t row = 0; row < op_.rows; row += kAttentionRows) {
      const int64_t rows = std::min(kAttentionRows, op_.rows - row);
      c.kernels->gemm(q + row * stride, stride, rows, wk, 0, op_.keys, acc, ld);
      // the zero points: sum (q - zq)(k - zk) = acc - zq * sum k' - zk' * sum q + n zq zk', with k' = k - 128
      for (int64_t r = 0; r < rows; ++r)
        shifts[r] = op_.k_zero == 128 ? 0
                                      : (op_.k_zero - 128) * (static_cast<int32_t>(op_.width) * op_.q_zero -
                                                              c.kernels->sum(q + (row + r) * stride, op_.width));
      c.kernels->attention_rows(acc, ld, k_bias, shifts, rows, op_.keys, op_.scale,
                                mask == nullptr ? nullptr : mask + row * op_.mask_strides[2], op_.mask_strides[2],
                                op_.mask_strides[3], codes, p_sums);
      c.kernels->gemm(codes, op_.keys, rows, wv, 0, op_.v_width, acc, ld);
      c.kernels->correct(acc, ld, rows, op_.v_width, wv.column_sums, 0, p_sums, op_.v_zero - 128, op_.keys);
      uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(start(op_.rows, op_.v_width) + row * v_stride) * size;
      c.kernels->finish(epilogue_, acc, ld, rows, op_.v_width, y, v_stride, nullptr);
    }
  }

  const ops::Attention& op_;
  Epilogue epilogue_;
};

}  // namespace

void add_attention_kernels(KernelTable& table) { table.emplace_back("Attention", make<AttentionKernel, ops::Attention>); }

}  // namespace qgraph::cpu
