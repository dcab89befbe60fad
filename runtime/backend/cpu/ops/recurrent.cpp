// LSTM, GRU and RNN. Rows of the batch and directions are independent, so that a task takes some rows of one direction through
// all steps. The inputs of many steps are multiplied at once; what a step has to do is one product and the gates.
#include "ops/recurrent.h"

#include <cstring>

#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/kernel.h"
#include "backend/cpu/ops/weights.h"

namespace qgraph::cpu {
namespace {

using ops::Cell;
using Op = ops::Recurrent;

constexpr int64_t kMostRows = 32;                                // of a task
constexpr int64_t kProjected = 64;                               // rows of inputs that are multiplied at once
constexpr int64_t kAPiece = 128;                                 // columns that are worth a task
constexpr int64_t kWorthTasks = 1 << 18, kWorthAStep = 1 << 19;  // multiply-accumulates that are worth several threads

Function function_of(ops::RecurrentFunction f) {
  using F = ops::RecurrentFunction;
  switch (f) {
    case F::Affine:
      return Function::Affine;
    case F::Relu:
      return Function::Relu;
    case F::Leakyrelu:
      return Function::LeakyRelu;
    case F::Thresholdedrelu:
      return Function::ThresholdedRelu;
    case F::Tanh:
      return Function::Tanh;
    case F::Scaledtanh:
      return Function::ScaledTanh;
    case F::Sigmoid:
      return Function::Sigmoid;
    case F::Hardsigmoid:
      return Function::HardSigmoid;
    case F::Elu:
      return Function::Elu;
    case F::Softsign:
      return Function::Softsign;
    case F::Softplus:
      return Function::Softplus;
  }
  return Function::Tanh;
}

// Rows of R that make one product: all, or those of GRU's z and r, and those of h.
struct Part {
  int64_t first, count;  // of a direction
};

std::vector<Part> parts_of(const Op& op) {
  if (op.cell == Cell::Gru) return {{0, 2 * op.hidden}, {2 * op.hidden, op.hidden}};
  return {{0, op.gates * op.hidden}};
}

// Call f(column, columns) with pieces of [0, n), on all threads of `pool` where it is given and they are worth it.
template <typename F>
void pieces(ThreadPool* pool, int64_t macs, int64_t n, F&& f) {
  if (pool == nullptr || macs < kWorthAStep) return f(0, n);
  pool->parallel((n + kAPiece - 1) / kAPiece, 1,
                 [&](int64_t begin, int64_t end, int) { f(begin * kAPiece, std::min(end * kAPiece, n) - begin * kAPiece); });
}

// Float32 matrices [n, k] of all directions, packed.
class FloatMatrices {
 public:
  void pack(const float* w, int64_t matrices, int64_t n, int64_t stride, int64_t k) {
    n_ = n;
    k_ = k;
    step_ = packed_floats(n, k);
    const size_t bytes = static_cast<size_t>(matrices * step_) * sizeof(float);
    data_ = reinterpret_cast<float*>(memory_.reserve(bytes + 1));
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(data_, 0, bytes);
    for (int64_t m = 0; m < matrices; ++m)
      for (int64_t c = 0; c < n; ++c)
        for (int64_t d = 0; d < k; ++d)
          data_[m * step_ + c / kPanel * panel_floats(k) + d * kPanel + c % kPanel] = w[m * stride + c * k + d];
  }
  void multiply(const Kernels& kernels, int64_t m, const float* a, int64_t lda, int64_t rows, const float* bias, float* y,
                int64_t ldy, ThreadPool* pool) const {
    pieces(pool, rows * n_ * k_, n_, [&](int64_t column, int64_t columns) {
      FloatEpilogue e;
      e.column_bias = bias;
      e = part_of(e, 0, column);
      const FloatPanels panels{data_ + m * step_ + column * k_, panel_floats(k_), kPanel};
      kernels.gemm_f32({a, lda, 1}, rows, panels, columns, k_, true, bias == nullptr ? nullptr : &e, y + column, ldy);
    });
  }

