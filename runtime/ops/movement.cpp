#include "ops/movement.h"

#include <algorithm>

#include "ops/shape.h"

namespace qgraph::ops {

void Movement::same_type(const Values& v) const {
  for (const Tensor* t : v.out) require(t->type == in(v, 0).type, "the output's type must be the input's");
}

View::View(const OpSource& s)
    : Movement(s), allow_zero_(s.attributes.integer("allowzero", 0) != 0), axis_(s.attributes.integer("axis", 1)) {}

void View::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  out(v).shape = target(v, x);
  require(out(v).size() == x.size(), "the number of elements would change");
  require(out(v).rank() <= kMaxRank, "more than 8 dims");
}

Shape View::target(const Values& v, const Tensor& x) const {
  if (kind() == "Identity") return x.shape;
  if (kind() == "Flatten") return flattened(x);
  if (kind() == "Reshape") return reshaped(known_integers(v, 1), x);
  return kind() == "Squeeze" ? squeezed(v, x) : unsqueezed(v, x);
}

Shape View::flattened(const Tensor& x) const {
  const int64_t axis = axis_ < 0 ? axis_ + x.rank() : axis_;
  require(axis >= 0 && axis <= x.rank(), "the axis is out of range");
  Shape head(x.shape.begin(), x.shape.begin() + axis), tail(x.shape.begin() + axis, x.shape.end());
  return {elements(head), elements(tail)};
}

Shape View::squeezed(const Values& v, const Tensor& x) const {
  std::vector<bool> marked(x.shape.size(), !given(v, 1));
  Shape shape;
  if (given(v, 1))
    for (int64_t a : known_integers(v, 1)) mark(marked, a);
  for (size_t i = 0; i < x.shape.size(); ++i) {
    if (marked[i] && given(v, 1)) require(x.shape[i] == 1, "only dims of 1 can be squeezed");
    if (!marked[i] || x.shape[i] != 1) shape.push_back(x.shape[i]);
  }
  return shape;
}

Shape View::unsqueezed(const Values& v, const Tensor& x) const {
  const auto axes = known_integers(v, 1);
  std::vector<bool> marked(x.shape.size() + axes.size(), false);
  for (int64_t a : axes) mark(marked, a);
  Shape shape;
  size_t next = 0;
  for (bool m : marked) {
    require(m || next < x.shape.size(), "an axis is given twice");
    shape.push_back(m ? 1 : x.shape[next++]);
  }
  return shape;
}

void View::mark(std::vector<bool>& marked, int64_t axis) const {
  if (axis < 0) axis += static_cast<int64_t>(marked.size());
  require(axis >= 0 && axis < static_cast<int64_t>(marked.size()), "an axis is out of range");
  marked[static_cast<size_t>(axis)] = true;
}

Shape View::reshaped(Shape shape, const Tensor& x) const {
  int64_t free = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0 && !allow_zero_) {
      require(i < x.shape.size(), "a 0 stands for a dim that is not there");
      shape[i] = x.shape[i];
    }
    if (shape[i] == -1) {
      require(free < 0, "two free dims");
      free = static_cast<int64_t>(i);
    }
    require(shape[i] >= -1, "a negative dim");
  }
  if (free >= 0) {
    shape[static_cast<size_t>(free)] = 1;
    const int64_t others = elements(shape);
    require(others != 0 && x.size() % others == 0, "the elements do not fit the shape");
    shape[static_cast<size_t>(free)] = x.size() / others;
  }
  return shape;
}

void Transpose::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  auto perm = perm_;
  if (perm.empty())
    for (int64_t i = x.rank(); i-- > 0;) perm.push_back(i);
  require(perm.size() == x.shape.size(), "the permutation does not fit the input");
  const auto own = strides_of(x.shape);
  copy_shape.clear();
  strides.clear();
  std::vector<bool> seen(perm.size());
  for (int64_t p : perm) {
    require(p >= 0 && p < x.rank() && !seen[static_cast<size_t>(p)], "not a permutation");
    seen[static_cast<size_t>(p)] = true;
    copy_shape.push_back(x.shape[static_cast<size_t>(p)]);
    strides.push_back(own[static_cast<size_t>(p)]);
  }
  out(v).shape = copy_shape;
}

