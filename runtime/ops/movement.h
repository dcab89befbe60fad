// Ops that move elements of any type: Reshape, Transpose, Slice, Split, Concat, Gather, Expand, Tile, depth and space.
#pragma once

#include "ops/op.h"

namespace qgraph::ops {

class Movement : public Op {
 public:
  bool foldable(const Values&) const override { return true; }

 protected:
  using Op::Op;
  void same_type(const Values& v) const;
};

/// Reshape, Squeeze, Unsqueeze, Flatten, Identity: the elements stay where they are.
class View : public Movement {
 public:
  explicit View(const OpSource& s);
  bool view() const override { return true; }
  void infer(const Values& v) override;

 private:
  Shape target(const Values& v, const Tensor& x) const;
  Shape reshaped(Shape shape, const Tensor& x) const;
  Shape flattened(const Tensor& x) const;
  Shape squeezed(const Values& v, const Tensor& x) const;
  Shape unsqueezed(const Values& v, const Tensor& x) const;
  void mark(std::vector<bool>& marked, int64_t axis) const;

  bool allow_zero_;
  int64_t axis_;
};

/// An op whose output is read from the input by strides: element i... of `copy_shape` is at base + sum of i_d * strides_d. The
/// output's elements lie in the order of copy_shape.
class StridedCopy : public Movement {
 public:
  Shape copy_shape;
  std::vector<int64_t> strides;
  int64_t base = 0;

 protected:
  using Movement::Movement;
};

class Transpose : public StridedCopy {
 public:
  explicit Transpose(const OpSource& s) : StridedCopy(s), perm_(s.attributes.integers("perm")) {}
  void infer(const Values& v) override;

 private:
  std::vector<int64_t> perm_;
};

/// Inputs: x, starts, ends, axes (optional), steps (optional).
class Slice : public StridedCopy {
 public:
  explicit Slice(const OpSource& s) : StridedCopy(s) {}
  void infer(const Values& v) override;
};

class Expand : public StridedCopy {
 public:
  explicit Expand(const OpSource& s) : StridedCopy(s) {}
  void infer(const Values& v) override;
};

/// DepthToSpace (dcr 1: depth-column-row order, 0: CRD) and SpaceToDepth.
class DepthSpace : public StridedCopy {
 public:
  explicit DepthSpace(const OpSource& s);
  void infer(const Values& v) override;

 private:
  int64_t block_;
  bool dcr_;
};

/// Inputs: x, the parts' lengths (optional).
class Split : public Movement {
 public:
  explicit Split(const OpSource& s);
  void infer(const Values& v) override;

  std::vector<int64_t> starts;  // of the parts in x

 private:
  int64_t axis_;
};

class Concat : public Movement {
 public:
  explicit Concat(const OpSource& s);
  void infer(const Values& v) override;
  bool appends(const Values& v) const override;

  size_t axis = 0;

 private:
  int64_t given_axis_;
};

/// Copied by strides over the axes (repeats, dim) of each axis of x.
class Tile : public StridedCopy {
 public:
  explicit Tile(const OpSource& s) : StridedCopy(s) {}
  void infer(const Values& v) override;
};

/// Inputs: x, k (optional).
class Trilu : public Movement {
 public:
  explicit Trilu(const OpSource& s);
  void infer(const Values& v) override;

  bool upper;
  int64_t k = 0;
};

/// Inputs: x, the length of each sequence.
class ReverseSequence : public Movement {
 public:
  explicit ReverseSequence(const OpSource& s);
  void infer(const Values& v) override;

  int64_t batch_axis, time_axis;
};

/// Gather, GatherElements and GatherND; an index out of range is an error, never a read outside.
class Gather : public Movement {
 public:
  enum class Form { Axis, Elements, Nd };

  explicit Gather(const OpSource& s);
  void infer(const Values& v) override;

  Form form;
  size_t axis = 0;                   // of Axis and Elements
  size_t batch_dims = 0, depth = 1;  // of Nd
  bool packed = false;               // rows of a table of int4 codes

 private:
  int64_t given_axis_;
};

}  // namespace qgraph::ops
