// Linear: x [..., k] times constant weights [n, k]; MatMul: the product of two activations.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "backend/cpu/ops/weights.h"

namespace qgraph {
namespace {

constexpr int64_t kRows = 48;       // a multiple of every kernel's row_step
constexpr int64_t kMostRows = 192;  // of a task

class Linear : public Op {
 public:
  // Inputs: x, weights, multiplier, bias (int32, or float32 with row scales or blocks), row scales, residual.
  explicit Linear(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)) {
    const WeightCodes w = read_codes(s, 1);
    require(w.info.shape.size() == 2, "the weights must be a matrix");
    n_ = w.info.shape[0];
    k_ = w.info.shape[1];
    block_ = s.attributes.integer("block", 0, 0, int64_t{1} << 30);
    const int64_t blocks = block_ != 0 ? (k_ + block_ - 1) / block_ : 1;
    require(block_ % kDepth == 0, "the block must be a multiple of 4");
    x_zero_ = static_cast<int32_t>(s.attributes.integer("x_zero", 0, 0, 255));
    epilogue_.multiplier = reinterpret_cast<const float*>(s.constant(2, DType::F32, n_ * blocks).data);
    if (s.has(3)) {
      int_bias_ = s.input(3).type == DType::I32;
      if (int_bias_)
        epilogue_.bias = reinterpret_cast<const int32_t*>(s.constant(3, DType::I32, n_).data);
      else
        epilogue_.bias_f = reinterpret_cast<const float*>(s.constant(3, DType::F32, n_).data);
    }
    read_residual(s, 5, epilogue_);
    require(block_ == 0 || !int_bias_, "a product of blocks takes a float bias");
    require(!epilogue_.staged || (block_ == 0 && epilogue_.bias_f == nullptr), "a product of tokens or blocks is not staged");
    if (n_ == 0 || k_ == 0) return;
    const auto form = static_cast<SparseForm>(s.attributes.integer("sparse", 0, 0, 2));
    if (form != SparseForm::Dense && s.kernels.sparse) {
      require(block_ == 0 && w.width() == 8 && fits(w, n_, k_, form), "the weights do not have the sparse form that it names");
      parts_.push_back(pack_sparse(w, n_, k_, form, sparse_));
    } else {
      pack_dense(s.kernels, w, blocks);
    }
    if (block_ == 0) shift_ = fold_zero_point(epilogue_, parts_[0].column_sums, n_, x_zero_);
    epilogue_.bounded = is_bounded(epilogue_, n_);
  }

  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8});
    require(!x.shape.empty() && x.shape.back() == k_, "the input's last dim does not fit the weights");
    Shape shape = x.shape;
    shape.back() = n_;
    out(c).shape = shape;
    rows_ = elements(shape) / std::max<int64_t>(n_, 1);
    if (n_ == 0) rows_ = 0;
    if (given(c, 4)) {
      const Tensor& scale = in(c, 4, {DType::F32});
      require(scale.size() == rows_, "there must be one scale a row");
      require(!int_bias_, "a per-token product takes a float bias");
    }
    if (given(c, 5)) require(in(c, 5, {DType::U8, DType::I16}).shape == shape, "the residual must have the output's shape");
  }

  size_t scratch(const Context&) const override { return static_cast<size_t>(2 * kTileRows * kTileColumns * 4); }
  int64_t macs(const Context&) const override { return rows_ * n_ * k_; }
  int packed_input() const override { return 1; }
  int64_t left_out() const override { return sparse_.bytes == 0 ? 0 : n_ * k_ - sparse_.bytes; }

  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const float* row_scale = given(c, 4) ? c.in[4]->as<float>() : nullptr;
    const void* residual = given(c, 5) ? c.in[5]->data : nullptr;
    // weights stay in L1 while the rows pass; neighbouring tasks share them
    const Task task = split(c.pool->size());
    const int64_t row_tasks = (rows_ + task.rows - 1) / task.rows, column_tasks = (n_ + task.columns - 1) / task.columns;
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
    if (block_ != 0) return {kRows, kTileColumns};
    const int64_t tiles = (n_ + kTileColumns - 1) / kTileColumns;
    for (int64_t rows = kMostRows; rows > kRows; rows -= kRows)
      for (int64_t wide : {4, 3, 2, 1}) {
        const int64_t tasks = (rows_ + rows - 1) / rows * ((tiles + wide - 1) / wide);
        if (threads == 1 || tasks >= 4 * threads || (tiles % wide == 0 && tasks == 3 * threads))
          return {rows, wide * kTileColumns};
      }
    return {kRows, kTileColumns};
  }

  void pack_dense(const Kernels& kernels, const WeightCodes& w, int64_t blocks) {
    const int64_t depth = block_ != 0 ? block_ : k_;
    const size_t part_bytes = static_cast<size_t>(packed_bytes(n_, depth, w.width()));
    const size_t sums = static_cast<size_t>(round_up(n_, kPanel));
    packed_.resize(part_bytes * static_cast<size_t>(blocks));
    sums_.resize(sums * static_cast<size_t>(blocks));
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t from = b * depth, length = std::min(depth, k_ - from);
      int8_t* data = packed_.data() + static_cast<size_t>(b) * part_bytes;
      int32_t* sum = sums_.data() + static_cast<size_t>(b) * sums;
      parts_.push_back(pack_codes(w, from, n_, length, k_, kernels, data, sum));
    }
  }

  void one(const Context& c, const uint8_t* x, const float* row_scale, const void* residual, int64_t row, int64_t column,
           const Task& task, int worker) const {
    const int64_t rows = std::min(task.rows, rows_ - row), columns = std::min(task.columns, n_ - column);
    auto* acc = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
    Epilogue e = epilogue_;
    e.row_scale = row_scale;
    e = part_of(e, row, column);
    const int64_t at = row * n_ + column;
    void* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(at) * byte_size(e.type);
    const void* res = residual_at(e, residual, at);
    if (block_ == 0) {
      product(*c.kernels, {x + row * k_, k_}, rows, parts_[0], column, columns, e, y, n_, res, acc);
      return;
    }
    blocks(c, x + row * k_, e, rows, column, columns, acc, y, res);
  }

  // One scale a block: t = sum over blocks, in order, of float(acc_b) * multiplier[b, c]; then row scale, bias, residual.
  void blocks(const Context& c, const uint8_t* x, Epilogue e, int64_t rows, int64_t column, int64_t columns, int32_t* acc,
              void* y, const void* residual) const {
    auto* total = reinterpret_cast<float*>(acc + kRows * kTileColumns);
    std::fill(total, total + kRows * kTileColumns, 0.0f);
    for (size_t b = 0; b < parts_.size(); ++b) {
      const PackedWeights& part = parts_[b];
      const float* m = epilogue_.multiplier + static_cast<int64_t>(b) * n_ + column;
      c.kernels->gemm(x + static_cast<int64_t>(b) * block_, k_, rows, part, column, columns, acc, kTileColumns);
      c.kernels->correct(acc, kTileColumns, rows, columns, part.column_sums + column, x_zero_, nullptr, 0, part.k);
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
          const size_t at = static_cast<size_t>(r * n_ + i) * r_size;
          const auto* p = static_cast<const uint8_t*>(residual) + at;
          const int32_t code = e.residual_type == DType::U8 ? *p : *reinterpret_cast<const int16_t*>(p);
          t[i] = t[i] + static_cast<float>(code - e.residual_zero) * e.residual_multiplier;
        }
      }
      c.kernels->requantize(t, DType::F32, 0, &one, 0, columns, e, static_cast<uint8_t*>(y) + static_cast<size_t>(r * n_) * size);
    }
  }

  Epilogue epilogue_;
  int64_t n_ = 0, k_ = 0, block_ = 0, rows_ = 0;
  int32_t x_zero_ = 0;
  bool int_bias_ = false;
  AlignedBytes packed_;
  SparseMemory sparse_;
  std::vector<int32_t> sums_, shift_;
  std::vector<PackedWeights> parts_;
};

