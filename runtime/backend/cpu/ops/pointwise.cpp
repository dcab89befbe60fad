// Quantize, Dequantize, Requantize, QuantizeTokens, Lookup, Curve, Binary.
#include "ops/pointwise.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/kernel.h"
#include "ops/shape.h"

namespace qgraph::cpu {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth handing to another thread

class QuantizeKernel : public CpuKernel {
 public:
  QuantizeKernel(const ops::Quantize& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  void compute(const Context& c) override {
    c.pool->parallel(c.in[0]->size(), kGrain, [&](int64_t begin, int64_t end, int) {
      c.kernels->quantize(c.in[0]->as<float>() + begin, op_.scale, end - begin, epilogue_,
                          c.out[0]->as<uint8_t>() + static_cast<size_t>(begin) * byte_size(epilogue_.type));
    });
  }

 private:
  const ops::Quantize& op_;
  Epilogue epilogue_;
};

class DequantizeKernel : public CpuKernel {
 public:
  DequantizeKernel(const ops::Dequantize& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    c.pool->parallel(x.size(), kGrain, [&](int64_t begin, int64_t end, int) {
      c.kernels->dequantize(x.as<uint8_t>() + static_cast<size_t>(begin) * byte_size(x.type), x.type, op_.x_zero, op_.scale,
                            end - begin, c.out[0]->as<float>() + begin);
    });
  }

 private:
  const ops::Dequantize& op_;
};

class RequantizeKernel : public CpuKernel {
 public:
  RequantizeKernel(const ops::Requantize& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t row = op_.multipliers == 1 ? 1 : op_.multipliers, rows = x.size() / row;
    const size_t in_size = byte_size(x.type), out_size = byte_size(epilogue_.type);
    c.pool->parallel(rows, std::max<int64_t>(1, kGrain / row), [&](int64_t begin, int64_t end, int) {
      const int64_t step = op_.multipliers == 1 ? end - begin : 1;
      for (int64_t r = begin; r < end; r += step) {
        const size_t at = static_cast<size_t>(r * row);
        c.kernels->requantize(x.as<uint8_t>() + at * in_size, x.type, op_.x_zero, op_.multiplier, op_.multipliers == 1 ? 0 : 1,
                              step * row, epilogue_, c.out[0]->as<uint8_t>() + at * out_size);
      }
    });
  }

 private:
  const ops::Requantize& op_;
  Epilogue epilogue_;
};

class QuantizeTokensKernel : public RowKernel {
 public:
  QuantizeTokensKernel(const ops::QuantizeTokens& op, const OpSource&, const Workspace& workspace)
      : RowKernel(workspace), op_(op) {}

  size_t prepare(const Values& c) override { return static_cast<size_t>(c.in[0]->shape.back()) * 4 + 64; }
  int64_t rows(const Values& c) const override { return c.out[1]->size(); }
  void compute_rows(const Context& c, int64_t begin, int64_t end, int worker) const override {
    const Tensor& x = *c.in[0];
    const int64_t n = x.shape.back();
    for (int64_t r = begin; r < end; ++r)
      c.out[1]->as<float>()[r] = c.kernels->quantize_tokens(
          x.as<uint8_t>() + static_cast<size_t>(r * n) * byte_size(x.type), x.type, op_.x_zero, op_.scale, op_.channel, n,
          c.out[0]->as<uint8_t>() + r * n, reinterpret_cast<float*>(c.worker_scratch(worker)));
  }

 private:
  const ops::QuantizeTokens& op_;
};

class LookupKernel : public CpuKernel {
 public:
  LookupKernel(const ops::Lookup& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const Tensor& x = *c.in[0];
    const size_t in_size = byte_size(x.type), out_size = op_.entry_bytes;
    if (op_.channels == 1) {
      c.pool->parallel(x.size(), kGrain, [&](int64_t begin, int64_t end, int) {
        c.kernels->lookup(x.as<uint8_t>() + static_cast<size_t>(begin) * in_size, x.type, op_.table,
                          static_cast<int>(op_.entry_bytes), end - begin,
                          c.out[0]->as<uint8_t>() + static_cast<size_t>(begin) * out_size);
      });
      return;
    }
    const int64_t inner = strides_of(x.shape)[static_cast<size_t>(op_.axis)];
    const int64_t rows = inner == 0 ? 0 : x.size() / inner;
    if (inner == 1) {  // channels last: a row of tables, side by side
      c.pool->parallel(rows / op_.channels, std::max<int64_t>(1, kGrain / 4 / op_.channels),
                       [&](int64_t begin, int64_t end, int) {
                         if (out_size == 1) return lookup_rows<uint8_t>(c, begin, end);
                         if (out_size == 2) return lookup_rows<int16_t>(c, begin, end);
                         lookup_rows<float>(c, begin, end);
                       });
      return;
    }
    c.pool->parallel(rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(inner, 1)), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const uint8_t* table = op_.table + static_cast<size_t>(r % op_.channels * op_.entries) * out_size;
        c.kernels->lookup(x.as<uint8_t>() + static_cast<size_t>(r * inner) * in_size, x.type, table,
                          static_cast<int>(op_.entry_bytes), inner,
                          c.out[0]->as<uint8_t>() + static_cast<size_t>(r * inner) * out_size);
      }
    });
  }

 private:
  template <typename T>
  void lookup_rows(const Context& c, int64_t begin, int64_t end) const {
    const auto* table = reinterpret_cast<const T*>(op_.table);
    const uint8_t* x = c.in[0]->as<uint8_t>();
    T* y = c.out[0]->as<T>();
    const int64_t channels = op_.channels;  // a local: what is written through bytes may alias the member
    for (int64_t r = begin * channels; r < end * channels; r += channels)
      for (int64_t i = 0; i < channels; ++i) y[r + i] = table[i * 256 + x[r + i]];
  }

  const ops::Lookup& op_;
};

