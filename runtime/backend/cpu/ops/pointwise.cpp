// Quantize, Dequantize, Requantize, QuantizeTokens, Lookup, Curve, Binary.
#include "ops/pointwise.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/ops/broadcast.h"
#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

class QuantizeKernel : public CpuKernel {
 public:
  QuantizeKernel(const ops::Quantize& op, const OpSource&, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(epilogue_of(op.output)) {}

  void compute(const Context& c) override {
    c.pool->parallel(c.in[0]->size(), kElementGrain, [&](int64_t begin, int64_t end, int) {
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
    c.pool->parallel(x.size(), kElementGrain, [&](int64_t begin, int64_t end, int) {
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
    c.pool->parallel(rows, std::max<int64_t>(1, kElementGrain / row), [&](int64_t begin, int64_t end, int) {
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
      c.pool->parallel(x.size(), kElementGrain, [&](int64_t begin, int64_t end, int) {
        c.kernels->lookup(x.as<uint8_t>() + static_cast<size_t>(begin) * in_size, x.type, op_.table,
                          static_cast<int>(op_.entry_bytes), end - begin,
                          c.out[0]->as<uint8_t>() + static_cast<size_t>(begin) * out_size);
      });
      return;
    }
    const int64_t inner = strides_of(x.shape)[static_cast<size_t>(op_.axis)];
    const int64_t rows = inner == 0 ? 0 : x.size() / inner;
    if (inner == 1) {  // channels last: a row of tables, side by side
      c.pool->parallel(rows / op_.channels, std::max<int64_t>(1, kElementGrain / 4 / op_.channels),
                       [&](int64_t begin, int64_t end, int) {
                         if (out_size == 1) return lookup_rows<uint8_t>(c, begin, end);
                         if (out_size == 2) return lookup_rows<int16_t>(c, begin, end);
                         lookup_rows<float>(c, begin, end);
                       });
      return;
    }
    c.pool->parallel(rows, std::max<int64_t>(1, kElementGrain / std::max<int64_t>(inner, 1)),
                     [&](int64_t begin, int64_t end, int) {
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
    broadcast_.plan(v.out[0]->shape, {&v.in[0]->shape, &v.in[1]->shape});
    return 0;
  }
  void compute(const Context& c) override {
    const Tensor &a = *c.in[0], &b = *c.in[1], &y = *c.out[0];
    const auto at = [](const Tensor& t, int64_t i) { return t.as<uint8_t>() + static_cast<size_t>(i) * byte_size(t.type); };
    c.pool->parallel(y.size(), kElementGrain, [&](int64_t begin, int64_t end, int) {
      broadcast_.walk(begin, end, [&](int64_t from, int64_t n, const Broadcast::Offsets& offsets) {
        c.kernels->binary(op_.op, at(a, offsets[0]), a.type, op_.a_zero, op_.a_multiplier, broadcast_.step(0), at(b, offsets[1]),
                          b.type, op_.b_zero, op_.b_multiplier, broadcast_.step(1), n, epilogue_, at(y, from));
      });
    });
  }

 private:
  const ops::Binary& op_;
  Epilogue epilogue_;
  Broadcast broadcast_;
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
