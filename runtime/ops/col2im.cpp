#include "ops/col2im.h"

#include <algorithm>

namespace qgraph::ops {

Col2Im::Col2Im(const OpSource& s)
    : Op(s),
      strides_(s.attributes.integers("strides")),
      dilations_(s.attributes.integers("dilations")),
      pads_(s.attributes.integers("pads")) {
  auto positive = [](int64_t d) { return d >= 1; };
  require(std::all_of(strides_.begin(), strides_.end(), positive) && std::all_of(dilations_.begin(), dilations_.end(), positive),
          "strides and dilations must be positive");
}

void Col2Im::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32});
  size = known_integers(v, 1);
  block = known_integers(v, 2);
  const size_t axes = size.size();
  require(axes >= 1 && axes <= 6 && block.size() == axes && x.rank() == 3,
          "the input must have three dims, image and block as many");
  stride = strides_.empty() ? std::vector<int64_t>(axes, 1) : strides_;
  dilation = dilations_.empty() ? std::vector<int64_t>(axes, 1) : dilations_;
  const std::vector<int64_t> pads = pads_.empty() ? std::vector<int64_t>(2 * axes) : pads_;
  require(stride.size() == axes && dilation.size() == axes && pads.size() == 2 * axes,
          "strides, dilations or pads do not fit the number of axes");
  constexpr int64_t kLimit = int64_t{1} << 31;
  begin.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(axes));
  places.assign(axes, 0);
  taps = 1;
  int64_t count = 1;
  for (size_t i = 0; i < axes; ++i) {
    require(size[i] >= 0 && size[i] < kLimit && block[i] >= 1 && block[i] < kLimit, "bad sizes of the image or the block");
    const int64_t room = size[i] + begin[i] + pads[axes + i] - dilation[i] * (block[i] - 1) - 1;
    places[i] = room < 0 ? 0 : room / stride[i] + 1;
    taps *= block[i];
    count *= places[i];
    require(taps < kLimit && count < kLimit, "bad sizes of the image or the block");
  }
  require(x.shape[1] % taps == 0 && x.shape[2] == count, "the input does not fit image and block");
  Shape shape{x.shape[0], x.shape[1] / taps};
  shape.insert(shape.end(), size.begin(), size.end());
  out(v).shape = shape;
}

}  // namespace qgraph::ops
