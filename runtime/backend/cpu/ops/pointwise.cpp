// Quantize, Dequantize, Requantize, QuantizeTokens, Lookup, Curve, Binary.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/op.h"

namespace qgraph {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth handing to another thread

class Quantize : public Op {
 public:
  explicit Quantize(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)), scale_(s.attributes.number("scale")) {
    require(scale_ > 0, "the scale must be positive");
  }
  void infer(Context& c) override { out(c).shape = in(c, 0, {DType::F32}).shape; }
  void run(Context& c) override {
    c.pool->parallel(c.in[0]->size(), kGrain, [&](int64_t begin, int64_t end, int) {
      c.kernels->quantize(c.in[0]->as<float>() + begin, scale_, end - begin, epilogue_,
                          c.out[0]->as<uint8_t>() + static_cast<size_t>(begin) * byte_size(epilogue_.type));
    });
  }

 private:
  Epilogue epilogue_;
  float scale_;
};

class Dequantize : public Op {
 public:
  explicit Dequantize(const OpSource& s) : Op(s.info), scale_(s.attributes.number("scale")) {
    zero_ = static_cast<int32_t>(s.attributes.integer("x_zero", 0, -32768, 32767));
    require(s.output_type() == DType::F32, "the output must be float32");
  }
  void infer(Context& c) override { out(c).shape = in(c, 0, {DType::U8, DType::I16}).shape; }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    c.pool->parallel(x.size(), kGrain, [&](int64_t begin, int64_t end, int) {
      c.kernels->dequantize(x.as<uint8_t>() + static_cast<size_t>(begin) * byte_size(x.type), x.type, zero_, scale_, end - begin,
                            c.out[0]->as<float>() + begin);
    });
  }

 private:
  int32_t zero_;
  float scale_;
};

// Inputs: x, multiplier (one element, or one for each index of the last axis).
class Requantize : public Op {
 public:
  explicit Requantize(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)) {
    zero_ = static_cast<int32_t>(s.attributes.integer("x_zero", 0, -32768, 32767));
    const TensorInfo& m = s.constant(1, DType::F32);
    multiplier_ = reinterpret_cast<const float*>(m.data);
    count_ = elements(m.shape);
    require(count_ >= 1, "the multiplier is empty");
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16, DType::I8});
    require(count_ == 1 || (!x.shape.empty() && x.shape.back() == count_), "the multiplier does not fit the last axis");
    out(c).shape = x.shape;
  }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const int64_t row = count_ == 1 ? 1 : count_, rows = x.size() / row;
    const size_t in_size = byte_size(x.type), out_size = byte_size(epilogue_.type);
    c.pool->parallel(rows, std::max<int64_t>(1, kGrain / row), [&](int64_t begin, int64_t end, int) {
      const int64_t step = count_ == 1 ? end - begin : 1;
      for (int64_t r = begin; r < end; r += step) {
        const size_t at = static_cast<size_t>(r * row);
        c.kernels->requantize(x.as<uint8_t>() + at * in_size, x.type, zero_, multiplier_, count_ == 1 ? 0 : 1, step * row,
                              epilogue_, c.out[0]->as<uint8_t>() + at * out_size);
      }
    });
  }

 private:
  Epilogue epilogue_;
  int32_t zero_;
  const float* multiplier_;
  int64_t count_;
};

// Inputs: x (uint8, int16 or float32), channel (float32, optional). Outputs: codes (uint8, zero point 128), row scales.
class QuantizeTokens : public RowOp {
 public:
  explicit QuantizeTokens(const OpSource& s) : RowOp(s.info), scale_(s.attributes.number("scale", 1.0f)) {
    zero_ = static_cast<int32_t>(s.attributes.integer("x_zero", 0, -32768, 32767));
    require(s.info.outputs.size() == 2 && s.output_type(0) == DType::U8 && s.output_type(1) == DType::F32,
            "the outputs must be uint8 codes and float32 scales");
    if (s.has(1)) {
      const TensorInfo& channel = s.constant(1, DType::F32);
      channel_ = reinterpret_cast<const float*>(channel.data);
      count_ = elements(channel.shape);
    }
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16, DType::F32});
    require(!x.shape.empty(), "the input needs a last axis");
    require(channel_ == nullptr || count_ == x.shape.back(), "the channel factors do not fit the last axis");
    out(c, 0).shape = x.shape;
    Shape scales = x.shape;
    scales.back() = 1;
    out(c, 1).shape = scales;
  }
  size_t scratch(const Context& c) const override { return static_cast<size_t>(c.in[0]->shape.back()) * 4 + 64; }
  int64_t rows(const Context& c) const override { return c.out[1]->size(); }
  void run_rows(Context& c, int64_t begin, int64_t end, int worker) override {
    const Tensor& x = *c.in[0];
    const int64_t n = x.shape.back();
    for (int64_t r = begin; r < end; ++r)
      c.out[1]->as<float>()[r] = c.kernels->quantize_tokens(x.as<uint8_t>() + static_cast<size_t>(r * n) * byte_size(x.type),
                                                            x.type, zero_, scale_, channel_, n, c.out[0]->as<uint8_t>() + r * n,
                                                            reinterpret_cast<float*>(c.worker_scratch(worker)));
  }

 private:
  int32_t zero_ = 0;
  float scale_ = 1;
  const float* channel_ = nullptr;
  int64_t count_ = 0;
};

