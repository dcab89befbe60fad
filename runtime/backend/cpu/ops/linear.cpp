// Linear: x [..., k] times constant weights [n, k]; MatMul: the product of two activations.
#include "ops/linear.h"

#include <algorithm>

#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/weights.h"

namespace qgraph::cpu {
namespace {

constexpr int64_t kRows = 48;       // a multiple of every kernel's row_step
constexpr int64_t kMostRows = 192;  // of a task

class LinearKernel : public CpuKernel {
 public:
  LinearKernel(const ops::Linear& op, const OpSource& s, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {
    epilogue_.multiplier = op.multiplier;
    epilogue_.bias = op.bias;
    epilogue_.bias_f = op.float_bias;
    set_residual(epilogue_, op.residual);
    if (op.n == 0) return;
    const WeightCodes w = read_codes(s, 1);
    if (op.sparse != SparseForm::Dense && workspace.kernels.sparse)
      parts_.push_back(pack_sparse(w, op.n, op.k, op.sparse, sparse_));
    else
      pack_dense(workspace.kernels, w);
    if (op.block == 0) folded_bias_ = fold_zero_point(epilogue_, parts_[0].column_sums, op.n, op.x_zero);
    epilogue_.bounded = is_bounded(epilogue_, op.n);
  }

  size_t prepare(const Values&) override { return static_cast<size_t>(2 * kTileRows * kTileColumns * 4); }
  bool reads(size_t input) const override { return input != 1; }
  int64_t left_out() const override { return sparse_.bytes == 0 ? 0 : op_.n * op_.k - sparse_.bytes; }

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const float* row_scale = c.given(4) ? c.in[4]->as<float>() : nullptr;
    const void* residual = c.given(5) ? c.in[5]->data : nullptr;
    // weights stay in L1 while the rows pass; neighbouring tasks share them
    const Task task = split(c.pool->size());
    const int64_t row_tasks = (op_.rows + task.rows - 1) / task.rows, column_tasks = (op_.n + task.columns - 1) / task.columns;
    c.pool->parallel(row_tasks * column_tasks, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i)
        one(c, x.as<uint8_t>(), row_scale, residual, i % row_tasks * task.rows, i / row_tasks * task.columns, task, worker);
    });
  }

 private:
  struct Task {
    int64_t rows, columns;
  };
  // The largest tasks that keep all threads busy to the end: four for each, or three and none left over.
  Task split(int threads) const {
    if (op_.block != 0) return {kRows, kTileColumns};
    const int64_t tiles = (op_.n + kTileColumns - 1) / kTileColumns;
    for (int64_t rows = kMostRows; rows > kRows; rows -= kRows)
      for (int64_t wide : {4, 3, 2, 1}) {
        const int64_t tasks = (op_.rows + rows - 1) / rows * ((tiles + wide - 1) / wide);
        if (threads == 1 || tasks >= 4 * threads || (tiles % wide == 0 && tasks == 3 * threads))
          return {rows, wide * kTileColumns};
      }
    return {kRows, kTileColumns};
  }

  void pack_dense(const Kernels& kernels, const WeightCodes& w) {
    const int64_t depth = op_.block != 0 ? op_.block : op_.k;
    const size_t part_bytes = static_cast<size_t>(packed_bytes(op_.n, depth, w.width()));
    const size_t sums = static_cast<size_t>(round_up(op_.n, kPanel));
    packed_.resize(part_bytes * static_cast<size_t>(op_.blocks));
    sums_.resize(sums * static_cast<size_t>(op_.blocks));
    for (int64_t b = 0; b < op_.blocks; ++b) {
      const int64_t from = b * depth, length = std::min(depth, op_.k - from);
      int8_t* data = packed_.data() + static_cast<size_t>(b) * part_bytes;
      int32_t* sum = sums_.data() + static_cast<size_t>(b) * sums;
      parts_.push_back(pack_codes(w, from, op_.n, length, op_.k, kernels, data, sum));
    }
  }

  void one(const Context& c, const uint8_t* x, const float* row_scale, const void* residual, int64_t row, int64_t column,
           const Task& task, int worker) const {
    const int64_t rows = std::min(task.rows, op_.rows - row), columns = std::min(task.columns, op_.n - column);
    auto* acc = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
    Epilogue e = epilogue_;
    e.row_scale = row_scale;
    e = part_of(e, row, column);
    const int64_t at = row * op_.n + column;
    void* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(at) * byte_size(e.type);
    const void* res = residual_at(e, residual, at);
    if (op_.block == 0) {
      product(*c.kernels, {x + row * op_.k, op_.k}, rows, parts_[0], column, columns, e, y, op_.n, res, acc);
      return;
    }
    blocks(c, x + row * op_.k, e, rows, column, columns, acc, y, res);
  }

