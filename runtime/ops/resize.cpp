#include "ops/resize.h"

#include <cmath>

namespace qgraph::ops {

Resize::Resize(const OpSource& s)
    : Op(s),
      output(read_output_format(s)),
      linear(s.attributes.integer("linear", 0) != 0),
      coordinates(choice<dialect::ResizeCoordinates>(s.attributes, "coordinates")),
      nearest(choice<dialect::ResizeNearest>(s.attributes, "nearest")),
      x_zero(code_attribute(s.attributes, "x_zero")),
      multiplier(s.attributes.number("multiplier", 1.0f)) {}

void Resize::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16});
  const Tensor& target = in(v, 1, {DType::F32, DType::I64});
  require(target.known, "the size must be known");
  const int64_t n = target.size();
  require((n == 1 || n == 2) && x.rank() >= n, "one or two axes can be resized");
  require(linear || out(v).type == x.type, "the output's type must be the input's");
  two_axes = n == 2;
  Shape shape = x.shape;
  for (int64_t i = 0; i < 2; ++i) {
    axes[i] = {};
    if (i < 2 - n) continue;
    ResizedAxis& a = axes[i];
    a.axis = static_cast<size_t>(x.rank() - 2 + i);
    const int64_t at = i - (2 - n);
    a.size = x.shape[a.axis];
    if (target.type == DType::F32) {
      a.scale = target.as<float>()[at];
      require(a.scale > 0 && a.scale < 1e6f, "bad scale");
      a.out_size = static_cast<int64_t>(std::floor(static_cast<float>(a.size) * a.scale));
    } else {
      a.out_size = target.as<int64_t>()[at];
      require(a.out_size >= 0 && a.out_size < (int64_t{1} << 31) && a.size > 0, "bad size");
      a.scale = static_cast<float>(a.out_size) / static_cast<float>(a.size);
    }
    shape[a.axis] = a.out_size;
  }
  out(v).shape = shape;
}

}  // namespace qgraph::ops
