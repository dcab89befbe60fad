// Ops that move elements of any type: Reshape, Transpose, Slice, Split, Concat, Gather, Expand, Tile, Pad, depth and space.
#include <algorithm>
#include <cstring>

#include "ops/op.h"

namespace qgraph {
namespace {

/// The int64 elements of an input that must be known while shapes are inferred.
std::vector<int64_t> known(const Tensor& t, const std::string& what) {
  if (!t.known || t.type != DType::I64)
    throw Error(what + ": a shape or index depends on the data, not on the input shapes; this cannot be planned");
  const auto* p = t.as<int64_t>();
  return {p, p + t.size()};
}

/// to[i * N + j] = from[i + j * step]: planes of bytes side by side, a word at a time, which reaches into the next element.
template <int N>
void interleave(const uint8_t* from, int64_t step, int64_t n, uint8_t* to) {
  auto word = [&](int64_t i) {
    uint32_t all = 0;
    for (int j = 0; j < N; ++j) all |= uint32_t{from[i + j * step]} << (8 * j);
    return all;
  };
  for (int64_t i = 0; i + 1 < n; ++i) {
    const uint32_t all = word(i);
    std::memcpy(to + i * N, &all, 4);
  }
  const uint32_t all = word(n - 1);
  std::memcpy(to + (n - 1) * N, &all, N);
}

/// The case of single bytes whose last two axes are a matrix turned: y[..., i, j] = x[... + i + j * step].
void transpose_bytes(ThreadPool& pool, const uint8_t* x, uint8_t* y, const Shape& shape, const std::vector<int64_t>& strides,
                     size_t rank) {
  const int64_t rows = shape[rank - 2], columns = shape[rank - 1], step = strides[rank - 1];
  const int64_t tile = columns <= 4 ? 4096 : 64;
  const Shape outer(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(rank - 2));
  const int64_t tiles = (rows + tile - 1) / tile;
  pool.parallel(elements(outer) * tiles, std::max<int64_t>(1, (1 << 13) / (tile * columns)),
                [&, rows, columns, step, tile](int64_t begin, int64_t end, int) {
                  for (int64_t t = begin; t < end; ++t) {
                    int64_t at = 0, rest = t / tiles;
                    for (size_t d = outer.size(); d-- > 0;) {
                      at += rest % outer[d] * strides[d];
                      rest /= outer[d];
                    }
                    const int64_t first = t % tiles * tile, last = std::min(rows, first + tile);
                    const uint8_t* from = x + at;
                    uint8_t* to = y + t / tiles * rows * columns;
                    if (columns >= 2 && columns <= 4) {
                      const auto run = columns == 2 ? interleave<2> : columns == 3 ? interleave<3> : interleave<4>;
                      run(from + first, step, last - first, to + first * columns);
                      continue;
                    }
                    for (int64_t j = 0; j < columns; ++j)
                      for (int64_t i = first; i < last; ++i) to[i * columns + j] = from[i + j * step];
                  }
                });
}

/// Copy elements of `size` bytes: y[i...] = x[base + sum i_d * stride_d], over the output's shape.
void gather_strided(ThreadPool& pool, const uint8_t* x, uint8_t* y, const Shape& shape, const std::vector<int64_t>& strides,
                    size_t size) {
  if (elements(shape) == 0) return;
  // fold trailing axes that are contiguous in both into one block
  int64_t block = 1;
  size_t rank = shape.size();
  while (rank > 0 && (shape[rank - 1] == 1 || strides[rank - 1] == block)) block *= shape[--rank];
  const size_t bytes = static_cast<size_t>(block) * size;
  if (rank > 1 && bytes == 1 && strides[rank - 2] == 1) return transpose_bytes(pool, x, y, shape, strides, rank);
  const int64_t last = rank > 0 ? shape[rank - 1] : 1, step = rank > 0 ? strides[rank - 1] : 0;
  const Shape outer(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(rank > 0 ? rank - 1 : 0));
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / static_cast<int64_t>(bytes * static_cast<size_t>(last)));
  pool.parallel(elements(outer), grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t o = begin; o < end; ++o) {
      int64_t at = 0, rest = o;
      for (size_t d = outer.size(); d-- > 0;) {
        at += rest % outer[d] * strides[d];
        rest /= outer[d];
      }
      uint8_t* to = y + static_cast<size_t>(o * last) * bytes;
      if (bytes == 1) {
        for (int64_t i = 0; i < last; ++i) to[i] = x[at + i * step];
      } else {
        for (int64_t i = 0; i < last; ++i)
          std::memcpy(to + static_cast<size_t>(i) * bytes,
                      x + static_cast<std::ptrdiff_t>(at + i * step) * static_cast<std::ptrdiff_t>(size), bytes);
      }
    }
  });
}

