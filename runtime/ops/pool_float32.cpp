#include "ops/pool_float32.h"

#include <algorithm>
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
                                                 {"ReduceLogSum", Fold::LogSum},
                                                 {"ReduceLogSumExp", Fold::LogSumExp},
                                                 {"GlobalAveragePool", Fold::Mean},
                                                 {"GlobalMaxPool", Fold::Max},
                                                 {"GlobalLpPool", Fold::Lp}};
  const std::string prefix = "ai.onnx.";
  if (kind.rfind(prefix, 0) == 0) kind.erase(0, prefix.size());
  return folds.at(kind);
}

/// An attribute with `n` numbers, `otherwise` each where it is left out; `low` is checked by the dialect's ranges.
std::vector<int64_t> numbers_of(const OpSource& s, const char* name, size_t n, int64_t otherwise) {
  auto made = s.attributes.integers(name);
  if (made.empty()) made.assign(n, otherwise);
  if (made.size() != n) throw Error(s.info.what() + ": attribute '" + name + "' does not fit the window");
  return made;
}

std::vector<int64_t> kernel_of(const OpSource& s) {
  auto kernel = s.attributes.integers("kernel_shape");
  int64_t taps = 1;
  for (int64_t k : kernel) taps = taps <= 1 << 15 ? taps * k : taps;
  if (kernel.empty() || kernel.size() > kMaxRank - 2) throw Error(s.info.what() + ": bad window");
  if (taps > 1 << 15) throw Error(s.info.what() + ": the window is too large");
  return kernel;
}

}  // namespace

Reduce::Reduce(const OpSource& s)
    : IndexOp(s),
      fold(fold_of(kind())),
      global_(kind().rfind("Global", 0) == 0),
      keep_dims_(s.attributes.integer("keepdims", 1) != 0),
      noop_(s.attributes.integer("noop_with_empty_axes", 0) != 0) {
  if (fold == Fold::Lp) p = s.attributes.integer("p", 2);
  if (fold == Fold::Lp && p <= 2) fold = p == 1 ? Fold::L1 : Fold::L2;
}

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
  std::erase_if(stages, [](const AxisSplit& s) { return s.length == 1; });
  if (stages.empty()) stages.push_back({0, 1, 1, x.size()});  // each element by itself, side by side
  for (size_t i = 0; i < x.shape.size(); ++i)
    if (!reduced[i] || keep_dims_) shape.push_back(reduced[i] ? 1 : x.shape[i]);
  out(v).shape = shape;
}

WindowPool::WindowPool(const OpSource& s)
    : Op(s),
      how(kind() == "ai.onnx.AveragePool" ? How::Mean
          : kind() == "LpPool"            ? How::Norm
                                          : How::Largest),
      count_include_pad(s.attributes.integer("count_include_pad", 0) != 0),
      first_axis_fastest(s.attributes.integer("storage_order", 0) != 0),
      p(s.attributes.integer("p", 2)),
      auto_pad_(choice<dialect::AutoPad>(s.attributes, "auto_pad")),
      ceil_(s.attributes.integer("ceil_mode", 0) != 0) {
  window.kernel = kernel_of(s);
  const size_t n = window.axes();
  window.stride = numbers_of(s, "strides", n, 1);
  window.dilation = numbers_of(s, "dilations", n, 1);
  pads_ = numbers_of(s, "pads", 2 * n, 0);
}

void WindowPool::infer(const Values& v) {
  const Tensor& x = how == How::Largest ? in(v, 0, {DType::F32, DType::I8, DType::U8}) : in(v, 0, {DType::F32});
  const size_t n = window.axes();
  require(x.shape.size() == n + 2, "the input does not fit the window");
  require(out(v).type == x.type, "the output's type must be the input's");
  window.size.assign(x.shape.begin() + 2, x.shape.end());
  window.begin.assign(n, 0);
  window.end.assign(n, 0);
  window.places.assign(n, 0);
  Shape shape{x.shape[0], x.shape[1]};
  for (size_t i = 0; i < n; ++i) {
    const int64_t size = window.size[i], stride = window.stride[i], reach = window.dilation[i] * (window.kernel[i] - 1) + 1;
    if (auto_pad_ == dialect::AutoPad::Notset) {
      window.begin[i] = pads_[i];
      window.end[i] = pads_[i + n];
    } else if (auto_pad_ != dialect::AutoPad::Valid) {
      const int64_t pad = std::max<int64_t>(0, ((size + stride - 1) / stride - 1) * stride + reach - size), less = pad / 2;
      window.begin[i] = auto_pad_ == dialect::AutoPad::SameUpper ? less : pad - less;
      window.end[i] = pad - window.begin[i];
    }
    const int64_t room = size + window.begin[i] + window.end[i] - reach;
    require(room >= 0, "the input is smaller than the window");
    window.places[i] = (ceil_ ? (room + stride - 1) / stride : room / stride) + 1;
    if (ceil_ && (window.places[i] - 1) * stride >= size + window.begin[i]) --window.places[i];  // no window begins behind x
    shape.push_back(window.places[i]);
  }
  out(v).shape = shape;
  if (v.out.size() < 2) return;
  require(how == How::Largest && out(v, 1).type == DType::I64, "the indices must be int64");
  out(v, 1).shape = shape;
}

MaxUnpool::MaxUnpool(const OpSource& s) : Op(s), kernel_(kernel_of(s)) {
  strides_ = numbers_of(s, "strides", kernel_.size(), 1);
  pads_ = numbers_of(s, "pads", 2 * kernel_.size(), 0);
}

void MaxUnpool::infer(const Values& v) {
  const Tensor &x = in(v, 0, {DType::F32}), &indices = in(v, 1, {DType::I64});
  const size_t n = kernel_.size();
  require(x.shape.size() == n + 2, "the input does not fit the window");
  require(indices.shape == x.shape, "the indices must have the shape of the input");
  require(out(v).type == DType::F32, "the output must be float32");
  counted = {x.shape[0], x.shape[1]};
  for (size_t i = 0; i < n; ++i) counted.push_back((x.shape[i + 2] - 1) * strides_[i] + kernel_[i] - pads_[i] - pads_[i + n]);
  for (int64_t d : counted) require(d >= 0, "the output has a negative length");
  const Shape shape = given(v, 2) ? known_integers(v, 2) : counted;
  require(shape.size() == n + 2, "the output's shape does not fit the input");
  for (size_t i = 0; i < n + 2; ++i) require(shape[i] >= counted[i], "the output's shape is too small for the windows");
  elements(shape);
  out(v).shape = shape;
}

MaxRoiPool::MaxRoiPool(const OpSource& s) : Op(s), scale(s.attributes.number("spatial_scale", 1.0f)) {
  const auto pooled = s.attributes.integers("pooled_shape");
  require(pooled.size() == 2, "bad pooled_shape");
  height = pooled[0];
  width = pooled[1];
}

void MaxRoiPool::infer(const Values& v) {
  const Tensor &x = in(v, 0, {DType::F32}), &rois = in(v, 1, {DType::F32});
  require(x.rank() == 4 && rois.rank() == 2 && rois.shape[1] == 5, "the input must be images, and the regions rows of 5");
  require(out(v).type == DType::F32, "the output must be float32");
  out(v).shape = {rois.shape[0], x.shape[1], height, width};
  elements(out(v).shape);
}

}  // namespace qgraph::ops