void Slice::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  const auto starts = known_integers(v, 1), ends = known_integers(v, 2);
  std::vector<int64_t> axes, steps;
  if (given(v, 3)) axes = known_integers(v, 3);
  if (given(v, 4)) steps = known_integers(v, 4);
  require(starts.size() == ends.size() && (axes.empty() || axes.size() == starts.size()) &&
              (steps.empty() || steps.size() == starts.size()),
          "starts, ends, axes and steps differ in length");
  copy_shape = x.shape;
  strides = strides_of(x.shape);
  base = 0;
  const auto own = strides;
  for (size_t i = 0; i < starts.size(); ++i) {
    int64_t axis = axes.empty() ? static_cast<int64_t>(i) : axes[i];
    if (axis < 0) axis += x.rank();
    require(axis >= 0 && axis < x.rank(), "an axis is out of range");
    const auto a = static_cast<size_t>(axis);
    const int64_t step = steps.empty() ? 1 : steps[i], dim = x.shape[a];
    require(step != 0 && step > -(int64_t{1} << 40) && step < (int64_t{1} << 40), "bad step");
    auto clamp = [&](int64_t at, int64_t low, int64_t high) { return std::min(std::max(at < 0 ? at + dim : at, low), high); };
    const int64_t start = step > 0 ? clamp(starts[i], 0, dim) : clamp(starts[i], 0, dim - 1);
    const int64_t end = step > 0 ? clamp(ends[i], 0, dim) : (ends[i] <= -dim - 1 ? -1 : clamp(ends[i], -1, dim - 1));
    const int64_t n = step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step;
    copy_shape[a] = dim == 0 ? 0 : std::max<int64_t>(n, 0);
    if (copy_shape[a] != 0) base += start * own[a];
    strides[a] = own[a] * step;
  }
  out(v).shape = copy_shape;
}

void Expand::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  const Shape target = known_integers(v, 1);
  for (int64_t d : target) require(d >= 0 && d < (int64_t{1} << 40), "a bad dim");
  require(target.size() <= kMaxRank, "more than 8 dims");
  copy_shape = broadcast(x.shape, target, what());
  out(v).shape = copy_shape;
  const size_t lead = copy_shape.size() - x.shape.size();
  const auto own = strides_of(x.shape);
  strides.assign(copy_shape.size(), 0);
  for (size_t i = 0; i < x.shape.size(); ++i) strides[lead + i] = x.shape[i] == 1 ? 0 : own[i];
}

DepthSpace::DepthSpace(const OpSource& s)
    : StridedCopy(s), block_(s.attributes.integer("blocksize", 1)), dcr_(s.attributes.integer("dcr", 1) != 0) {}

void DepthSpace::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  require(x.rank() == 4, "the input needs four dims");
  const int64_t b = block_, n = x.shape[0], channels = x.shape[1], h = x.shape[2], w = x.shape[3];
  const auto s = strides_of(x.shape);
  if (kind() == "DepthToSpace") {
    require(channels % (b * b) == 0, "the channels are no multiple of the block");
    const int64_t left = channels / (b * b);
    out(v).shape = {n, left, h * b, w * b};
    copy_shape = {n, left, h, b, w, b};
    strides = dcr_ ? std::vector<int64_t>{s[0], s[1], s[2], s[1] * left * b, s[3], s[1] * left}
                   : std::vector<int64_t>{s[0], s[1] * b * b, s[2], s[1] * b, s[3], s[1]};
  } else {
    require(h % b == 0 && w % b == 0, "the size is no multiple of the block");
    out(v).shape = {n, channels * b * b, h / b, w / b};
    copy_shape = {n, b, b, channels, h / b, w / b};
    strides = {s[0], s[2], s[3], s[1], s[2] * b, s[3] * b};
  }
}

Split::Split(const OpSource& s) : Movement(s), axis_(s.attributes.integer("axis", 0)) {}

void Split::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  const int64_t axis = axis_ < 0 ? axis_ + x.rank() : axis_;
  require(axis >= 0 && axis < x.rank(), "the axis is out of range");
  const auto a = static_cast<size_t>(axis);
  const auto n = static_cast<int64_t>(v.out.size());
  std::vector<int64_t> parts;
  if (given(v, 1)) {
    parts = known_integers(v, 1);
  } else {
    const int64_t each = (x.shape[a] + n - 1) / n;
    for (int64_t i = 0, left = x.shape[a]; i < n; ++i, left -= each) parts.push_back(std::max<int64_t>(0, std::min(each, left)));
  }
  require(static_cast<int64_t>(parts.size()) == n, "the parts differ from the outputs");
  starts.clear();
  int64_t at = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    require(parts[i] >= 0, "a part is negative");
    Shape shape = x.shape;
    shape[a] = parts[i];
    out(v, i).shape = shape;
    starts.push_back(at * strides_of(x.shape)[a]);
    at += parts[i];
  }
  require(at == x.shape[a], "the parts do not add up to the axis");
}

Concat::Concat(const OpSource& s) : Movement(s), given_axis_(s.attributes.integer("axis", 0)) {
  require(!s.info.inputs.empty(), "there is nothing to join");
}

void Concat::infer(const Values& v) {
  Shape shape = in(v, 0).shape;
  const auto rank = static_cast<int64_t>(shape.size());
  const int64_t at = given_axis_ < 0 ? given_axis_ + rank : given_axis_;
  require(at >= 0 && at < rank, "the axis is out of range");
  axis = static_cast<size_t>(at);
  for (size_t i = 0; i < v.in.size(); ++i) {
    const Tensor& x = in(v, i);
    require(x.type == out(v).type && x.rank() == static_cast<int>(rank), "the inputs differ in type or rank");
    if (i == 0) continue;
    for (size_t d = 0; d < shape.size(); ++d) require(d == axis || x.shape[d] == shape[d], "the inputs differ in shape");
    shape[axis] += x.shape[axis];
  }
  out(v).shape = shape;
}

