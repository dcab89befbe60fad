// Einsum: one product of matrices after another. Rows are the labels that only the left operand and the outcome have, columns
// those of the right one, the depth what is summed; where each lies is looked up in lists of offsets.
#include "ops/einsum.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "backend/cpu/ops/float_panels.h"
#include "backend/cpu/ops/kernel.h"
#include "support/memory.h"

namespace qgraph::cpu {
namespace {

using Labels = ops::Einsum::Labels;
using Offsets = std::vector<int64_t>;
using Steps = std::array<int64_t, ops::Einsum::kLabels>;  // of each label

constexpr int64_t kMostRows = 256;  // of a task
constexpr float kOne = 1;

bool has(const Labels& labels, int label) { return std::find(labels.begin(), labels.end(), label) != labels.end(); }

bool evenly(const Offsets& at, int64_t step) {
  for (size_t i = 0; i < at.size(); ++i)
    if (at[i] != static_cast<int64_t>(i) * step) return false;
  return true;
}
int64_t first_step(const Offsets& at) { return at.size() < 2 ? 1 : at[1]; }

/// Steps of an operand's labels; an axis of length 1 may stand for a longer one.
Steps steps_of(const Labels& labels, const Shape& shape) {
  Steps steps{};
  int64_t step = 1;
  for (size_t axis = labels.size(); axis-- > 0; step *= shape[axis])
    if (shape[axis] != 1) steps[static_cast<size_t>(labels[axis])] += step;
  return steps;
}

/// One product.
struct Product {
  Offsets batch_a, batch_b, batch_y, row_a, row_y, depth_a, depth_b, column_b, column_y;
  int64_t size = 0;  // of its outcome

  int64_t batches() const { return static_cast<int64_t>(batch_y.size()); }
  int64_t rows() const { return static_cast<int64_t>(row_y.size()); }
  int64_t columns() const { return static_cast<int64_t>(column_y.size()); }
  int64_t depth() const { return static_cast<int64_t>(depth_a.size()); }
  int64_t row_tasks() const { return (rows() + kMostRows - 1) / kMostRows; }
  bool rows_in_place() const { return evenly(depth_a, 1) && evenly(row_a, first_step(row_a)); }
  bool made_in_place() const { return evenly(column_y, 1) && evenly(row_y, first_step(row_y)); }
  int64_t row_floats() const { return rows_in_place() ? 0 : round_up(std::min(rows(), kMostRows) * depth(), 16); }
  int64_t made_floats() const { return made_in_place() ? 0 : round_up(std::min(rows(), kMostRows) * columns(), 16); }
};

class EinsumKernel : public CpuKernel {
 public:
  EinsumKernel(const ops::Einsum& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values& v) override {
    products_.clear();
    Labels left = op_.operands[0];
    Shape shape = v.in[0]->shape;
    int64_t floats = 0, between = 0;
    const size_t count = std::max<size_t>(2, op_.operands.size());
    for (size_t i = 1; i < count; ++i) {
      const bool given = i < op_.operands.size();
      const Labels right = given ? op_.operands[i] : Labels{};
      Labels kept = op_.result;
      if (i + 1 < count) {
        kept.clear();
        for (const Labels* labels : {&static_cast<const Labels&>(left), &right})
          for (int label : *labels)
            if (!has(kept, label) && needed(label, i + 1)) kept.push_back(label);
      }
      Shape made;
      for (int label : kept) made.push_back(length(label));
      products_.push_back(plan(left, steps_of(left, shape), right, steps_of(right, given ? v.in[i]->shape : Shape{}), kept,
                               steps_of(kept, made)));
      Product& p = products_.back();
      p.size = elements(made);
      floats = std::max(floats, p.row_floats() + p.made_floats() + packed_floats(p.columns(), p.depth()));
      if (i + 1 < count) between = std::max(between, p.size);
      left = kept;
      shape = made;
    }
    for (AlignedBytes& memory : between_) memory.resize(static_cast<size_t>(between) * sizeof(float));
    return static_cast<size_t>(floats) * sizeof(float);
  }

