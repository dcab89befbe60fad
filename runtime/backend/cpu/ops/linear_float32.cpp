// Products of float32 matrices. A constant right operand is packed in panels when the program is loaded; a computed one is read
// where it lies, or packed part by part in each task.
#include "ops/linear_float32.h"

#include <algorithm>
#include <vector>

#include "backend/cpu/ops/float_panels.h"
#include "backend/cpu/ops/kernel.h"
#include "ops/shape.h"
#include "support/memory.h"

namespace qgraph::cpu {
namespace {

constexpr int64_t kMostRows = 128, kMostPanels = 24;       // of a task
constexpr int64_t kMostDepth = 2048;                       // of a part along k
constexpr int64_t kPackedDepth = 512, kPackedPanels = 12;  // of what a task packs: half of a second-level cache
constexpr int64_t kSmallMacs = 1 << 16;                    // not worth another thread

class FloatMatMulKernel : public CpuKernel {
 public:
  FloatMatMulKernel(const ops::FloatMatMul& op, const OpSource& s, const Workspace& workspace) : CpuKernel(workspace), op_(op) {
    const TensorInfo& b = s.input(1);
    if (b.data == nullptr || b.shape.empty()) return;
    Shape shape = b.shape;
    if (shape.size() == 1) shape.push_back(1);
    int64_t k = shape[shape.size() - 2], n = shape.back();
    if (op.b_transposed) std::swap(k, n);
    const int64_t matrices = elements(shape) / std::max<int64_t>(1, k * n);
    if (matrices == 0 || k * n == 0) return;
    auto* to = reinterpret_cast<float*>(packed_.resize(static_cast<size_t>(matrices * packed_floats(n, k)) * sizeof(float)));
    for (int64_t i = 0; i < matrices; ++i)
      pack_panels(reinterpret_cast<const float*>(b.data) + i * k * n, op.b_transposed ? 1 : n, op.b_transposed ? k : 1, k, n,
                  to + i * packed_floats(n, k), panel_floats(k));
  }

  bool reads(size_t input) const override { return input != 1 || packed_.data() == nullptr; }

  size_t prepare(const Values&) override {
    const int64_t batches = elements(op_.lead);
    // one right matrix: the left ones are one matrix of many rows
    folded_ = elements(op_.b_lead) == 1 && (!op_.a_transposed || batches == 1);
    batches_ = folded_ ? 1 : batches;
    rows_ = folded_ ? batches * op_.m : op_.m;
    const int64_t panels = round_up(op_.n, kPanel) / kPanel, macs = rows_ * op_.n * op_.k;
    in_place_ = packed_.data() == nullptr && !op_.b_transposed && op_.n % kPanel == 0 &&
                (rows_ <= workspace_.kernels.rows_f32 || op_.k * op_.n <= (1 << 14));
    packs_ = packed_.data() == nullptr && !in_place_;
    task_rows_ = even_part(rows_, kMostRows, workspace_.kernels.rows_f32);
    task_panels_ = even_part(panels, packs_ ? kPackedPanels : kMostPanels, workspace_.kernels.panels_f32);
    const int64_t threads = workspace_.pool.size();
    while (threads > 1 && macs * batches_ > kSmallMacs && tasks() < 4 * threads) {
      const int64_t rows = even_part(rows_, std::max<int64_t>(1, task_rows_ / 2), workspace_.kernels.rows_f32),
                    wide = even_part(panels, std::max<int64_t>(1, task_panels_ / 2), workspace_.kernels.panels_f32);
      if (wide < task_panels_ && (wide * kPanel >= task_rows_ || rows == task_rows_))
        task_panels_ = wide;
      else if (rows < task_rows_)
        task_rows_ = rows;
      else
        break;
    }
    depth_ = op_.k;
    if (packs_)
      depth_ = even_part(op_.k, kPackedDepth, 1);
    else if (rows_ > workspace_.kernels.rows_f32 && op_.k > kMostDepth)
      depth_ = even_part(op_.k, kMostDepth / 2, 1);
    scaled_.clear();
    if (op_.c != op_.kNone && !is_whole(op_)) scaled_.resize(static_cast<size_t>(op_.c_row != 0 ? op_.m : op_.n));
    return packs_ ? static_cast<size_t>(task_panels_ * panel_floats(depth_)) * sizeof(float) : 0;
  }

  void compute(const Context& c) override {
    const FloatEpilogue e = epilogue(c);
    const bool small = batches_ * rows_ * op_.n * op_.k <= kSmallMacs;
    const int64_t columns = (op_.n + task_panels_ * kPanel - 1) / (task_panels_ * kPanel),
                  blocks = (rows_ + task_rows_ - 1) / task_rows_;
    c.pool->parallel(tasks(), small ? tasks() : 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i)  // neighbouring tasks have the same columns
        task(c, e, i / (columns * blocks), i % blocks * task_rows_, i / blocks % columns * task_panels_ * kPanel, worker);
    });
  }

