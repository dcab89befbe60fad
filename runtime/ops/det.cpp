#include "ops/det.h"

namespace qgraph::ops {

void Det::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32});
  require(x.rank() >= 2 && x.shape.back() == x.shape[x.shape.size() - 2], "the matrices must be square");
  n = x.shape.back();
  out(v).shape = {x.shape.begin(), x.shape.end() - 2};
}

}  // namespace qgraph::ops
