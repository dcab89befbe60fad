// The small float, int64 and bool ops that shapes, indices and masks need.
#pragma once

#include "ops/op.h"
#include "ops/shape.h"

namespace qgraph::ops {

class IndexOp : public Op {
 public:
  bool foldable(const Values& v) const override { return v.out[0]->size() <= (1 << 16); }

 protected:
  using Op::Op;
};

/// Shape and Size.
class ShapeOf : public IndexOp {
 public:
  explicit ShapeOf(const OpSource& s);
  bool reads_only_shapes() const override { return true; }
  void infer(const Values& v) override;

  bool whole_size;    // Size: the number of elements
  int64_t first = 0;  // the first dim of the output

 private:
  int64_t start_, end_;
};

/// Cast and CastLike.
class Cast : public IndexOp {
 public:
  explicit Cast(const OpSource& s) : IndexOp(s) {}
  void infer(const Values& v) override;
};

/// Arithmetic, comparison, logic and bits of two operands of one type. Pow's second operand may have another one.
class Elementwise : public IndexOp {
 public:
  explicit Elementwise(const OpSource& s);
  void infer(const Values& v) override;

  bool fmod;   // Mod: the sign is that of the dividend
  bool right;  // BitShift

 private:
  bool compares_, logic_;
};

/// Sum, Mean, Max and Min of one or more operands.
class Variadic : public IndexOp {
 public:
  explicit Variadic(const OpSource& s) : IndexOp(s) {}
  void infer(const Values& v) override;
};

/// Not, BitwiseNot, IsNaN, IsInf, Neg, Abs, Sign and Relu.
class Unary : public IndexOp {
 public:
  explicit Unary(const OpSource& s);
  void infer(const Values& v) override;

  bool negative, positive;  // IsInf: which count
};

/// Inputs: x, and the lowest and the highest value, one element each; both optional.
class Clip : public IndexOp {
 public:
  explicit Clip(const OpSource& s) : IndexOp(s) {}
  void infer(const Values& v) override;
};

/// A function of float32 values.
class FloatFunction : public IndexOp {
 public:
  explicit FloatFunction(const OpSource& s);
  void infer(const Values& v) override;

  float a = 0, b = 0;  // its first and second attribute
  bool tanh;           // Gelu: approximate
};

/// Dropout as it is after training: y is x, all of the mask is true.
class Dropout : public IndexOp {
 public:
  explicit Dropout(const OpSource& s) : IndexOp(s) {}
  void infer(const Values& v) override;
};

/// ArgMax and ArgMin.
class ArgExtreme : public IndexOp {
 public:
  explicit ArgExtreme(const OpSource& s);
  void infer(const Values& v) override;

  bool largest, last;  // ArgMax; the last of equal elements
  AxisSplit split{};

 private:
  int64_t axis_;
  bool keep_dims_;
};

class Where : public IndexOp {
 public:
  explicit Where(const OpSource& s) : IndexOp(s) {}
  void infer(const Values& v) override;
};

/// The indices of the elements that are not 0: a row for each axis of the input.
class NonZero : public Op {
 public:
  explicit NonZero(const OpSource& s);
  bool shape_from_data() const override { return true; }
  bool foldable(const Values& v) const override { return v.in[0]->size() <= (1 << 16); }
  void infer(const Values& v) override { in(v, 0); }
};

/// Inputs: start, limit, step.
class Range : public IndexOp {
 public:
  explicit Range(const OpSource& s) : IndexOp(s) {}
  void infer(const Values& v) override;

  int64_t start = 0, step = 1;  // of integers
  float first = 0, delta = 0;   // of float32
};

/// ConstantOfShape. Inputs: shape; constant 1 is the value (one element).
class Fill : public IndexOp {
 public:
  explicit Fill(const OpSource& s);
  void infer(const Values& v) override;
};

}  // namespace qgraph::ops
