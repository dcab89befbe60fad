#include "ops/pool_float32.h"

#include <map>

namespace qgraph::ops {
namespace {

Fold fold_of(std::string kind) {
  static const std::map<std::string, Fold> folds{{"ReduceMax", Fold::Max},
                                                 {"ReduceMin", Fold::Min},
                                                 {"ReduceSum", Fold::Sum},
                                                 {"ReduceMean", Fold::Mean},
                                                 {"ReduceProd", Fold::Prod},
                                                 {"ReduceL1", Fold::L1},
                                                 {"ReduceL2", Fold::L2},
                                                 {"ReduceSumSquare", Fold::SumSquare},
                                                 {"GlobalAveragePool", Fold::Mean},
                                                 {"GlobalMaxPool", Fold::Max}};
  const std::string prefix = "ai.onnx.";
  if (kind.rfind(prefix, 0) == 0) kind.erase(0, prefix.size());
  return folds.at(kind);
}

}  // namespace

Reduce::Reduce(const OpSource& s)
    : IndexOp(s),
      fold(fold_of(kind())),
      global_(kind().rfind("Global", 0) == 0),
      keep_dims_(s.attributes.integer("keepdims", 1) != 0),
      noop_(s.attributes.integer("noop_with_empty_axes", 0) != 0) {}

void Reduce::infer(const Values& v) {
  const Tensor& x = in(v, 0);
  const bool number = x.type == DType::F32 || (!global_ && (x.type == DType::I64 || x.type == DType::I32));
  require(number || (!global_ && (fold == Fold::Max || fold == Fold::Min)), "the input is of a type that it does not take");
  require(out(v).type == x.type, "the output's type must be the input's");
  require(!global_ || x.rank() >= 2, "the input must have channels");
  std::vector<bool> reduced(x.shape.size());
  const auto axes = given(v, 1) ? known_integers(v, 1) : std::vector<int64_t>{};
  for (int64_t a : axes) {
    if (a < 0) a += x.rank();
    require(a >= 0 && a < x.rank(), "an axis is out of range");
    reduced[static_cast<size_t>(a)] = true;
  }
  for (size_t i = 0; i < reduced.size(); ++i)
    if (axes.empty() && !noop_) reduced[i] = !global_ || i >= 2;

  Shape left = x.shape, shape;  // `left`: reduced groups as one dim
  stages.clear();
  count = 1;
  for (size_t last = reduced.size(); last-- > 0;) {
    if (!reduced[last]) continue;
    size_t first = last;
    while (first > 0 && reduced[first - 1]) --first;
    int64_t length = 1;
    for (size_t i = first; i <= last; ++i) length *= x.shape[i];
    left.erase(left.begin() + static_cast<int64_t>(first), left.begin() + static_cast<int64_t>(last) + 1);
    left.insert(left.begin() + static_cast<int64_t>(first), length);
    stages.push_back(split_at(left, static_cast<int64_t>(first), what()));
    left[first] = 1;
    count *= length;
    last = first;
  }
  if (stages.empty()) stages.push_back({0, 1, 1, x.size()});
  for (AxisSplit& s : stages)
    if (s.length == 1) s = {0, 1, 1, s.outer * s.inner};  // side by side
  for (size_t i = 0; i < x.shape.size(); ++i)
    if (!reduced[i] || keep_dims_) shape.push_back(reduced[i] ? 1 : x.shape[i]);
  out(v).shape = shape;
}

}  // namespace qgraph::ops