 private:
  Block memory_;
  float* data_ = nullptr;
  int64_t n_ = 0, k_ = 0, step_ = 0;
};

// What a task works with: its rows, its direction and its memory.
struct Task {
  int64_t direction, row, rows;
  ThreadPool* pool;  // null where it has one thread
  float *inputs, *h, *c, *gates, *reset, *product, *scratch, *scale;
  uint8_t* codes;
  int32_t* acc;
};

class RecurrentKernel : public CpuKernel {
 public:
  RecurrentKernel(const Op& op, const OpSource& s, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), constant_(op.codes || are_constant(op, s)) {
    if (op.codes)
      pack_codes_of_state(s);
    else if (constant_)
      pack_floats(floats(s.input(Op::kW)), s.input(Op::kW).shape[2], floats(s.input(Op::kRecurrent)),
                  s.has(Op::kB) ? floats(s.input(Op::kB)) : nullptr);
  }

  bool reads(size_t input) const override {
    if (op_.codes) return input != Op::kCodes;
    return !constant_ || (input != Op::kW && input != Op::kRecurrent && input != Op::kB);
  }

  size_t prepare(const Values&) override {
    const int64_t threads = workspace_.pool.size();
    const int64_t each = op_.macs() < kWorthTasks ? op_.batch : (op_.batch * op_.directions + threads - 1) / threads;
    rows_ = std::clamp<int64_t>(each, 1, kMostRows);
    steps_ = std::max<int64_t>(1, kProjected / rows_);
    Task unused;
    return static_cast<size_t>(lay_out(unused, nullptr));
  }

  void compute(const Context& c) override {
    if (!constant_)
      pack_floats(c.in[Op::kW]->as<float>(), op_.inputs, c.in[Op::kRecurrent]->as<float>(),
                  c.given(Op::kB) ? c.in[Op::kB]->as<float>() : nullptr);
    if (c.given(Op::kLengths)) check_lengths(c.in[Op::kLengths]->as<int32_t>());
    const int64_t blocks = (op_.batch + rows_ - 1) / rows_, tasks = op_.directions * blocks;
    const auto run = [&](int64_t i, int worker, ThreadPool* pool) {
      Task task;
      lay_out(task, c.worker_scratch(worker));
      task.direction = i / blocks;
      task.row = i % blocks * rows_;
      task.rows = std::min(rows_, op_.batch - task.row);
      task.pool = pool;
      all_steps(c, task);
    };
    if (tasks < 2 || op_.macs() < kWorthTasks) {
      for (int64_t i = 0; i < tasks; ++i) run(i, 0, c.pool->size() > 1 ? c.pool : nullptr);
    } else {
      c.pool->parallel(tasks, 1, [&](int64_t begin, int64_t end, int worker) {
        for (int64_t i = begin; i < end; ++i) run(i, worker, nullptr);
      });
    }
  }

 private:
  static const float* floats(const TensorInfo& t) { return reinterpret_cast<const float*>(t.data); }
  static bool are_constant(const Op& op, const OpSource& s) {
    for (size_t i : {Op::kW, Op::kRecurrent, Op::kB})
      if (s.has(i) && s.input(i).data == nullptr) return false;
    // what does not fit is refused when shapes are inferred, which is later
    const Shape &w = s.input(Op::kW).shape, &r = s.input(Op::kRecurrent).shape;
    const int64_t n = op.gates * op.hidden;
    if (w.size() != 3 || w[0] != op.directions || w[1] != n || r != Shape{op.directions, n, op.hidden}) return false;
    return !s.has(Op::kB) || s.input(Op::kB).shape == Shape{op.directions, 2 * n};
  }

