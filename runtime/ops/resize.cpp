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
  Shape shape = x.shape;
  for (int64_t i = 0; i < 2; ++i) {
    size[i] = out_size[i] = 1;
    scale[i] = 1;
    if (i < 2 - n) continue;
    const auto axis = static_cast<size_t>(x.rank() - 2 + i);
    const int64_t at = i - (2 - n);
    size[i] = x.shape[axis];
    if (target.type == DType::F32) {
      scale[i] = target.as<float>()[at];
      require(scale[i] > 0 && scale[i] < 1e6f, "bad scale");
      out_size[i] = static_cast<int64_t>(std::floor(static_cast<double>(size[i]) * static_cast<double>(scale[i])));
    } else {
      out_size[i] = target.as<int64_t>()[at];
      require(out_size[i] >= 0 && out_size[i] < (int64_t{1} << 31) && size[i] > 0, "bad size");
      scale[i] = static_cast<float>(out_size[i]) / static_cast<float>(size[i]);
    }
    shape[axis] = out_size[i];
  }
  out(v).shape = shape;
}

}  // namespace qgraph::ops