bool Concat::appends(const Values& v) const {
  const Shape& shape = v.out[0]->shape;
  return std::all_of(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(axis), [](int64_t d) { return d == 1; });
}

void Tile::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  const Shape repeats = known_integers(v, 1);
  for (int64_t d : repeats) require(d >= 0 && d < (int64_t{1} << 40), "a bad dim");
  require(repeats.size() == x.shape.size(), "one repeat for each dim is needed");
  Shape shape = x.shape;
  const auto own = strides_of(x.shape);
  copy_shape.clear();
  strides.clear();
  for (size_t i = 0; i < shape.size(); ++i) {
    shape[i] *= repeats[i];
    copy_shape.insert(copy_shape.end(), {repeats[i], x.shape[i]});
    strides.insert(strides.end(), {0, own[i]});
  }
  elements(shape);
  out(v).shape = shape;
}

Trilu::Trilu(const OpSource& s) : Movement(s), upper(s.attributes.integer("upper", 1) != 0) {}

void Trilu::infer(const Values& v) {
  same_type(v);
  const Tensor& x = in(v, 0);
  require(x.rank() >= 2, "the input is no matrix");
  k = 0;
  if (given(v, 1)) {
    const auto found = known_integers(v, 1);
    require(found.size() == 1, "k must be one number");
    const int64_t beyond = std::max(x.shape[x.shape.size() - 2], x.shape.back()) + 1;  // where nothing changes any more
    k = std::min(std::max(found[0], -beyond), beyond);
  }
  out(v).shape = x.shape;
}

ReverseSequence::ReverseSequence(const OpSource& s)
    : Movement(s), batch_axis(s.attributes.integer("batch_axis", 1)), time_axis(s.attributes.integer("time_axis", 0)) {
  require(batch_axis != time_axis, "batch and time are the same axis");
}

void ReverseSequence::infer(const Values& v) {
  same_type(v);
  const Tensor &x = in(v, 0), &lengths = in(v, 1, {DType::I64});
  require(x.rank() >= 2, "the input needs two dims");
  require(lengths.rank() == 1 && lengths.size() == x.shape[static_cast<size_t>(batch_axis)],
          "one length for each sequence is needed");
  out(v).shape = x.shape;
}

Gather::Gather(const OpSource& s)
    : Movement(s),
      form(kind() == "GatherND"         ? Form::Nd
           : kind() == "GatherElements" ? Form::Elements
                                        : Form::Axis),
      batch_dims(static_cast<size_t>(s.attributes.integer("batch_dims", 0))),
      given_axis_(s.attributes.integer("axis", 0)) {}

void Gather::infer(const Values& v) {
  const Tensor &x = in(v, 0), &index = in(v, 1, {DType::I64, DType::I32});
  packed = x.type == DType::I4;
  if (packed)
    require(form == Form::Axis && x.known && x.rank() == 2 && given_axis_ == 0 && out(v).type == DType::I8,
            "only rows of packed tables can be gathered");
  else
    same_type(v);
  require(x.rank() >= 1, "the data is a scalar");
  Shape shape;
  if (form == Form::Nd) {
    require(index.rank() >= 1, "the index is a scalar");
    depth = static_cast<size_t>(std::max<int64_t>(index.shape.back(), 0));
    require(batch_dims < index.shape.size() && batch_dims + depth <= x.shape.size() && depth >= 1,
            "the index does not fit the data");
    for (size_t i = 0; i < batch_dims; ++i) require(index.shape[i] == x.shape[i], "the batch dims differ");
    shape.assign(index.shape.begin(), index.shape.end() - 1);
    shape.insert(shape.end(), x.shape.begin() + static_cast<std::ptrdiff_t>(batch_dims + depth), x.shape.end());
  } else {
    const int64_t at = given_axis_ < 0 ? given_axis_ + x.rank() : given_axis_;
    require(at >= 0 && at < x.rank(), "the axis is out of range");
    axis = static_cast<size_t>(at);
    if (form == Form::Elements) {
      require(index.rank() == x.rank(), "the index must have the data's rank");
      for (size_t i = 0; i < x.shape.size(); ++i)
        require(i == axis || index.shape[i] <= x.shape[i], "the index does not fit the data");
      shape = index.shape;
    } else {
      shape.assign(x.shape.begin(), x.shape.begin() + at);
      shape.insert(shape.end(), index.shape.begin(), index.shape.end());
      shape.insert(shape.end(), x.shape.begin() + at + 1, x.shape.end());
    }
  }
  require(shape.size() <= kMaxRank, "more than 8 dims");
  out(v).shape = shape;
}

}  // namespace qgraph::ops