  void pack_floats(const float* w, int64_t inputs, const float* r, const float* b) {
    const int64_t n = op_.gates * op_.hidden, h = op_.hidden;
    input_.pack(w, op_.directions, n, n * inputs, inputs);
    parts_ = parts_of(op_);
    for (size_t i = 0; i < parts_.size(); ++i) state_[i].pack(r + parts_[i].first * h, op_.directions, parts_[i].count, n * h, h);
    bias_.assign(static_cast<size_t>(op_.directions * n), 0.0f);
    state_bias_.assign(bias_.size(), 0.0f);
    for (int64_t d = 0; d < op_.directions && b != nullptr; ++d)
      for (int64_t i = 0; i < n; ++i) {
        const float of_input = b[d * 2 * n + i], of_state = b[d * 2 * n + n + i];
        const bool apart = op_.linear_before_reset && i >= 2 * h;
        bias_[static_cast<size_t>(d * n + i)] = apart ? of_input : of_input + of_state;
        state_bias_[static_cast<size_t>(d * n + i)] = apart ? of_state : 0.0f;
      }
    has_bias_ = b != nullptr;
  }

  void pack_codes_of_state(const OpSource& s) {
    const WeightCodes w = read_codes(s, Op::kCodes);
    const int64_t n = op_.gates * op_.hidden, h = op_.hidden;
    parts_ = parts_of(op_);
    const float* multiplier = floats(s.input(Op::kMultiplier));
    const float* bias = s.has(Op::kCodesBias) ? floats(s.input(Op::kCodesBias)) : nullptr;
    int64_t bytes = 0, sums = 0;
    for (const Part& part : parts_) {
      bytes += packed_bytes(part.count, h) * op_.directions;
      sums += round_up(part.count, kPanel) * op_.directions;
    }
    int8_t* data = packed_.resize(static_cast<size_t>(bytes));
    sums_.resize(static_cast<size_t>(sums));
    folded_.reserve(parts_.size() * static_cast<size_t>(op_.directions));
    int32_t* sum = sums_.data();
    for (int64_t d = 0; d < op_.directions; ++d)
      for (const Part& part : parts_) {
        const int64_t at = d * n + part.first;
        codes_.push_back(pack_codes(w, at * h, part.count, h, h, workspace_.kernels, data, sum));
        Epilogue e;
        e.type = DType::F32;
        e.multiplier = multiplier + at;
        e.bias_f = bias == nullptr ? nullptr : bias + at;
        folded_.push_back(fold_zero_point(e, sum, part.count, 128));
        epilogues_.push_back(e);
        data += packed_bytes(part.count, h);
        sum += round_up(part.count, kPanel);
      }
  }

  void check_lengths(const int32_t* lengths) const {
    for (int64_t i = 0; i < op_.batch; ++i)
      if (lengths[i] < 0 || lengths[i] > op_.time)
        op_.fail("a length is " + std::to_string(lengths[i]) + "; it must be between 0 and " + std::to_string(op_.time) +
                 ", the number of steps");
  }

  // Give a task its memory, which begins at `base` unless that is null; returns the bytes.
  int64_t lay_out(Task& t, uint8_t* base) const {
    int64_t at = 0;
    const auto take = [&](auto*& p, int64_t count) {
      p = base == nullptr ? nullptr : reinterpret_cast<std::remove_reference_t<decltype(p)>>(base + at);
      at += round_up(count * static_cast<int64_t>(sizeof(*p)), 64);
    };
    const int64_t state = rows_ * op_.hidden, n = op_.gates * op_.hidden;
    take(t.inputs, op_.codes ? 0 : steps_ * rows_ * n);
    take(t.h, state);
    take(t.c, op_.cell == Cell::Lstm ? state : 0);
    take(t.gates, rows_ * n);
    take(t.reset, op_.cell == Cell::Gru ? state : 0);
    take(t.product, op_.cell == Cell::Gru ? state : 0);
    take(t.scratch, op_.codes ? op_.hidden : 0);
    take(t.scale, op_.codes ? rows_ : 0);
    take(t.codes, op_.codes ? state : 0);
    take(t.acc, op_.codes ? kTileRows * kTileColumns : 0);
    return at;
  }

