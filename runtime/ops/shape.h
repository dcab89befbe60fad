// Arithmetic on shapes.
#pragma once

#include <string>
#include <vector>

#include "qgraph/runtime.h"

namespace qgraph {

/// Row-major strides of a shape.
std::vector<int64_t> strides_of(const Shape& shape);

/// The shape that both broadcast to; throws Error, which begins with `what`, where there is none.
Shape broadcast(const Shape& a, const Shape& b, const std::string& what);

/// A shape seen from one of its axes: the elements before it, its length, and the elements behind it.
struct AxisSplit {
  int64_t axis, outer, length, inner;
};
/// The same for `axis`, which counts from the end where it is negative; throws Error, which begins with `what`, for one beyond.
AxisSplit split_at(const Shape& shape, int64_t axis, const std::string& what);

/// `shape` with leading dims of 1 up to `rank`.
Shape padded_shape(const Shape& shape, size_t rank);

}  // namespace qgraph