// Inputs: x, table of [256] or [65536], or [channels, 256] with the channel axis given.
class Lookup : public Op {
 public:
  explicit Lookup(const OpSource& s) : Op(s.info) {
    const TensorInfo& t = s.input(1);
    require(t.data != nullptr && t.type == s.output_type() && byte_size(t.type) <= 4 && byte_size(t.type) >= 1,
            "the table must be a constant of the output's type");
    table_ = t.data;
    size_ = static_cast<int>(byte_size(t.type));
    require(!t.shape.empty(), "the table is empty");
    entries_ = t.shape.back();
    channels_ = elements(t.shape) / std::max<int64_t>(entries_, 1);
    axis_ = s.attributes.integer("axis", -1, -1, kMaxRank - 1);
    require(axis_ >= 0 || channels_ == 1, "a table for each channel needs an axis");
    require(channels_ == 1 || entries_ == 256, "only 8-bit inputs have a table for each channel");
  }
  void infer(Context& c) override {
    const Tensor& x = in(c, 0, {DType::U8, DType::I16});
    require(entries_ == (x.type == DType::U8 ? 256 : 65536), "the table does not fit the input's type");
    if (axis_ >= 0 && channels_ > 1)
      require(axis_ < x.rank() && x.shape[static_cast<size_t>(axis_)] == channels_, "the table does not fit the channels");
    out(c).shape = x.shape;
  }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const size_t in_size = byte_size(x.type), out_size = static_cast<size_t>(size_);
    if (channels_ == 1) {
      c.pool->parallel(x.size(), kGrain, [&](int64_t begin, int64_t end, int) {
        c.kernels->lookup(x.as<uint8_t>() + static_cast<size_t>(begin) * in_size, x.type, table_, size_, end - begin,
                          c.out[0]->as<uint8_t>() + static_cast<size_t>(begin) * out_size);
      });
      return;
    }
    const int64_t inner = strides_of(x.shape)[static_cast<size_t>(axis_)];
    const int64_t rows = inner == 0 ? 0 : x.size() / inner;
    if (inner == 1) {  // channels last: a row of tables, side by side
      c.pool->parallel(rows / channels_, std::max<int64_t>(1, kGrain / 4 / channels_), [&](int64_t begin, int64_t end, int) {
        if (size_ == 1) return beside<uint8_t>(c, begin, end);
        if (size_ == 2) return beside<int16_t>(c, begin, end);
        beside<float>(c, begin, end);
      });
      return;
    }
    c.pool->parallel(rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(inner, 1)), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const uint8_t* table = table_ + static_cast<size_t>(r % channels_ * entries_) * out_size;
        c.kernels->lookup(x.as<uint8_t>() + static_cast<size_t>(r * inner) * in_size, x.type, table, size_, inner,
                          c.out[0]->as<uint8_t>() + static_cast<size_t>(r * inner) * out_size);
      }
    });
  }

 private:
  template <typename T>
  void beside(const Context& c, int64_t begin, int64_t end) const {
    const auto* table = reinterpret_cast<const T*>(table_);
    const uint8_t* x = c.in[0]->as<uint8_t>();
    T* y = c.out[0]->as<T>();
    for (int64_t r = begin * channels_; r < end * channels_; r += channels_)
      for (int64_t i = 0; i < channels_; ++i) y[r + i] = table[i * 256 + x[r + i]];
  }

  const uint8_t* table_ = nullptr;
  int size_ = 1;
  int64_t entries_ = 0, channels_ = 1, axis_ = -1;
};