  RecurrentCell cell_of(const Context& c, int64_t direction) const {
    RecurrentCell cell;
    cell.hidden = op_.hidden;
    const Op::Activation* chosen = op_.activations.data() + direction * op_.functions();
    RecurrentCell::Activation* functions[] = {&cell.f, &cell.g, &cell.h};
    for (int64_t i = 0; i < op_.functions(); ++i)
      *functions[i] = {function_of(chosen[i].function), chosen[i].alpha, chosen[i].beta};
    cell.clip = op_.clip;
    cell.input_forget = op_.input_forget;
    cell.linear_before_reset = op_.linear_before_reset;
    if (op_.cell == Cell::Lstm && c.given(Op::kPeepholes))
      cell.peepholes = c.in[Op::kPeepholes]->as<float>() + direction * 3 * op_.hidden;
    return cell;
  }

  // Where the state of a row lies in initial_h, y_h and the like, and its y at time t.
  int64_t state_at(int64_t direction, int64_t row) const {
    return (op_.batch_first ? row * op_.directions + direction : direction * op_.batch + row) * op_.hidden;
  }
  int64_t y_at(int64_t t, int64_t direction, int64_t row) const {
    return (op_.batch_first ? (row * op_.time + t) * op_.directions + direction
                            : (t * op_.directions + direction) * op_.batch + row) *
           op_.hidden;
  }
  int64_t x_at(int64_t t, int64_t row) const { return (op_.batch_first ? row * op_.time + t : t * op_.batch + row) * op_.inputs; }

  void all_steps(const Context& c, const Task& task) const {
    const RecurrentCell cell = cell_of(c, task.direction);
    const int64_t n = op_.gates * op_.hidden;
    begin(c, Op::kInitialH, task, task.h);
    if (op_.cell == Cell::Lstm) begin(c, Op::kInitialC, task, task.c);
    const float* x = c.in[Op::kX]->as<float>();
    const int32_t* lengths = c.given(Op::kLengths) ? c.in[Op::kLengths]->as<int32_t>() + task.row : nullptr;
    for (int64_t from = 0; from < op_.time; from += steps_) {
      const int64_t steps = std::min(steps_, op_.time - from);
      const int64_t first = op_.backwards(task.direction) ? op_.time - from - steps : from;
      if (!op_.codes) project(task, x, first, steps);
      for (int64_t i = 0; i < steps; ++i) {
        const int64_t t = op_.backwards(task.direction) ? first + steps - 1 - i : first + i;
        const auto input = [&](int64_t row) {
          return op_.codes ? x + x_at(t, task.row + row) + task.direction * n : task.inputs + ((t - first) * task.rows + row) * n;
        };
        step(c, cell, task, t, lengths, input);
      }
    }
    end(c, 1, task, task.h);
    if (op_.cell == Cell::Lstm) end(c, 2, task, task.c);
  }

  void begin(const Context& c, size_t input, const Task& task, float* state) const {
    for (int64_t r = 0; r < task.rows; ++r) {
      float* to = state + r * op_.hidden;
      if (c.given(input))
        std::copy_n(c.in[input]->as<float>() + state_at(task.direction, task.row + r), op_.hidden, to);
      else
        std::fill_n(to, op_.hidden, 0.0f);
    }
  }

  void end(const Context& c, size_t output, const Task& task, const float* state) const {
    if (output >= c.out.size()) return;
    for (int64_t r = 0; r < task.rows; ++r)
      std::copy_n(state + r * op_.hidden, op_.hidden, c.out[output]->as<float>() + state_at(task.direction, task.row + r));
  }

  // The products of the inputs of some steps: [step][row][gates].
  void project(const Task& task, const float* x, int64_t first, int64_t steps) const {
    const int64_t n = op_.gates * op_.hidden, d = task.direction;
    const float* bias = has_bias_ ? bias_.data() + d * n : nullptr;
    const auto multiply = [&](const float* from, int64_t apart, int64_t rows, float* y, int64_t ldy) {
      input_.multiply(workspace_.kernels, d, from, apart, rows, bias, y, ldy, task.pool);
    };
    if (op_.batch_first || task.rows == 1) {
      for (int64_t r = 0; r < task.rows; ++r)
        multiply(x + x_at(first, task.row + r), x_at(1, 0), steps, task.inputs + r * n, task.rows * n);
    } else {
      for (int64_t s = 0; s < steps; ++s)
        multiply(x + x_at(first + s, task.row), op_.inputs, task.rows, task.inputs + s * task.rows * n, n);
    }
  }