class Movement : public Op {
 public:
  using Op::Op;
  bool foldable(const Context&) const override { return true; }

 protected:
  void same_type(Context& c, size_t input = 0) const {
    for (Tensor* t : c.out) require(t->type == in(c, input).type, "the output's type must be the input's");
  }
};

// Reshape, Squeeze, Unsqueeze, Flatten, Identity: the elements stay where they are.
class View : public Movement {
 public:
  explicit View(const OpSource& s) : Movement(s.info), kind_(s.info.kind) {
    allow_zero_ = s.attributes.integer("allowzero", 0, 0, 1) != 0;
    axis_ = s.attributes.integer("axis", 1, -kMaxRank, kMaxRank);
  }
  bool view() const override { return true; }
  void infer(Context& c) override {
    same_type(c);
    const Tensor& x = in(c, 0);
    out(c).shape = target(c, x);
    require(out(c).size() == x.size(), "the number of elements would change");
    require(out(c).rank() <= kMaxRank, "more than 8 dims");
  }
  void run(Context& c) override {
    if (c.out[0]->data != c.in[0]->data && c.in[0]->size() != 0)
      std::memcpy(c.out[0]->data, c.in[0]->data, static_cast<size_t>(c.in[0]->size()) * byte_size(c.in[0]->type));
  }

 private:
  Shape target(const Context& c, const Tensor& x) const {
    if (kind_ == "Identity") return x.shape;
    if (kind_ == "Flatten") {
      const int64_t axis = axis_ < 0 ? axis_ + x.rank() : axis_;
      require(axis >= 0 && axis <= x.rank(), "the axis is out of range");
      Shape head(x.shape.begin(), x.shape.begin() + axis), tail(x.shape.begin() + axis, x.shape.end());
      return {elements(head), elements(tail)};
    }
    if (kind_ == "Reshape") return reshaped(known(in(c, 1), what_), x);
    std::vector<bool> marked;
    Shape shape;
    if (kind_ == "Squeeze") {
      marked.assign(x.shape.size(), !given(c, 1));
      if (given(c, 1))
        for (int64_t a : known(in(c, 1), what_)) mark(marked, a);
      for (size_t i = 0; i < x.shape.size(); ++i) {
        if (marked[i] && given(c, 1)) require(x.shape[i] == 1, "only dims of 1 can be squeezed");
        if (!marked[i] || x.shape[i] != 1) shape.push_back(x.shape[i]);
      }
      return shape;
    }
    const auto axes = known(in(c, 1), what_);
    marked.assign(x.shape.size() + axes.size(), false);
    for (int64_t a : axes) mark(marked, a);
    size_t next = 0;
    for (bool m : marked) {
      require(m || next < x.shape.size(), "an axis is given twice");
      shape.push_back(m ? 1 : x.shape[next++]);
    }
    return shape;
  }
  void mark(std::vector<bool>& marked, int64_t axis) const {
    if (axis < 0) axis += static_cast<int64_t>(marked.size());
    require(axis >= 0 && axis < static_cast<int64_t>(marked.size()), "an axis is out of range");
    marked[static_cast<size_t>(axis)] = true;
  }
  Shape reshaped(Shape shape, const Tensor& x) const {
    int64_t rest = x.size(), free = -1;
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
      require(others != 0 && rest % others == 0, "the elements do not fit the shape");
      shape[static_cast<size_t>(free)] = rest / others;
    }
    return shape;
  }
  std::string kind_;
  bool allow_zero_ = false;
  int64_t axis_ = 1;
};