// Inputs: x (int16), coefficients [5, 32].
class CurveOp : public RowOp {
 public:
  explicit CurveOp(const OpSource& s) : RowOp(s.info), epilogue_(output_epilogue(s)) {
    require(epilogue_.type != DType::F32, "the output must be uint8 or int16");
    curve_.c = reinterpret_cast<const float*>(s.constant(1, DType::F32, Curve::kTerms * Curve::kSegments).data);
    curve_.start = static_cast<int32_t>(s.attributes.integer("start", -32768, -32768, 32767));
    curve_.shift = static_cast<int>(s.attributes.integer("shift", 11, 0, 16));
    if (s.kernels.curves) return;
    std::vector<int16_t> every(1 << 16);
    for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<int16_t>(static_cast<int32_t>(i) - 32768);
    table_.resize(every.size() * byte_size(epilogue_.type));
    s.kernels.curve(every.data(), curve_, static_cast<int64_t>(every.size()), epilogue_, table_.data());
  }
  void infer(Context& c) override { out(c).shape = in(c, 0, {DType::I16}).shape; }
  int64_t rows(const Context& c) const override { return c.in[0]->size() / row(c); }
  void run_rows(Context& c, int64_t begin, int64_t end, int) override {
    const int64_t from = begin * row(c), n = (end - begin) * row(c);
    const size_t size = byte_size(epilogue_.type);
    const int16_t* x = c.in[0]->as<int16_t>() + from;
    uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(from) * size;
    if (table_.empty()) return c.kernels->curve(x, curve_, n, epilogue_, y);
    c.kernels->lookup(x, DType::I16, table_.data(), static_cast<int>(size), n, y);
  }

 private:
  static int64_t row(const Context& c) { return c.in[0]->shape.empty() ? 1 : std::max<int64_t>(1, c.in[0]->shape.back()); }

  Epilogue epilogue_;
  Curve curve_;
  std::vector<uint8_t> table_;  // of all codes, where that is quicker
};

// a op b with broadcasting; op: 0 add, 1 sub, 2 mul, 3 div, 4 max, 5 min.
class Binary : public Op {
 public:
  explicit Binary(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)) {
    const Attributes& a = s.attributes;
    op_ = static_cast<int>(a.integer("op", 0, 0, 5));
    a_zero_ = static_cast<int32_t>(a.integer("a_zero", 0, -32768, 32767));
    b_zero_ = static_cast<int32_t>(a.integer("b_zero", 0, -32768, 32767));
    a_multiplier_ = a.number("a_multiplier");
    b_multiplier_ = a.number("b_multiplier", 0.0f);
  }
  void infer(Context& c) override {
    const Tensor &a = in(c, 0, {DType::U8, DType::I16}), &b = in(c, 1, {DType::U8, DType::I16});
    const Shape shape = broadcast(a.shape, b.shape, what_);
    out(c).shape = shape;
    // the last run of axes that both share, or that one of them broadcasts whole, is one inner loop
    const size_t rank = shape.size();
    auto padded = [&](const Shape& s) {
      Shape p(rank - s.size(), 1);
      p.insert(p.end(), s.begin(), s.end());
      return p;
    };
    const Shape pa = padded(a.shape), pb = padded(b.shape);
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
  }
  void run(Context& c) override {
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
      c.kernels->binary(op_, a.as<uint8_t>() + static_cast<size_t>(at_a) * a_size, a.type, a_zero_, a_multiplier_, inner_a_,
                        b.as<uint8_t>() + static_cast<size_t>(at_b) * b_size, b.type, b_zero_, b_multiplier_, inner_b_, n,
                        epilogue_, c.out[0]->as<uint8_t>() + static_cast<size_t>(row * inner_ + from) * y_size);
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
  Epilogue epilogue_;
  int op_ = 0;
  int32_t a_zero_ = 0, b_zero_ = 0;
  float a_multiplier_ = 1, b_multiplier_ = 0;
  int64_t inner_ = 1, inner_a_ = 1, inner_b_ = 1;
  Shape outer_;
  std::vector<int64_t> outer_a_, outer_b_;
};

}  // namespace

void add_pointwise_ops(OpTable& table) {
  table.push_back(entry<Quantize>("Quantize"));
  table.push_back(entry<Dequantize>("Dequantize"));
  table.push_back(entry<Requantize>("Requantize"));
  table.push_back(entry<QuantizeTokens>("QuantizeTokens"));
  table.push_back(entry<Lookup>("Lookup"));
  table.push_back(entry<CurveOp>("Curve"));
  table.push_back(entry<Binary>("Binary"));
}

}  // namespace qgraph