  void compute(const Context& c) override {
    const float* left = c.in[0]->as<float>();
    for (size_t i = 0; i < products_.size(); ++i) {
      const Product& p = products_[i];
      float* y = i + 1 == products_.size() ? c.out[0]->as<float>() : reinterpret_cast<float*>(between_[i % 2].data());
      const float* right = i + 1 < c.in.size() ? c.in[i + 1]->as<float>() : &kOne;
      const int64_t tasks = p.batches() * p.row_tasks();
      const bool small = p.batches() * p.rows() * p.columns() * p.depth() <= (1 << 14);
      c.pool->parallel(tasks, small ? tasks : 1, [&](int64_t begin, int64_t end, int worker) {
        for (int64_t t = begin; t < end; ++t)
          task(c, p, left, right, y, t / p.row_tasks(), t % p.row_tasks() * kMostRows,
               reinterpret_cast<float*>(c.worker_scratch(worker)));
      });
      left = y;
    }
  }

 private:
  int64_t length(int label) const { return op_.lengths[static_cast<size_t>(label)]; }
  bool needed(int label, size_t from) const {
    return has(op_.result, label) || std::any_of(op_.operands.begin() + static_cast<std::ptrdiff_t>(from), op_.operands.end(),
                                                 [label](const Labels& labels) { return has(labels, label); });
  }

  /// The offsets of all combinations of `labels`, the last one the quickest.
  Offsets walk(const Labels& labels, const Steps& steps) const {
    Offsets made{0};
    for (int label : labels) {
      Offsets longer;
      for (int64_t at : made)
        for (int64_t i = 0; i < length(label); ++i) longer.push_back(at + i * steps[static_cast<size_t>(label)]);
      made.swap(longer);
    }
    return made;
  }

  Product plan(const Labels& left, const Steps& a, const Labels& right, const Steps& b, const Labels& kept,
               const Steps& y) const {
    Labels batch, rows, columns, depth;
    for (int label : kept) (has(left, label) ? has(right, label) ? batch : rows : columns).push_back(label);
    for (const Labels* labels : {&left, &right})
      for (int label : *labels)
        if (!has(kept, label) && !has(depth, label)) depth.push_back(label);
    return {walk(batch, a), walk(batch, b), walk(batch, y),   walk(rows, a),   walk(rows, y),
            walk(depth, a), walk(depth, b), walk(columns, b), walk(columns, y)};
  }

  void task(const Context& c, const Product& p, const float* left, const float* right, float* y, int64_t batch, int64_t row,
            float* scratch) const {
    const int64_t rows = std::min(kMostRows, p.rows() - row), depth = p.depth(), columns = p.columns();
    const auto at = static_cast<size_t>(batch);
    const float *a = left + p.batch_a[at], *b = right + p.batch_b[at];
    y += p.batch_y[at];
    FloatRows x{a + row * first_step(p.row_a), first_step(p.row_a), 1};
    if (!p.rows_in_place()) {
      x = {scratch, depth, 1};
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t d = 0; d < depth; ++d)
          scratch[r * depth + d] = a[p.row_a[static_cast<size_t>(row + r)] + p.depth_a[static_cast<size_t>(d)]];
    }
    float* made = scratch + p.row_floats();
    float* panels = made + p.made_floats();
    if (evenly(p.column_b, first_step(p.column_b)) && evenly(p.depth_b, first_step(p.depth_b))) {
      pack_panels(b, first_step(p.depth_b), first_step(p.column_b), depth, columns, panels, panel_floats(depth));
    } else {
      for (int64_t d = 0; d < depth; ++d)
        for (int64_t i = 0; i < round_up(columns, kPanel); ++i)
          panels[i / kPanel * panel_floats(depth) + d * kPanel + i % kPanel] =
              i < columns ? b[p.depth_b[static_cast<size_t>(d)] + p.column_b[static_cast<size_t>(i)]] : 0.0f;
    }
    const FloatEpilogue plain;
    const bool in_place = p.made_in_place();
    const int64_t step = first_step(p.row_y);
    c.kernels->gemm_f32(x, rows, {panels, panel_floats(depth)}, columns, depth, true, &plain, in_place ? y + row * step : made,
                        in_place ? step : columns);
    if (in_place) return;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < columns; ++i)
        y[p.row_y[static_cast<size_t>(row + r)] + p.column_y[static_cast<size_t>(i)]] = made[r * columns + i];
  }

  const ops::Einsum& op_;
  std::vector<Product> products_;
  std::array<AlignedBytes, 2> between_;  // outcomes of products that are not the last
};

}  // namespace

void add_einsum_kernels(KernelTable& table) { table.emplace_back("Einsum", make<EinsumKernel, ops::Einsum>); }

}  // namespace qgraph::cpu