class Transpose : public Movement {
 public:
  explicit Transpose(const OpSource& s) : Movement(s.info), perm_(s.attributes.integers("perm")) {}
  void infer(Context& c) override {
    same_type(c);
    const Tensor& x = in(c, 0);
    auto perm = perm_;
    if (perm.empty())
      for (int64_t i = x.rank(); i-- > 0;) perm.push_back(i);
    require(perm.size() == x.shape.size(), "the permutation does not fit the input");
    const auto strides = strides_of(x.shape);
    Shape shape;
    strides_.clear();
    std::vector<bool> seen(perm.size());
    for (int64_t p : perm) {
      require(p >= 0 && p < x.rank() && !seen[static_cast<size_t>(p)], "not a permutation");
      seen[static_cast<size_t>(p)] = true;
      shape.push_back(x.shape[static_cast<size_t>(p)]);
      strides_.push_back(strides[static_cast<size_t>(p)]);
    }
    out(c).shape = shape;
  }
  void run(Context& c) override {
    gather_strided(*c.pool, c.in[0]->as<uint8_t>(), c.out[0]->as<uint8_t>(), c.out[0]->shape, strides_, byte_size(c.in[0]->type));
  }

 private:
  std::vector<int64_t> perm_, strides_;
};

class Slice : public Movement {
 public:
  explicit Slice(const OpSource& s) : Movement(s.info) {}
  void infer(Context& c) override {
    same_type(c);
    const Tensor& x = in(c, 0);
    const auto starts = known(in(c, 1), what_), ends = known(in(c, 2), what_);
    std::vector<int64_t> axes, steps;
    if (given(c, 3)) axes = known(in(c, 3), what_);
    if (given(c, 4)) steps = known(in(c, 4), what_);
    require(starts.size() == ends.size() && (axes.empty() || axes.size() == starts.size()) &&
                (steps.empty() || steps.size() == starts.size()),
            "starts, ends, axes and steps differ in length");
    Shape shape = x.shape;
    strides_ = strides_of(x.shape);
    base_ = 0;
    const auto original = strides_;
    for (size_t i = 0; i < starts.size(); ++i) {
      int64_t axis = axes.empty() ? static_cast<int64_t>(i) : axes[i];
      if (axis < 0) axis += x.rank();
      require(axis >= 0 && axis < x.rank(), "an axis is out of range");
      const auto a = static_cast<size_t>(axis);
      const int64_t step = steps.empty() ? 1 : steps[i], dim = x.shape[a];
      require(step != 0 && step > -(int64_t{1} << 40) && step < (int64_t{1} << 40), "bad step");
      auto clamp = [&](int64_t v, int64_t low, int64_t high) { return std::min(std::max(v < 0 ? v + dim : v, low), high); };
      const int64_t start = step > 0 ? clamp(starts[i], 0, dim) : clamp(starts[i], 0, dim - 1);
      const int64_t end = step > 0 ? clamp(ends[i], 0, dim) : (ends[i] <= -dim - 1 ? -1 : clamp(ends[i], -1, dim - 1));
      const int64_t n = step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step;
      shape[a] = dim == 0 ? 0 : std::max<int64_t>(n, 0);
      if (shape[a] != 0) base_ += start * original[a];
      strides_[a] = original[a] * step;
    }
    out(c).shape = shape;
  }
  void run(Context& c) override {
    const size_t size = byte_size(c.in[0]->type);
    gather_strided(*c.pool, c.in[0]->as<uint8_t>() + static_cast<size_t>(base_) * size, c.out[0]->as<uint8_t>(), c.out[0]->shape,
                   strides_, size);
  }

 private:
  std::vector<int64_t> strides_;
  int64_t base_ = 0;
};