// y = a [..., m, k] times b [..., k, n], both uint8, leading dims broadcast.
class MatMul : public Op {
 public:
  explicit MatMul(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)) {
    a_zero_ = static_cast<int32_t>(s.attributes.integer("a_zero", 0, 0, 255));
    b_zero_ = static_cast<int32_t>(s.attributes.integer("b_zero", 0, 0, 255));
    multiplier_ = s.attributes.number("multiplier");
    epilogue_.multiplier_stride = 0;
  }

  void infer(Context& c) override {
    const Tensor &a = in(c, 0, {DType::U8}), &b = in(c, 1, {DType::U8});
    require(a.rank() >= 2 && b.rank() >= 2, "both operands need two dims");
    m_ = a.shape[a.shape.size() - 2];
    k_ = a.shape.back();
    n_ = b.shape.back();
    require(b.shape[b.shape.size() - 2] == k_, "the inner dims differ");
    require(k_ <= (int64_t{1} << 16), "the inner dim overflows the accumulator");
    a_lead_.assign(a.shape.begin(), a.shape.end() - 2);
    b_lead_.assign(b.shape.begin(), b.shape.end() - 2);
    lead_ = broadcast(a_lead_, b_lead_, what_);
    Shape shape = lead_;
    shape.insert(shape.end(), {m_, n_});
    out(c).shape = shape;
  }

  size_t scratch(const Context&) const override {
    return static_cast<size_t>(round_up(packed_bytes(n_, k_), 64) + round_up(n_, kPanel) * 4 + kRows * kTileColumns * 4 +
                               kRows * 4 + 256);
  }

  int64_t macs(const Context&) const override { return elements(lead_) * m_ * n_ * k_; }

  void run(Context& c) override {
    c.pool->parallel(elements(lead_), 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) one(c, i, worker);
    });
  }

 private:
  // Index of a batch in an operand whose leading dims broadcast.
  int64_t batch_of(int64_t i, const Shape& lead) const {
    int64_t index = 0, step = 1;
    for (size_t d = 1; d <= lead_.size(); ++d) {
      const int64_t size = lead_[lead_.size() - d], at = i % size;
      i /= size;
      if (d <= lead.size()) {
        if (lead[lead.size() - d] != 1) index += at * step;
        step *= lead[lead.size() - d];
      }
    }
    return index;
  }

  void one(const Context& c, int64_t batch, int worker) const {
    if (m_ == 0 || n_ == 0) return;
    const uint8_t* a = c.in[0]->as<uint8_t>() + batch_of(batch, a_lead_) * m_ * k_;
    const uint8_t* b = c.in[1]->as<uint8_t>() + batch_of(batch, b_lead_) * k_ * n_;
    uint8_t* scratch = c.worker_scratch(worker);
    auto* packed = reinterpret_cast<int8_t*>(scratch);
    auto* sums = reinterpret_cast<int32_t*>(scratch + round_up(packed_bytes(n_, k_), 64));
    int32_t* acc = sums + round_up(n_, kPanel);
    int32_t* row_sums = acc + kRows * kTileColumns;
    c.kernels->pack(b, n_, k_, 1, n_, true, packed, sums);
    const PackedWeights w{packed, sums, n_, k_};
    Epilogue e = epilogue_;
    e.multiplier = &multiplier_;
    const size_t size = byte_size(e.type);
    uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(batch * m_ * n_) * size;
    for (int64_t row = 0; row < m_; row += kRows) {
      const int64_t rows = std::min(kRows, m_ - row);
      for (int64_t r = 0; r < rows; ++r) row_sums[r] = c.kernels->sum(a + (row + r) * k_, k_);
      for (int64_t column = 0; column < n_; column += kTileColumns) {
        const int64_t columns = std::min(kTileColumns, n_ - column);
        c.kernels->gemm(a + row * k_, k_, rows, w, column, columns, acc, kTileColumns);
        c.kernels->correct(acc, kTileColumns, rows, columns, sums + column, a_zero_, row_sums, b_zero_ - 128, k_);
        c.kernels->finish(e, acc, kTileColumns, rows, columns, y + static_cast<size_t>(row * n_ + column) * size, n_, nullptr);
      }
    }
  }

  Epilogue epilogue_;
  int32_t a_zero_ = 0, b_zero_ = 0;
  float multiplier_ = 1;
  int64_t m_ = 0, k_ = 0, n_ = 0;
  Shape a_lead_, b_lead_, lead_;
};

}  // namespace

void add_linear_ops(OpTable& table) {
  table.push_back(entry<Linear>("Linear"));
  table.push_back(entry<MatMul>("MatMul"));
}

}  // namespace qgraph
