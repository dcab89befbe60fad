// TopK, OneHot, EyeLike, Unique and Compress.
#pragma once

#include "ops/index.h"
#include "ops/movement.h"

namespace qgraph::ops {

/// Inputs: x, k.
class TopK : public IndexOp {
 public:
  explicit TopK(const OpSource& s);
  void infer(const Values& v) override;
  bool foldable(const Values&) const override { return false; }  // it needs scratch

  bool largest;
  int64_t k = 0;
  AxisSplit split{};

 private:
  int64_t axis_;
};

/// Inputs: indices, depth, values (off and on).
class OneHot : public IndexOp {
 public:
  explicit OneHot(const OpSource& s) : IndexOp(s), axis_(s.attributes.integer("axis", -1)) {}
  void infer(const Values& v) override;

  int64_t depth = 0, inner = 1;  // elements behind the new axis

 private:
  int64_t axis_;
};

class EyeLike : public IndexOp {
 public:
  explicit EyeLike(const OpSource& s) : IndexOp(s), k(s.attributes.integer("k", 0)) {}
  bool reads_only_shapes() const override { return true; }
  void infer(const Values& v) override;

  int64_t k;
};

/// Outputs: the different slices, and optionally where each is first, which of them each slice is, and how often each is there.
class Unique : public Op {
 public:
  explicit Unique(const OpSource& s);
  bool shape_from_data() const override { return true; }
  void infer(const Values& v) override;

  bool sorted, flat;
  AxisSplit split{};

 private:
  int64_t axis_;
};

/// Inputs: x, condition.
class Compress : public Movement {
 public:
  explicit Compress(const OpSource& s);
  bool shape_from_data() const override { return true; }
  void infer(const Values& v) override;

  bool flat;
  AxisSplit split{};

 private:
  int64_t axis_;
};

}  // namespace qgraph::ops
