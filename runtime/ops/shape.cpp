#include "ops/shape.h"

#include <algorithm>

namespace qgraph {

std::vector<int64_t> strides_of(const Shape& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

Shape broadcast(const Shape& a, const Shape& b, const std::string& what) {
  Shape out(std::max(a.size(), b.size()));
  for (size_t i = 1; i <= out.size(); ++i) {
    const int64_t x = i <= a.size() ? a[a.size() - i] : 1, y = i <= b.size() ? b[b.size() - i] : 1;
    if (x != y && x != 1 && y != 1) throw Error(what + ": shapes do not broadcast");
    out[out.size() - i] = x == 1 ? y : x;
  }
  return out;
}

AxisSplit split_at(const Shape& shape, int64_t axis, const std::string& what) {
  const auto rank = static_cast<int64_t>(shape.size());
  AxisSplit split{axis < 0 ? axis + rank : axis, 1, 1, 1};
  if (split.axis < 0 || split.axis >= rank) throw Error(what + ": an axis is out of range");
  for (int64_t i = 0; i < rank; ++i)
    (i < split.axis ? split.outer : i == split.axis ? split.length : split.inner) *= shape[static_cast<size_t>(i)];
  return split;
}

Shape padded_shape(const Shape& shape, size_t rank) {
  Shape padded(rank - shape.size(), 1);
  padded.insert(padded.end(), shape.begin(), shape.end());
  return padded;
}

}  // namespace qgraph
