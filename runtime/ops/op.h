// An op of a program: its attributes, parsed and checked once, and the shapes of its outputs. It knows no device; a backend
// makes a kernel for it.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "ops/codes.h"
#include "program/attributes.h"
#include "program/tables.h"

namespace qgraph {

/// A tensor for the shapes of one run. `data` is null while shapes are inferred, unless the value is already known.
struct Tensor {
  DType type = DType::F32;
  Shape shape;
  void* data = nullptr;
  bool known = false;  // a constant, computed from shapes alone, or data that a segment of the run has left on the host

  int64_t size() const { return elements(shape); }
  int rank() const { return static_cast<int>(shape.size()); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

/// Bytes of a tensor.
inline size_t bytes_of(const Tensor& t) { return static_cast<size_t>((t.size() * bits(t.type) + 7) / 8); }

/// Gives memory to the outputs of an op whose shapes follow from the data (see Op::shape_from_data).
class Results {
 public:
  virtual ~Results() = default;
  /// Set the shape of an output and its `data`: memory for as many elements, aligned to 64 bytes. What an earlier call for the
  /// same output gave is lost. Throws Error where the memory limit does not allow so many.
  virtual Tensor& place(size_t output, const Shape& shape) = 0;
};

/// The operands of one op.
struct Values {
  std::vector<const Tensor*> in;  // null where absent
  std::vector<Tensor*> out;
  Results* results = nullptr;  // of an op whose shapes follow from the data
};

/// What an op and its kernel may look at when they are made: attributes, and the constants among the inputs.
struct OpSource {
  const OpInfo& info;
  const std::vector<TensorInfo>& tensors;
  Attributes attributes;

  OpSource(const OpInfo& i, const std::vector<TensorInfo>& t) : info(i), tensors(t), attributes(i.raw, i.what()) {}
  bool has(size_t i) const { return i < info.inputs.size() && info.inputs[i] >= 0; }
  const TensorInfo& input(size_t i) const;
  /// Input i, which must be a constant of `type` (and `n` elements, when n >= 0).
  const TensorInfo& constant(size_t i, DType type, int64_t n = -1) const;
  DType output_type(size_t i = 0) const { return tensors[static_cast<size_t>(info.outputs.at(i))].type; }
};

class Op {
 public:
  virtual ~Op() = default;
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;

  /// Set the outputs' shapes (and types where they follow the inputs'); throws Error on bad shapes. Inputs whose row in the
  /// dialect says `known` are known by then, whether they were computed from shapes or from the data.
  virtual void infer(const Values& v) = 0;
  /// Whether the outputs' shapes follow from the data, such as those of NonZero: `infer` checks the inputs and sets no shape,
  /// and the kernel calls `Values::results->place` for every output before it writes it.
  virtual bool shape_from_data() const { return false; }
  /// Whether the op is computed while shapes are inferred once all its inputs are known (index arithmetic, shapes).
  virtual bool foldable(const Values&) const { return false; }
  /// Whether the outputs follow from the inputs' shapes alone.
  virtual bool reads_only_shapes() const { return false; }
  /// Whether output 0 is input 0 with another shape, so that it needs no memory of its own and no kernel.
  virtual bool view() const { return false; }
  /// Whether output 0 begins with the elements of input 0, for the shapes inferred last: the kernel may be given the same memory
  /// for both, and leaves these elements alone then.
  virtual bool appends(const Values&) const { return false; }
  /// Multiply-accumulates of a run, for the shapes inferred last.
  virtual int64_t macs() const { return 0; }

  /// The inputs that must be known when shapes are inferred, as the dialect says.
  bool needs_known(size_t input) const;

  const std::string& kind() const { return kind_; }
  const std::string& what() const { return what_; }
  [[noreturn]] void fail(const std::string& why) const { throw Error(what_ + ": " + why); }

 protected:
  explicit Op(const OpSource& s);
  void require(bool ok, const char* why) const {
    if (!ok) fail(why);
  }
  /// Input i, which must be there and of one of `types` (any when empty).
  const Tensor& in(const Values& v, size_t i, std::initializer_list<DType> types = {}) const;
  bool given(const Values& v, size_t i) const { return i < v.in.size() && v.in[i] != nullptr; }
  Tensor& out(const Values& v, size_t i = 0) const;
  /// The int64 or int32 elements of input i, which must be known while shapes are inferred.
  std::vector<int64_t> known_integers(const Values& v, size_t i) const;

 private:
  std::string kind_, what_;
  uint64_t known_inputs_ = 0;  // a bit each
};

/// An attribute whose values are those of an enum; the first when it is absent.
template <typename E>
E choice(const Attributes& attributes, const char* name) {
  return static_cast<E>(attributes.integer(name, 0));
}

}  // namespace qgraph
