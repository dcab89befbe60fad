#include "ops/scatter.h"

namespace qgraph::ops {

ScatterElements::ScatterElements(const OpSource& s)
    : Movement(s),
      reduction(choice<dialect::ScatterReduction>(s.attributes, "reduction")),
      given_axis_(s.attributes.integer("axis", 0)) {}

void ScatterElements::infer(const Values& v) {
  same_type(v);
  const Tensor &x = in(v, 0), &index = in(v, 1, {DType::I64, DType::I32}), &updates = in(v, 2);
  require(updates.type == x.type && updates.shape == index.shape, "the updates must be as the indices, of the data's type");
  axis = static_cast<size_t>(split_at(x.shape, given_axis_, what()).axis);
  require(index.rank() == x.rank(), "the indices must have the data's rank");
  for (size_t i = 0; i < x.shape.size(); ++i)
    require(i == axis || index.shape[i] <= x.shape[i], "the indices do not fit the data");
  out(v).shape = x.shape;
}

ScatterND::ScatterND(const OpSource& s) : Movement(s), reduction(choice<dialect::ScatterReduction>(s.attributes, "reduction")) {}

void ScatterND::infer(const Values& v) {
  same_type(v);
  const Tensor &x = in(v, 0), &index = in(v, 1, {DType::I64, DType::I32}), &updates = in(v, 2);
  require(updates.type == x.type && index.rank() >= 1, "the updates must be of the data's type, and the indices no scalar");
  require(index.shape.back() >= 0 && index.shape.back() <= x.rank(), "the indices do not fit the data");
  depth = static_cast<size_t>(index.shape.back());
  Shape wanted(index.shape.begin(), index.shape.end() - 1);
  wanted.insert(wanted.end(), x.shape.begin() + static_cast<std::ptrdiff_t>(depth), x.shape.end());
  require(updates.shape == wanted, "the updates do not fit the indices and the data");
  out(v).shape = x.shape;
}

TensorScatter::TensorScatter(const OpSource& s)
    : Movement(s),
      circular(choice<dialect::CacheMode>(s.attributes, "mode") == dialect::CacheMode::Circular),
      axis_(s.attributes.integer("axis", -2)) {}

void TensorScatter::infer(const Values& v) {
  same_type(v);
  const Tensor &x = in(v, 0), &update = in(v, 1);
  split = split_at(x.shape, axis_, what());
  require(split.axis > 0, "the axis must not be that of the batch");
  Shape fits = update.shape;
  require(update.type == x.type && fits.size() == x.shape.size(), "the update must be as the data");
  update_length = fits[static_cast<size_t>(split.axis)];
  fits[static_cast<size_t>(split.axis)] = split.length;
  require(fits == x.shape && update_length <= split.length, "the update does not fit the data");
  if (given(v, 2))
    require(in(v, 2, {DType::I64}).rank() == 1 && in(v, 2).size() == x.shape[0], "one index for each batch is needed");
  out(v).shape = x.shape;
}

}  // namespace qgraph::ops