class CurveKernel : public RowKernel {
 public:
  CurveKernel(const ops::Curve& op, const OpSource&, const Workspace& workspace)
      : RowKernel(workspace), epilogue_(epilogue_of(op.output)), curve_{op.coefficients, op.start, op.shift} {
    if (workspace.kernels.curves) return;
    std::vector<int16_t> every(1 << 16);
    for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<int16_t>(static_cast<int32_t>(i) - 32768);
    table_.resize(every.size() * byte_size(epilogue_.type));
    workspace.kernels.curve(every.data(), curve_, static_cast<int64_t>(every.size()), epilogue_, table_.data());
  }

  int64_t rows(const Values& c) const override { return c.in[0]->size() / row_elements(*c.in[0]); }
  void compute_rows(const Context& c, int64_t begin, int64_t end, int) const override {
    const int64_t from = begin * row_elements(*c.in[0]), n = (end - begin) * row_elements(*c.in[0]);
    const size_t size = byte_size(epilogue_.type);
    const int16_t* x = c.in[0]->as<int16_t>() + from;
    uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(from) * size;
    if (table_.empty()) return c.kernels->curve(x, curve_, n, epilogue_, y);
    c.kernels->lookup(x, DType::I16, table_.data(), static_cast<int>(size), n, y);
  }

 private:
  static int64_t row_elements(const Tensor& x) { return x.shape.empty() ? 1 : std::max<int64_t>(1, x.shape.back()); }

  Epilogue epilogue_;
  Curve curve_;
  std::vector<uint8_t> table_;  // of all codes, where that is quicker
};

class BinaryKernel : public CpuKernel {
 public:
  BinaryKernel(const ops::Binary& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  size_t prepare(const Values& v) override {
    const Shape& shape = v.out[0]->shape;
    // the last run of axes that both share, or that one of them broadcasts whole, is one inner loop
    const size_t rank = shape.size();
    const Shape pa = padded_shape(v.in[0]->shape, rank), pb = padded_shape(v.in[1]->shape, rank);
    auto kind = [&](size_t i) { return shape[i] == 1 ? 0 : pa[i] == pb[i] ? 1 : pa[i] == 1 ? 2 : 3; };
    inner_ = 1;
    size_t i = rank;
    int mode = 0;
    for (; i > 0; --i) {
      const int k = kind(i - 1);
      if (k != 0 && mode != 0 && k != mode) break;
      if (k != 0) mode = k;
      inner_ *= shape[i - 1];
    }
    inner_a_ = mode == 2 ? 0 : 1;
    inner_b_ = mode == 3 ? 0 : 1;
    outer_.assign(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(i));
    const auto sa = strides_of(pa), sb = strides_of(pb);
    outer_a_.clear();
    outer_b_.clear();
    for (size_t d = 0; d < i; ++d) {
      outer_a_.push_back(pa[d] == 1 ? 0 : sa[d]);
      outer_b_.push_back(pb[d] == 1 ? 0 : sb[d]);
    }
    return 0;
  }
  void compute(const Context& c) override {
    const Tensor &a = *c.in[0], &b = *c.in[1];
    if (inner_ == 0) return;
    const size_t a_size = byte_size(a.type), b_size = byte_size(b.type), y_size = byte_size(epilogue_.type);
    auto part = [&](int64_t row, int64_t from, int64_t n) {
      int64_t at_a = 0, at_b = 0, rest = row;
      for (size_t d = outer_.size(); d-- > 0;) {
        at_a += rest % outer_[d] * outer_a_[d];
        at_b += rest % outer_[d] * outer_b_[d];
        rest /= outer_[d];
      }
      at_a += from * inner_a_;
      at_b += from * inner_b_;
      c.kernels->binary(op_.op, a.as<uint8_t>() + static_cast<size_t>(at_a) * a_size, a.type, op_.a_zero, op_.a_multiplier,
                        inner_a_, b.as<uint8_t>() + static_cast<size_t>(at_b) * b_size, b.type, op_.b_zero, op_.b_multiplier,
                        inner_b_, n, epilogue_, c.out[0]->as<uint8_t>() + static_cast<size_t>(row * inner_ + from) * y_size);
    };
    const int64_t rows = elements(outer_);
    if (rows == 1)
      c.pool->parallel(inner_, kGrain, [&](int64_t begin, int64_t end, int) { part(0, begin, end - begin); });
    else
      c.pool->parallel(rows, std::max<int64_t>(1, kGrain / inner_), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) part(r, 0, inner_);
      });
  }

 private:
  const ops::Binary& op_;
  Epilogue epilogue_;
  // the innermost loop, and the operands' elements from one of its elements to the next: 0 where an operand is broadcast
  int64_t inner_ = 1, inner_a_ = 1, inner_b_ = 1;
  Shape outer_;
  std::vector<int64_t> outer_a_, outer_b_;
};

}  // namespace

void add_pointwise_kernels(KernelTable& table) {
  table.emplace_back("Quantize", make<QuantizeKernel, ops::Quantize>);
  table.emplace_back("Dequantize", make<DequantizeKernel, ops::Dequantize>);
  table.emplace_back("Requantize", make<RequantizeKernel, ops::Requantize>);
  table.emplace_back("QuantizeTokens", make<QuantizeTokensKernel, ops::QuantizeTokens>);
  table.emplace_back("Lookup", make<LookupKernel, ops::Lookup>);
  table.emplace_back("Curve", make<CurveKernel, ops::Curve>);
  table.emplace_back("Binary", make<BinaryKernel, ops::Binary>);
}

}  // namespace qgraph::cpu
