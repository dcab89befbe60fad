#include "ops/linear.h"

#include <algorithm>

#include "ops/shape.h"

namespace qgraph::ops {

Linear::Linear(const OpSource& s) : Op(s), output(read_output_format(s)) {
  const WeightCodes w = read_codes(s, 1);
  require(w.info.shape.size() == 2, "the weights must be a matrix");
  n = w.info.shape[0];
  k = w.info.shape[1];
  require(k > 0 || n == 0, "the weights have no depth");
  block = s.attributes.integer("block", 0);
  if (block != 0) blocks = (k + block - 1) / block;
  require(block % 4 == 0, "the block must be a multiple of 4");
  x_zero = code_attribute(s.attributes, "x_zero");
  multiplier = finite_constant(s, 2, n * blocks);
  if (s.has(3)) {
    if (s.input(3).type == DType::I32)
      bias = reinterpret_cast<const int32_t*>(s.constant(3, DType::I32, n).data);
    else
      float_bias = finite_constant(s, 3, n);
  }
  residual = read_residual(s, 5);
  require(block == 0 || bias == nullptr, "a product of blocks takes a float bias");
  require(!residual.intermediate || (block == 0 && float_bias == nullptr),
          "a product of tokens or blocks has no intermediate code");
  if (n == 0) return;
  sparse = static_cast<SparseForm>(s.attributes.integer("sparse", 0));
  require(sparse == SparseForm::Dense || (block == 0 && w.width() == 8 && fits(w, n, k, sparse)),
          "the weights do not have the sparse form that it names");
}

void Linear::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8});
  require(!x.shape.empty() && x.shape.back() == k, "the input's last dim does not fit the weights");
  Shape shape = x.shape;
  shape.back() = n;
  out(v).shape = shape;
  rows = n == 0 ? 0 : elements(shape) / n;
  if (given(v, 4)) {
    const Tensor& scale = in(v, 4, {DType::F32});
    require(scale.size() == rows, "there must be one scale a row");
    require(bias == nullptr, "a per-token product takes a float bias");
  }
  if (given(v, 5)) require(in(v, 5, {DType::U8, DType::I16}).shape == shape, "the residual must have the output's shape");
}

MatMul::MatMul(const OpSource& s) : Op(s), output(read_output_format(s)) {
  a_zero = code_attribute(s.attributes, "a_zero");
  b_zero = code_attribute(s.attributes, "b_zero");
  multiplier = s.attributes.number("multiplier");
}

void MatMul::infer(const Values& v) {
  const Tensor &a = in(v, 0, {DType::U8}), &b = in(v, 1, {DType::U8});
  require(a.rank() >= 2 && b.rank() >= 2, "both operands need two dims");
  m = a.shape[a.shape.size() - 2];
  k = a.shape.back();
  n = b.shape.back();
  require(b.shape[b.shape.size() - 2] == k, "the inner dims differ");
  require(k <= (int64_t{1} << 16), "the inner dim overflows the accumulator");
  a_lead.assign(a.shape.begin(), a.shape.end() - 2);
  b_lead.assign(b.shape.begin(), b.shape.end() - 2);
  lead = broadcast(a_lead, b_lead, what());
  Shape shape = lead;
  shape.insert(shape.end(), {m, n});
  out(v).shape = shape;
}

}  // namespace qgraph::ops
