#include "ops/pad.h"

#include <algorithm>

namespace qgraph::ops {

void PadBase::plan(const Values& v, std::vector<int64_t> along, const std::vector<int64_t>& pads) {
  const Tensor& x = in(v, 0);
  if (along.empty())
    for (int i = 0; i < x.rank(); ++i) along.push_back(i);
  require(pads.size() == 2 * along.size(), "two pads for each axis are needed");
  Shape shape = x.shape;
  axes.clear();
  for (int64_t dim : shape) axes.push_back({0, 0, dim});
  std::vector<bool> seen(shape.size());
  for (size_t i = 0; i < along.size(); ++i) {
    const int64_t at = along[i] < 0 ? along[i] + x.rank() : along[i];
    require(at >= 0 && at < x.rank() && !seen[static_cast<size_t>(at)], "an axis is out of range or given twice");
    const auto a = static_cast<size_t>(at);
    seen[a] = true;
    const int64_t low = pads[i], high = pads[i + along.size()], limit = int64_t{1} << 40, dim = x.shape[a];
    require(low > -limit && low < limit && high > -limit && high < limit, "a bad pad");
    axes[a] = {low, std::max<int64_t>(0, -low), dim - std::max<int64_t>(0, -high)};
    shape[a] = dim + low + high;
    require(shape[a] >= 0, "the output would be negative");
    if (mode != dialect::PadMode::Constant)
      require(axes[a].low < axes[a].high || shape[a] == 0, "an empty axis cannot be extended");
  }
  out(v).shape = shape;
}

Pad::Pad(const OpSource& s)
    : PadBase(s, choice<dialect::PadMode>(s.attributes, "mode")),
      value_(s.attributes.integer("value", 0)),
      axes_(s.attributes.integers("axes")) {}

void Pad::infer(const Values& v) {
  same_type(v);
  in(v, 0, {DType::U8, DType::I16, DType::I64, DType::I32, DType::Bool});
  plan(v, axes_, known_integers(v, 1));
}

OnnxPad::OnnxPad(const OpSource& s) : PadBase(s, choice<dialect::PadMode>(s.attributes, "mode")) {}

void OnnxPad::infer(const Values& v) {
  same_type(v);
  if (given(v, 2))
    require(in(v, 2).type == in(v, 0).type && in(v, 2).size() == 1, "the value must be one element of the input's type");
  plan(v, given(v, 3) ? known_integers(v, 3) : std::vector<int64_t>{}, known_integers(v, 1));
}

CenterCropPad::CenterCropPad(const OpSource& s) : PadBase(s, dialect::PadMode::Constant), axes_(s.attributes.integers("axes")) {}

void CenterCropPad::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  const auto wanted = known_integers(v, 1);
  require(wanted.size() == (axes_.empty() ? x.shape.size() : axes_.size()), "one length for each axis is needed");
  std::vector<int64_t> pads(2 * wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    const int64_t axis = axes_.empty() ? static_cast<int64_t>(i) : axes_[i] < 0 ? axes_[i] + x.rank() : axes_[i];
    require(axis >= 0 && axis < x.rank() && wanted[i] >= 0 && wanted[i] < (int64_t{1} << 40), "a bad axis or length");
    const int64_t more = wanted[i] - x.shape[static_cast<size_t>(axis)];
    pads[i] = more / 2;
    pads[i + wanted.size()] = more - pads[i];
  }
  plan(v, axes_, pads);
}

}  // namespace qgraph::ops
