// An op of a loaded program: attributes are parsed and checked once, shapes are inferred a signature, `run` only computes.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "backend/cpu/isa/kernels.h"
#include "program/attributes.h"
#include "program/tables.h"
#include "support/memory.h"
#include "support/thread_pool.h"

namespace qgraph {

/// A tensor during a run. `data` is null while shapes are inferred, unless the value is already known.
struct Tensor {
  DType type = DType::F32;
  Shape shape;
  void* data = nullptr;
  bool known = false;  // a constant, or computed from shapes alone

  int64_t size() const { return elements(shape); }
  int rank() const { return static_cast<int>(shape.size()); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

/// Code i of a uint8 or int16 tensor.
inline int32_t read_code(const Tensor& x, int64_t i) { return x.type == DType::U8 ? x.as<uint8_t>()[i] : x.as<int16_t>()[i]; }

/// Field i of packed data of 4 or 2 bits, lowest bits first.
inline int field_at(const uint8_t* data, int64_t i, int bits) {
  const int64_t at = i * bits;
  return (data[at / 8] >> (at % 8)) & ((1 << bits) - 1);
}

/// Element i of packed int4 data.
inline int8_t int4_at(const uint8_t* data, int64_t i) { return kSigned.of(4)[static_cast<size_t>(field_at(data, i, 4))]; }

struct Context {
  const Kernels* kernels = nullptr;
  ThreadPool* pool = nullptr;
  uint8_t* scratch = nullptr;  // scratch_bytes of the op for each worker
  size_t scratch_bytes = 0;
  std::vector<const Tensor*> in;  // null where absent
  std::vector<Tensor*> out;
  uint8_t* worker_scratch(int worker) const { return scratch + static_cast<size_t>(worker) * scratch_bytes; }
};

class Op {
 public:
  virtual ~Op() = default;
  /// Set the outputs' shapes (and types where they follow the inputs'); throws Error on bad shapes.
  virtual void infer(Context& c) = 0;
  /// Bytes of scratch that each worker needs, for the shapes in `c`.
  virtual size_t scratch(const Context&) const { return 0; }
  /// Whether the op may run while shapes are inferred once all its inputs are known (index arithmetic, shapes).
  virtual bool foldable(const Context&) const { return false; }
  /// Whether output 0 is input 0 with another shape, so that it needs no memory of its own.
  virtual bool view() const { return false; }
  /// Multiply-accumulates of a run, for the shapes in `c`.
  virtual int64_t macs(const Context&) const { return 0; }
  /// The constant input that the op has a copy of and does not read any more, or -1.
  virtual int packed_input() const { return -1; }
  /// Bytes of that input that a run does not read, since its packed form leaves them out.
  virtual int64_t left_out() const { return 0; }
  virtual void run(Context& c) = 0;
  /// Rows that the op computes each by itself, from the same row of its inputs; 0 where it is no such op (see RowOp).
  virtual int64_t rows(const Context&) const { return 0; }
  virtual void run_rows(Context&, int64_t /*begin*/, int64_t /*end*/, int /*worker*/) {}

 protected:
  explicit Op(const OpInfo& info) : what_(info.what()) {}
  [[noreturn]] void fail(const std::string& why) const { throw Error(what_ + ": " + why); }
  void require(bool ok, const char* why) const {
    if (!ok) fail(why);
  }
  /// Input i, which must be there and of one of `types` (any when empty).
  const Tensor& in(const Context& c, size_t i, std::initializer_list<DType> types = {}) const {
    if (i >= c.in.size() || c.in[i] == nullptr) fail("input " + std::to_string(i) + " is missing");
    const Tensor& t = *c.in[i];
    for (DType type : types)
      if (t.type == type) return t;
    if (types.size() != 0) fail("input " + std::to_string(i) + " is " + name(t.type) + ", which this op does not take");
    return t;
  }
  bool given(const Context& c, size_t i) const { return i < c.in.size() && c.in[i] != nullptr; }
  Tensor& out(Context& c, size_t i = 0) const {
    if (i >= c.out.size()) fail("output " + std::to_string(i) + " is missing");
    return *c.out[i];
  }
  std::string what_;
};

/// Rows whose elements of output 0 are worth handing to another thread, and few enough to stay in a cache.
inline int64_t some_rows(const Context& c, int64_t rows) {
  constexpr int64_t kElements = 4096;
  return std::max<int64_t>(1, kElements / std::max<int64_t>(1, c.out[0]->size() / std::max<int64_t>(1, rows)));
}

/// An op of `rows` and `run_rows`; a session runs neighbours of as many rows a few rows at a time.
class RowOp : public Op {
 public:
  void run(Context& c) override {
    const int64_t n = rows(c);
    c.pool->parallel(n, some_rows(c, n), [&](int64_t begin, int64_t end, int worker) { run_rows(c, begin, end, worker); });
  }

 protected:
  using Op::Op;
};

/// What an op may look at when it is made: its attributes and the constants among its inputs.
struct OpSource {
  const OpInfo& info;
  const std::vector<TensorInfo>& tensors;
  const Kernels& kernels;
  Attributes attributes;

  OpSource(const OpInfo& i, const std::vector<TensorInfo>& t, const Kernels& k)
      : info(i), tensors(t), kernels(k), attributes(i.raw, i.what()) {}
  bool has(size_t i) const { return i < info.inputs.size() && info.inputs[i] >= 0; }
  const TensorInfo& input(size_t i) const {
    if (!has(i)) throw Error(info.what() + " misses input " + std::to_string(i) + "; compile the program again");
    return tensors[static_cast<size_t>(info.inputs[i])];
  }
  /// Input i, which must be a constant of `type` (and `n` elements, when n >= 0).
  const TensorInfo& constant(size_t i, DType type, int64_t n = -1) const;
  DType output_type(size_t i = 0) const { return tensors[static_cast<size_t>(info.outputs.at(i))].type; }
};

using OpFactory = std::function<std::unique_ptr<Op>(const OpSource&)>;

/// Make the op of a program; throws Error when its kind is unknown or its attributes are bad.
std::unique_ptr<Op> make_op(const OpSource& source);

/// Read the output part of an epilogue: attributes y_zero, clamp_min, clamp_max, and the output's type.
Epilogue output_epilogue(const OpSource& source);

/// Take the zero point out once and for all: bias[c] - x_zero * column_sums[c] becomes the epilogue's bias. Returns its
/// storage, which must live as long as the epilogue.
std::vector<int32_t> fold_zero_point(Epilogue& e, const int32_t* column_sums, int64_t n, int32_t x_zero);

/// Whether an epilogue without row scales has t below 2^31 whatever the n columns' accumulators are.
bool is_bounded(const Epilogue& e, int64_t n);

/// Read what an epilogue adds: input `index`, its attributes, and those of the codes that it is added to, if they were
/// rounded before. Returns whether there is one.
bool read_residual(const OpSource& source, size_t index, Epilogue& e);

// One function a family of ops adds its factories to the table.
using OpTable = std::vector<std::pair<std::string, OpFactory>>;
void add_linear_ops(OpTable& table);
void add_conv_ops(OpTable& table);
void add_attention_ops(OpTable& table);
void add_pointwise_ops(OpTable& table);
void add_norm_ops(OpTable& table);
void add_pool_ops(OpTable& table);
void add_movement_ops(OpTable& table);
void add_index_ops(OpTable& table);
void add_resize_ops(OpTable& table);

template <typename T>
std::pair<std::string, OpFactory> entry(const char* kind) {
  return {kind, [](const OpSource& s) -> std::unique_ptr<Op> { return std::make_unique<T>(s); }};
}

/// Row-major strides of a shape, and the broadcast of two shapes.
std::vector<int64_t> strides_of(const Shape& shape);
Shape broadcast(const Shape& a, const Shape& b, const std::string& what);

}  // namespace qgraph