class Split : public Movement {
 public:
  explicit Split(const OpSource& s) : Movement(s.info), axis_(s.attributes.integer("axis", 0, -kMaxRank, kMaxRank - 1)) {}
  void infer(Context& c) override {
    same_type(c);
    const Tensor& x = in(c, 0);
    const int64_t axis = axis_ < 0 ? axis_ + x.rank() : axis_;
    require(axis >= 0 && axis < x.rank(), "the axis is out of range");
    const auto a = static_cast<size_t>(axis);
    const auto n = static_cast<int64_t>(c.out.size());
    std::vector<int64_t> parts;
    if (given(c, 1)) {
      parts = known(in(c, 1), what_);
    } else {
      const int64_t each = (x.shape[a] + n - 1) / n;
      for (int64_t i = 0, left = x.shape[a]; i < n; ++i, left -= each)
        parts.push_back(std::max<int64_t>(0, std::min(each, left)));
    }
    require(static_cast<int64_t>(parts.size()) == n, "the parts differ from the outputs");
    starts_.clear();
    int64_t at = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      require(parts[i] >= 0, "a part is negative");
      Shape shape = x.shape;
      shape[a] = parts[i];
      out(c, i).shape = shape;
      starts_.push_back(at * strides_of(x.shape)[a]);
      at += parts[i];
    }
    require(at == x.shape[a], "the parts do not add up to the axis");
  }
  void run(Context& c) override {
    const size_t size = byte_size(c.in[0]->type);
    for (size_t i = 0; i < c.out.size(); ++i)
      gather_strided(*c.pool, c.in[0]->as<uint8_t>() + static_cast<size_t>(starts_[i]) * size, c.out[i]->as<uint8_t>(),
                     c.out[i]->shape, strides_of(c.in[0]->shape), size);
  }

 private:
  int64_t axis_;
  std::vector<int64_t> starts_;
};

class Concat : public Movement {
 public:
  explicit Concat(const OpSource& s) : Movement(s.info), axis_(s.attributes.integer("axis", 0, -kMaxRank, kMaxRank - 1)) {
    require(!s.info.inputs.empty(), "there is nothing to join");
  }
  void infer(Context& c) override {
    Shape shape = in(c, 0).shape;
    const auto rank = static_cast<int64_t>(shape.size());
    const int64_t axis = axis_ < 0 ? axis_ + rank : axis_;
    require(axis >= 0 && axis < rank, "the axis is out of range");
    at_ = static_cast<size_t>(axis);
    for (size_t i = 0; i < c.in.size(); ++i) {
      const Tensor& x = in(c, i);
      require(x.type == out(c).type && x.rank() == static_cast<int>(rank), "the inputs differ in type or rank");
      if (i == 0) continue;
      for (size_t d = 0; d < shape.size(); ++d) require(d == at_ || x.shape[d] == shape[d], "the inputs differ in shape");
      shape[at_] += x.shape[at_];
    }
    out(c).shape = shape;
  }
  void run(Context& c) override {
    const size_t size = byte_size(c.out[0]->type);
    const Shape& shape = c.out[0]->shape;
    if (elements(shape) == 0) return;
    const int64_t inner = strides_of(shape)[at_], row = inner * shape[at_], rows = elements(shape) / row;
    int64_t start = 0;
    for (const Tensor* x : c.in) {
      const int64_t part = x->shape[at_] * inner;
      for (int64_t r = 0; part != 0 && r < rows; ++r)
        std::memcpy(c.out[0]->as<uint8_t>() + static_cast<size_t>(r * row + start) * size,
                    x->as<uint8_t>() + static_cast<size_t>(r * part) * size, static_cast<size_t>(part) * size);
      start += part;
    }
  }

 private:
  int64_t axis_;
  size_t at_ = 0;
};