  // One scale a block: t = sum over blocks, in order, of float(acc_b) * multiplier[b, c]; then row scale, bias, residual.
  void blocks(const Context& c, const uint8_t* x, Epilogue e, int64_t rows, int64_t column, int64_t columns, int32_t* acc,
              void* y, const void* residual) const {
    auto* total = reinterpret_cast<float*>(acc + kRows * kTileColumns);
    std::fill(total, total + kRows * kTileColumns, 0.0f);
    for (size_t b = 0; b < parts_.size(); ++b) {
      const PackedWeights& part = parts_[b];
      const float* m = op_.multiplier + static_cast<int64_t>(b) * op_.n + column;
      c.kernels->gemm(x + static_cast<int64_t>(b) * op_.block, op_.k, rows, part, column, columns, acc, kTileColumns);
      c.kernels->correct(acc, kTileColumns, rows, columns, part.column_sums + column, op_.x_zero, nullptr, 0, part.k);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < columns; ++i)
          total[r * kTileColumns + i] = total[r * kTileColumns + i] + static_cast<float>(acc[r * kTileColumns + i]) * m[i];
    }
    const float one = 1.0f;
    const size_t size = byte_size(e.type), r_size = byte_size(e.residual_type);
    for (int64_t r = 0; r < rows; ++r) {
      float* t = total + r * kTileColumns;
      const float scale = e.row_scale == nullptr ? 1.0f : e.row_scale[r];
      for (int64_t i = 0; i < columns; ++i) {
        t[i] = t[i] * scale;
        if (e.bias_f != nullptr) t[i] = t[i] + e.bias_f[i];
        if (residual != nullptr) {
          const size_t at = static_cast<size_t>(r * op_.n + i) * r_size;
          const auto* p = static_cast<const uint8_t*>(residual) + at;
          const int32_t code = e.residual_type == DType::U8 ? *p : *reinterpret_cast<const int16_t*>(p);
          t[i] = t[i] + static_cast<float>(code - e.residual_zero) * e.residual_multiplier;
        }
      }
      c.kernels->requantize(t, DType::F32, 0, &one, 0, columns, e,
                            static_cast<uint8_t*>(y) + static_cast<size_t>(r * op_.n) * size);
    }
  }

  const ops::Linear& op_;
  Epilogue epilogue_;
  AlignedBytes packed_;
  SparseMemory sparse_;
  std::vector<int32_t> sums_, folded_bias_;
  std::vector<PackedWeights> parts_;  // one a block of the depth
};

class MatMulKernel : public CpuKernel {
 public:
  MatMulKernel(const ops::MatMul& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {
    epilogue_.multiplier = &op.multiplier;
    epilogue_.multiplier_stride = 0;
  }

  size_t prepare(const Values&) override {
    return static_cast<size_t>(round_up(packed_bytes(op_.n, op_.k), 64) + round_up(op_.n, kPanel) * 4 + kRows * kTileColumns * 4 +
                               kRows * 4 + 256);
  }

  void compute(const Context& c) override {
    c.pool->parallel(elements(op_.lead), 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) one(c, i, worker);
    });
  }

 private:
  // Index of a batch in an operand whose leading dims broadcast.
  int64_t batch_of(int64_t i, const Shape& lead) const {
    int64_t index = 0, step = 1;
    for (size_t d = 1; d <= op_.lead.size(); ++d) {
      const int64_t size = op_.lead[op_.lead.size() - d], at = i % size;
      i /= size;
      if (d <= lead.size()) {
        if (lead[lead.size() - d] != 1) index += at * step;
        step *= lead[lead.size() - d];
      }
    }
    return index;
  }

  void one(const Context& c, int64_t batch, int worker) const {
    if (op_.m == 0 || op_.n == 0) return;
    const uint8_t* a = c.in[0]->as<uint8_t>() + batch_of(batch, op_.a_lead) * op_.m * op_.k;
    const uint8_t* b = c.in[1]->as<uint8_t>() + batch_of(batch, op_.b_lead) * op_.k * op_.n;
    uint8_t* scratch = c.worker_scratch(worker);
    auto* packed = reinterpret_cast<int8_t*>(scratch);
    auto* sums = reinterpret_cast<int32_t*>(scratch + round_up(packed_bytes(op_.n, op_.k), 64));
    int32_t* acc = sums + round_up(op_.n, kPanel);
    int32_t* row_sums = acc + kRows * kTileColumns;
    c.kernels->pack(b, op_.n, op_.k, 1, op_.n, true, packed, sums);
    const PackedWeights w{packed, sums, op_.n, op_.k};
    const size_t size = byte_size(epilogue_.type);
    uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(batch * op_.m * op_.n) * size;
    for (int64_t row = 0; row < op_.m; row += kRows) {
      const int64_t rows = std::min(kRows, op_.m - row);
      for (int64_t r = 0; r < rows; ++r) row_sums[r] = c.kernels->sum(a + (row + r) * op_.k, op_.k);
      for (int64_t column = 0; column < op_.n; column += kTileColumns) {
        const int64_t columns = std::min(kTileColumns, op_.n - column);
        c.kernels->gemm(a + row * op_.k, op_.k, rows, w, column, columns, acc, kTileColumns);
        c.kernels->correct(acc, kTileColumns, rows, columns, sums + column, op_.a_zero, row_sums, op_.b_zero - 128, op_.k);
        c.kernels->finish(epilogue_, acc, kTileColumns, rows, columns, y + static_cast<size_t>(row * op_.n + column) * size,
                          op_.n, nullptr);
      }
    }
  }

  const ops::MatMul& op_;
  Epilogue epilogue_;
};

}  // namespace

void add_linear_kernels(KernelTable& table) {
  table.emplace_back("Linear", make<LinearKernel, ops::Linear>);
  table.emplace_back("MatMul", make<MatMulKernel, ops::MatMul>);
}

}  // namespace qgraph::cpu
