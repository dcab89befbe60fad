#include "ops/grid.h"

namespace qgraph::ops {

GridSample::GridSample(const OpSource& s)
    : Op(s),
      mode(static_cast<dialect::Interpolation>(s.attributes.integer("mode", 1))),
      padding(choice<dialect::GridPadding>(s.attributes, "padding_mode")),
      align_corners(s.attributes.integer("align_corners", 0) != 0) {}

void GridSample::infer(const Values& v) {
  const Tensor &x = in(v, 0, {DType::F32}), &grid = in(v, 1, {DType::F32});
  const int axes = x.rank() - 2;
  require(axes == 2 || (axes == 3 && mode != dialect::Interpolation::Cubic), "two axes are sampled, or three but for cubic");
  require(grid.rank() == x.rank() && grid.shape[0] == x.shape[0] && grid.shape.back() == axes, "the grid does not fit the input");
  for (size_t i = 2; i < x.shape.size(); ++i)
    require(x.shape[i] > 0 && x.shape[i] < (1 << 24), "a sampled axis is empty or too long");
  require(out(v).type == DType::F32, "the output must be float32");
  Shape shape{x.shape[0], x.shape[1]};
  shape.insert(shape.end(), grid.shape.begin() + 1, grid.shape.end() - 1);
  elements(shape);
  out(v).shape = shape;
}

void AffineGrid::infer(const Values& v) {
  const Tensor& theta = in(v, 0, {DType::F32});
  Shape size = known_integers(v, 1);
  require(size.size() == 4 || size.size() == 5, "the size must be of a batch of channels of two or three axes");
  const auto axes = static_cast<int64_t>(size.size()) - 2;
  for (int64_t n : size) require(n >= 0, "a length is negative");
  require(theta.shape == Shape{size[0], axes, axes + 1}, "theta does not fit the size");
  require(out(v).type == DType::F32, "the output must be float32");
  size.erase(size.begin() + 1);
  size.push_back(axes);
  elements(size);
  out(v).shape = size;
}

}  // namespace qgraph::ops