// Gather, GatherElements and GatherND; an index out of range is an error, never a read outside.
class Gather : public Movement {
 public:
  explicit Gather(const OpSource& s)
      : Movement(s.info), kind_(s.info.kind), axis_(s.attributes.integer("axis", 0, -kMaxRank, kMaxRank - 1)) {
    batch_ = static_cast<size_t>(s.attributes.integer("batch_dims", 0, 0, kMaxRank));
  }
  void infer(Context& c) override {
    const Tensor &x = in(c, 0), &index = in(c, 1, {DType::I64, DType::I32});
    packed_ = x.type == DType::I4;
    if (packed_)
      require(kind_ == "Gather" && x.known && x.rank() == 2 && axis_ == 0 && out(c).type == DType::I8,
              "only rows of packed tables can be gathered");
    else
      same_type(c);
    require(x.rank() >= 1, "the data is a scalar");
    const int64_t axis = axis_ < 0 ? axis_ + x.rank() : axis_;
    Shape shape;
    if (kind_ == "GatherND") {
      require(index.rank() >= 1, "the index is a scalar");
      depth_ = static_cast<size_t>(std::max<int64_t>(index.shape.back(), 0));
      require(batch_ < index.shape.size() && batch_ + depth_ <= x.shape.size() && depth_ >= 1, "the index does not fit the data");
      for (size_t i = 0; i < batch_; ++i) require(index.shape[i] == x.shape[i], "the batch dims differ");
      shape.assign(index.shape.begin(), index.shape.end() - 1);
      shape.insert(shape.end(), x.shape.begin() + static_cast<std::ptrdiff_t>(batch_ + depth_), x.shape.end());
    } else {
      require(axis >= 0 && axis < x.rank(), "the axis is out of range");
      at_ = static_cast<size_t>(axis);
      if (kind_ == "GatherElements") {
        require(index.rank() == x.rank(), "the index must have the data's rank");
        for (size_t i = 0; i < x.shape.size(); ++i)
          require(i == at_ || index.shape[i] <= x.shape[i], "the index does not fit the data");
        shape = index.shape;
      } else {
        shape.assign(x.shape.begin(), x.shape.begin() + axis);
        shape.insert(shape.end(), index.shape.begin(), index.shape.end());
        shape.insert(shape.end(), x.shape.begin() + axis + 1, x.shape.end());
      }
    }
    require(shape.size() <= kMaxRank, "more than 8 dims");
    out(c).shape = shape;
  }
  void run(Context& c) override {
    const Tensor &x = *c.in[0], &index = *c.in[1];
    const size_t size = byte_size(x.type);
    const uint8_t* from = x.as<uint8_t>();
    uint8_t* to = c.out[0]->as<uint8_t>();
    const auto strides = strides_of(x.shape);
    if (c.out[0]->size() == 0) return;
    if (packed_) {
      const int64_t width = x.shape[1];
      for (int64_t i = 0; i < index.size(); ++i) {
        const int64_t start = position(index, i, x.shape[0]) * width;
        for (int64_t j = 0; j < width; ++j) to[i * width + j] = static_cast<uint8_t>(int4_at(from, start + j));
      }
      return;
    }
    if (kind_ == "GatherND") {
      const int64_t block = batch_ + depth_ < x.shape.size() ? strides[batch_ + depth_ - 1] : 1;
      const int64_t n = index.size() / static_cast<int64_t>(depth_);
      int64_t per_batch = n;
      for (size_t i = 0; i < batch_; ++i) per_batch /= x.shape[i];
      const int64_t batch_stride = batch_ == 0 ? 0 : strides[batch_ - 1];
      for (int64_t i = 0; i < n; ++i) {
        int64_t at = i / per_batch * batch_stride;
        for (size_t d = 0; d < depth_; ++d)
          at += position(index, i * static_cast<int64_t>(depth_) + static_cast<int64_t>(d), x.shape[batch_ + d]) *
                strides[batch_ + d];
        std::memcpy(to + static_cast<size_t>(i * block) * size, from + static_cast<size_t>(at) * size,
                    static_cast<size_t>(block) * size);
      }
    } else if (kind_ == "GatherElements") {
      for (int64_t i = 0; i < index.size(); ++i) {
        int64_t at = 0, rest = i;
        for (size_t d = index.shape.size(); d-- > 0;) {
          const int64_t here = d == at_ ? position(index, i, x.shape[d]) : rest % index.shape[d];
          at += here * strides[d];
          rest /= index.shape[d];
        }
        std::memcpy(to + static_cast<size_t>(i) * size, from + static_cast<size_t>(at) * size, size);
      }
    } else {
      const int64_t block = strides[at_], row = block * x.shape[at_], n = index.size();
      const int64_t rows = x.size() / std::max<int64_t>(row, 1);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < n; ++i)
          std::memcpy(to + static_cast<size_t>((r * n + i) * block) * size,
                      from + static_cast<size_t>(r * row + position(index, i, x.shape[at_]) * block) * size,
                      static_cast<size_t>(block) * size);
    }
  }

 private:
  int64_t position(const Tensor& index, int64_t i, int64_t dim) const {
    int64_t v = index.type == DType::I64 ? index.as<int64_t>()[i] : index.as<int32_t>()[i];
    if (v < 0) v += dim;
    if (v < 0 || v >= dim) fail("index " + std::to_string(v) + " is out of range for a dim of " + std::to_string(dim));
    return v;
  }
  std::string kind_;
  int64_t axis_;
  size_t at_ = 0, batch_ = 0, depth_ = 1;
  bool packed_ = false;
};