  template <typename F>
  void step(const Context& c, const RecurrentCell& cell, const Task& task, int64_t t, const int32_t* lengths, F&& input) const {
    const int64_t n = op_.gates * op_.hidden, h = op_.hidden;
    const auto alive = [&](int64_t row) { return lengths == nullptr || t < lengths[row]; };
    bool any = false;
    for (int64_t r = 0; r < task.rows; ++r) any = any || alive(r);
    if (any) {
      const bool whole = op_.cell != Cell::Gru || op_.linear_before_reset;
      multiply(c, task, 0, task.h, task.gates, n);
      if (op_.cell == Cell::Gru && whole) multiply(c, task, 1, task.h, task.gates + 2 * h, n);
      if (op_.cell == Cell::Gru)
        for (int64_t r = 0; r < task.rows; ++r)
          c.kernels->float32->gru_gates(cell, input(r), task.gates + r * n, task.h + r * h, task.reset + r * h);
      if (!whole) multiply(c, task, 1, task.reset, task.product, h);
    }
    float* y = c.out[0]->as<float>();
    for (int64_t r = 0; r < task.rows; ++r) {
      float *to = y + y_at(t, task.direction, task.row + r), *state = task.h + r * h;
      if (!alive(r)) {
        std::fill_n(to, h, 0.0f);
        continue;
      }
      float* gates = task.gates + r * n;
      if (op_.cell == Cell::Lstm)
        c.kernels->float32->lstm(cell, input(r), gates, task.c + r * h, state);
      else if (op_.cell == Cell::Gru)
        c.kernels->float32->gru(cell, input(r), gates, (op_.linear_before_reset ? task.reset : task.product) + r * h, state);
      else
        c.kernels->float32->rnn(cell, input(r), gates, state);
      std::copy_n(state, h, to);
    }
  }

  // y = the product of the rows of `a` and part `part` of R.
  void multiply(const Context& c, const Task& task, size_t part, const float* a, float* y, int64_t ldy) const {
    const int64_t h = op_.hidden, d = task.direction;
    if (!op_.codes) {
      const float* bias = has_bias_ && op_.linear_before_reset && part == 1
                              ? state_bias_.data() + d * op_.gates * h + parts_[part].first
                              : nullptr;
      return state_[part].multiply(*c.kernels, d, a, h, task.rows, bias, y, ldy, task.pool);
    }
    for (int64_t r = 0; r < task.rows; ++r)
      task.scale[r] = c.kernels->quantize_tokens(a + r * h, DType::F32, 0, 1, nullptr, h, task.codes + r * h, task.scratch);
    const size_t at = static_cast<size_t>(d) * parts_.size() + part;
    Epilogue e = epilogues_[at];
    e.row_scale = task.scale;
    product(*c.kernels, {task.codes, h}, task.rows, codes_[at], 0, codes_[at].n, e, y, ldy, nullptr, task.acc);
  }

  const Op& op_;
  bool constant_;
  bool has_bias_ = false;
  int64_t rows_ = 1, steps_ = 1;
  std::vector<Part> parts_;
  FloatMatrices input_, state_[2];
  std::vector<float> bias_, state_bias_;
  AlignedBytes packed_;
  std::vector<int32_t> sums_;
  std::vector<std::vector<int32_t>> folded_;
  std::vector<PackedWeights> codes_;
  std::vector<Epilogue> epilogues_;
};

}  // namespace

void add_recurrent_kernels(KernelTable& table) {
  for (const char* kind : {"ai.onnx.LSTM", "ai.onnx.GRU", "ai.onnx.RNN", "LSTM", "GRU", "RNN"})
    table.emplace_back(kind, make<RecurrentKernel, ops::Recurrent>);
}

}  // namespace qgraph::cpu
