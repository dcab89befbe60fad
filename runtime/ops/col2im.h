// Col2Im of float32.
#pragma once

#include "ops/op.h"

namespace qgraph::ops {

/// Blocks [batch, c * taps, places] added where they lie in images [batch, c, size...]; the inputs 1 and 2 are the sizes of an
/// image and of a block.
class Col2Im : public Op {
 public:
  explicit Col2Im(const OpSource& s);
  void infer(const Values& v) override;

  std::vector<int64_t> size, block, stride, dilation, begin, places;  // along each spatial axis
  int64_t taps = 0;

 private:
  std::vector<int64_t> strides_, dilations_, pads_;
};

}  // namespace qgraph::ops