class Expand : public Movement {
 public:
  explicit Expand(const OpSource& s) : Movement(s.info), tile_(s.info.kind == "Tile") {}
  void infer(Context& c) override {
    same_type(c);
    const Tensor& x = in(c, 0);
    const Shape target = known(in(c, 1), what_);
    for (int64_t d : target) require(d >= 0 && d < (int64_t{1} << 40), "a bad dim");
    if (tile_) {
      require(target.size() == x.shape.size(), "one repeat for each dim is needed");
      Shape shape = x.shape;
      for (size_t i = 0; i < shape.size(); ++i) shape[i] *= target[i];
      elements(shape);
      out(c).shape = shape;
    } else {
      require(target.size() <= kMaxRank, "more than 8 dims");
      out(c).shape = broadcast(x.shape, target, what_);
    }
  }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const Shape& shape = c.out[0]->shape;
    const size_t size = byte_size(x.type), lead = shape.size() - x.shape.size();
    const auto own = strides_of(x.shape);
    if (!tile_) {
      std::vector<int64_t> strides(shape.size(), 0);
      for (size_t i = 0; i < x.shape.size(); ++i) strides[lead + i] = x.shape[i] == 1 ? 0 : own[i];
      gather_strided(*c.pool, x.as<uint8_t>(), c.out[0]->as<uint8_t>(), shape, strides, size);
      return;
    }
    const int64_t n = elements(shape);
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = 0, rest = i;
      for (size_t d = shape.size(); d-- > 0;) {
        at += rest % shape[d] % x.shape[d] * own[d];
        rest /= shape[d];
      }
      std::memcpy(c.out[0]->as<uint8_t>() + static_cast<size_t>(i) * size, x.as<uint8_t>() + static_cast<size_t>(at) * size,
                  size);
    }
  }

 private:
  bool tile_;
};

// Inputs: x, pads. Attributes: mode (0 constant, 1 reflect, 2 edge, 3 wrap), value (the code to fill with).
class Pad : public Movement {
 public:
  explicit Pad(const OpSource& s) : Movement(s.info) {
    mode_ = s.attributes.integer("mode", 0, 0, 3);
    value_ = s.attributes.integer("value", 0, -(int64_t{1} << 40), int64_t{1} << 40);
    axes_ = s.attributes.integers("axes");
  }
  void infer(Context& c) override {
    same_type(c);
    const Tensor& x = in(c, 0, {DType::U8, DType::I16, DType::I64, DType::I32, DType::Bool});
    const auto pads = known(in(c, 1), what_);
    const size_t rank = x.shape.size();
    auto axes = axes_;
    if (axes.empty())
      for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i));
    require(pads.size() == 2 * axes.size(), "two pads for each axis are needed");
    begin_.assign(rank, 0);
    Shape shape = x.shape;
    for (size_t i = 0; i < axes.size(); ++i) {
      const int64_t a = axes[i] < 0 ? axes[i] + x.rank() : axes[i];
      require(a >= 0 && a < x.rank(), "an axis is out of range");
      const int64_t low = pads[i], high = pads[i + axes.size()], limit = int64_t{1} << 40, dim = x.shape[static_cast<size_t>(a)];
      require(low > -limit && low < limit && high > -limit && high < limit, "a bad pad");
      if (mode_ == 1)
        require(low < std::max<int64_t>(dim, 1) && high < std::max<int64_t>(dim, 1), "a reflection is longer than the input");
      if (mode_ != 0) require(dim > 0 || low + high == 0, "an empty axis cannot be extended");
      begin_[static_cast<size_t>(a)] = low;
      shape[static_cast<size_t>(a)] = dim + low + high;
      require(shape[static_cast<size_t>(a)] >= 0, "the output would be negative");
    }
    out(c).shape = shape;
  }
  void run(Context& c) override {
    const Tensor& x = *c.in[0];
    const Shape& shape = c.out[0]->shape;
    const auto own = strides_of(x.shape);
    const size_t size = byte_size(x.type);
    c.pool->parallel(elements(shape), 1 << 14, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t at = 0, rest = i;
        bool inside = true;
        for (size_t d = shape.size(); d-- > 0;) {
          int64_t p = rest % shape[d] - begin_[d];
          const int64_t n = x.shape[d];
          rest /= shape[d];
          if (p < 0 || p >= n) {
            if (mode_ == 0)
              inside = false;
            else if (mode_ == 1)
              p = p < 0 ? -p : 2 * (n - 1) - p;
            else if (mode_ == 2)
              p = p < 0 ? 0 : n - 1;
            else
              p = ((p % n) + n) % n;
          }
          at += p * own[d];
        }
        uint8_t* to = c.out[0]->as<uint8_t>() + static_cast<size_t>(i) * size;
        std::memcpy(to, inside ? x.as<uint8_t>() + static_cast<size_t>(at) * size : reinterpret_cast<const uint8_t*>(&value_),
                    size);
      }
    });
  }

 private:
  int64_t mode_, value_;
  std::vector<int64_t> axes_, begin_;
};

