#include "ops/resize_float32.h"

namespace qgraph::ops {

OnnxResize::OnnxResize(const OpSource& s)
    : Op(s),
      mode(choice<dialect::Interpolation>(s.attributes, "mode")),
      coordinates(choice<dialect::ResizeCoordinates>(s.attributes, "coordinate_transformation_mode")),
      nearest(choice<dialect::ResizeNearest>(s.attributes, "nearest_mode")),
      antialias(s.attributes.integer("antialias", 0) != 0),
      exclude_outside(s.attributes.integer("exclude_outside", 0) != 0),
      cubic_coeff_a(static_cast<double>(s.attributes.number("cubic_coeff_a", -0.75f))),
      extrapolation_value(s.attributes.number("extrapolation_value", 0)),
      policy_(choice<dialect::AspectRatio>(s.attributes, "keep_aspect_ratio_policy")),
      axes_(s.attributes.integers("axes")) {}

void OnnxResize::infer(const Values& v) {
  const Tensor& x = in(v, 0);
  require(out(v).type == x.type, "the output's type must be the input's");
  require(mode == dialect::Interpolation::Nearest || x.type == DType::F32, "linear and cubic interpolation need float32");
  const size_t n = axes_.empty() ? x.shape.size() : axes_.size();
  for (size_t i = 1; i < 4; ++i)
    if (given(v, i))
      require(in(v, i, {i == 3 ? DType::I64 : DType::F32}).known, "its size depends on the data, not on the input shapes");
  const bool by_scale = given(v, 2) && in(v, 2).size() > 0;
  require(by_scale || given(v, 3), "it needs scales or sizes");
  require(in(v, by_scale ? 2 : 3).size() == static_cast<int64_t>(n), "one scale or size for each axis is needed");
  const bool crops = coordinates == dialect::ResizeCoordinates::TfCropAndResize && given(v, 1) && in(v, 1).size() > 0;
  if (crops) require(in(v, 1).size() == static_cast<int64_t>(2 * n), "the first and last of each axis are needed");
  std::vector<ResizedAxis> all(n);
  std::vector<bool> seen(x.shape.size());
  for (size_t i = 0; i < n; ++i) {
    ResizedAxis& a = all[i];
    const int64_t at = axes_.empty() ? static_cast<int64_t>(i) : axes_[i] < 0 ? axes_[i] + x.rank() : axes_[i];
    require(at >= 0 && at < x.rank() && !seen[static_cast<size_t>(at)], "an axis is out of range or given twice");
    a.axis = static_cast<size_t>(at);
    seen[a.axis] = true;
    a.size = x.shape[a.axis];
    if (crops) {
      a.first = in(v, 1).as<float>()[i];
      a.last = in(v, 1).as<float>()[i + n];
    }
    if (by_scale) {
      a.scale = in(v, 2).as<float>()[i];
      const float length = static_cast<float>(a.size) * a.scale;
      require(a.scale > 0 && length < 1e12f, "bad scale");
      a.out_size = static_cast<int64_t>(std::floor(length));
    } else {
      a.out_size = in(v, 3).as<int64_t>()[i];
      require(a.out_size >= 0 && a.out_size < (int64_t{1} << 31) && a.size > 0, "bad size");
      a.scale = static_cast<float>(a.out_size) / static_cast<float>(a.size);
    }
  }
  if (!by_scale && policy_ != dialect::AspectRatio::Stretch && n > 0) {
    const auto less = [](const ResizedAxis& a, const ResizedAxis& b) { return a.scale < b.scale; };
    const bool least = policy_ == dialect::AspectRatio::NotLarger;
    const float scale =
        (least ? std::min_element(all.begin(), all.end(), less) : std::max_element(all.begin(), all.end(), less))->scale;
    for (ResizedAxis& a : all) {
      a.scale = scale;
      a.out_size = static_cast<int64_t>(std::floor(static_cast<double>(static_cast<float>(a.size) * scale) + 0.5));
    }
  }
  Shape shape = x.shape;
  axes.clear();
  for (const ResizedAxis& a : all) {
    shape[a.axis] = a.out_size;
    require(a.size > 0 || a.out_size == 0, "an empty axis cannot be resized");
    if (a.out_size != a.size || a.scale != 1 || a.first != 0 || a.last != 1) axes.push_back(a);
  }
  std::sort(axes.begin(), axes.end(), [](const ResizedAxis& a, const ResizedAxis& b) { return a.axis < b.axis; });
  elements(shape);
  out(v).shape = shape;
}

}  // namespace qgraph::ops