 private:
  /// Whether c has an element for each of y.
  static bool is_whole(const ops::FloatMatMul& op) { return op.c_row != 0 && op.c_column != 0; }
  int64_t tasks() const {
    return batches_ * ((rows_ + task_rows_ - 1) / task_rows_) * ((op_.n + task_panels_ * kPanel - 1) / (task_panels_ * kPanel));
  }

  FloatEpilogue epilogue(const Context& c) {
    FloatEpilogue e;
    e.alpha = op_.alpha;
    e.clamped = op_.clamp.given;
    e.low = op_.clamp.low;
    e.high = op_.clamp.high;
    if (op_.bias != op_.kNone) e.column_bias = c.in[op_.bias]->as<float>();
    if (op_.residual != op_.kNone) {
      e.residual = c.in[op_.residual]->as<float>();
      e.residual_row = op_.n;
    }
    if (op_.c == op_.kNone) return e;
    const float* from = c.in[op_.c]->as<float>();
    if (is_whole(op_)) {
      e.residual = from;
      e.residual_row = op_.n;
      e.beta = op_.beta;
      return e;
    }
    const bool a_row = op_.c_row != 0;
    for (size_t i = 0; i < scaled_.size(); ++i)
      scaled_[i] = from[static_cast<int64_t>(i) * (a_row ? op_.c_row : op_.c_column)] * op_.beta;
    (a_row ? e.row_bias : e.column_bias) = scaled_.data();
    return e;
  }

  // Index of a batch in an operand whose leading dims broadcast.
  int64_t batch_of(int64_t i, const Shape& lead) const {
    int64_t index = 0, step = 1;
    for (size_t d = 1; d <= op_.lead.size(); ++d) {
      const int64_t size = op_.lead[op_.lead.size() - d], at = i % size;
      i /= size;
      if (d > lead.size()) break;
      if (lead[lead.size() - d] != 1) index += at * step;
      step *= lead[lead.size() - d];
    }
    return index;
  }

  void task(const Context& c, const FloatEpilogue& whole, int64_t batch, int64_t row, int64_t column, int worker) const {
    const int64_t rows = std::min(task_rows_, rows_ - row), columns = std::min(task_panels_ * kPanel, op_.n - column);
    const int64_t a_row = op_.a_transposed ? 1 : op_.k, a_step = op_.a_transposed ? op_.m : 1;
    const int64_t a_batch = folded_ ? 0 : batch_of(batch, op_.a_lead), b_batch = folded_ ? 0 : batch_of(batch, op_.b_lead);
    const float* a = c.in[0]->as<float>() + a_batch * op_.m * op_.k + row * a_row;
    float* y = c.out[0]->as<float>() + (batch * rows_ + row) * op_.n + column;
    FloatEpilogue e = part_of(whole, row, column);
    if (e.residual != nullptr) e.residual += batch * rows_ * op_.n;
    for (int64_t from = 0; from == 0 || from < op_.k; from += std::max<int64_t>(1, depth_)) {
      const int64_t depth = std::min(depth_, op_.k - from);
      const FloatPanels b = panels(c, b_batch, from, depth, column, columns, reinterpret_cast<float*>(c.worker_scratch(worker)));
      c.kernels->gemm_f32({a + from * a_step, a_row, a_step}, rows, b, columns, depth, from == 0,
                          from + depth == op_.k ? &e : nullptr, y, op_.n);
    }
  }

  FloatPanels panels(const Context& c, int64_t batch, int64_t from, int64_t depth, int64_t column, int64_t columns,
                     float* scratch) const {
    if (packed_.data() != nullptr)
      return {
          reinterpret_cast<const float*>(packed_.data()) + batch * packed_floats(op_.n, op_.k) + column * op_.k + from * kPanel,
          panel_floats(op_.k)};
    const int64_t step = op_.b_transposed ? 1 : op_.n, next = op_.b_transposed ? op_.k : 1;
    const float* b = c.in[1]->as<float>() + batch * op_.k * op_.n + from * step + column * next;
    if (in_place_) return {b, kPanel, op_.n};
    pack_panels(b, step, next, depth, columns, scratch, panel_floats(depth));
    return {scratch, panel_floats(depth)};
  }

  const ops::FloatMatMul& op_;
  AlignedBytes packed_;
  std::vector<float> scaled_;  // beta times a row or a column of c
  bool folded_ = false, in_place_ = false, packs_ = false;
  int64_t batches_ = 0, rows_ = 0, task_rows_ = 1, task_panels_ = 1, depth_ = 0;
};

}  // namespace

void add_linear_float32_kernels(KernelTable& table) {
  for (const char* kind : {"ai.onnx.MatMul", "Gemm", "FusedMatMul"})
    table.emplace_back(kind, make<FloatMatMulKernel, ops::FloatMatMul>);
}

}  // namespace qgraph::cpu