// DepthToSpace (dcr 1: depth-column-row order, 0: CRD) and SpaceToDepth.
class Blocks : public Movement {
 public:
  explicit Blocks(const OpSource& s) : Movement(s.info), to_space_(s.info.kind == "DepthToSpace") {
    b_ = s.attributes.integer("blocksize", 1, 1, 1 << 16);
    dcr_ = s.attributes.integer("dcr", 1, 0, 1) != 0;
  }
  void infer(Context& c) override {
    same_type(c);
    const Tensor& x = in(c, 0);
    require(x.rank() == 4, "the input needs four dims");
    const int64_t n = x.shape[0], ch = x.shape[1], h = x.shape[2], w = x.shape[3], bb = b_ * b_;
    const auto s = strides_of(x.shape);
    if (to_space_) {
      require(ch % bb == 0, "the channels are no multiple of the block");
      out(c).shape = {n, ch / bb, h * b_, w * b_};
      shape_ = {n, ch / bb, h, b_, w, b_};
      strides_ = dcr_ ? std::vector<int64_t>{s[0], s[1], s[2], s[1] * (ch / bb) * b_, s[3], s[1] * (ch / bb)}
                      : std::vector<int64_t>{s[0], s[1] * bb, s[2], s[1] * b_, s[3], s[1]};
    } else {
      require(h % b_ == 0 && w % b_ == 0, "the size is no multiple of the block");
      out(c).shape = {n, ch * bb, h / b_, w / b_};
      shape_ = {n, b_, b_, ch, h / b_, w / b_};
      strides_ = {s[0], s[2], s[3], s[1], s[2] * b_, s[3] * b_};
    }
  }
  void run(Context& c) override {
    gather_strided(*c.pool, c.in[0]->as<uint8_t>(), c.out[0]->as<uint8_t>(), shape_, strides_, byte_size(c.in[0]->type));
  }

 private:
  bool to_space_, dcr_ = true;
  int64_t b_ = 1;
  Shape shape_;
  std::vector<int64_t> strides_;
};

}  // namespace

void add_movement_ops(OpTable& table) {
  for (const char* kind : {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"}) table.push_back(entry<View>(kind));
  table.push_back(entry<Transpose>("Transpose"));
  table.push_back(entry<Slice>("Slice"));
  table.push_back(entry<Split>("Split"));
  table.push_back(entry<Concat>("Concat"));
  for (const char* kind : {"Gather", "GatherElements", "GatherND"}) table.push_back(entry<Gather>(kind));
  table.push_back(entry<Expand>("Expand"));
  table.push_back(entry<Expand>("Tile"));
  table.push_back(entry<Pad>("Pad"));
  table.push_back(entry<Blocks>("DepthToSpace"));
  table.push_back(entry<Blocks>("SpaceToDepth"));
}

}  // namespace qgraph
