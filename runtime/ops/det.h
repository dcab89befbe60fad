// Det of float32.
#pragma once

#include "ops/op.h"

namespace qgraph::ops {

/// The determinants of matrices [..., n, n].
class Det : public Op {
 public:
  explicit Det(const OpSource& s) : Op(s) {}
  void infer(const Values& v) override;

  int64_t n = 0;
};

}  // namespace qgraph::ops
