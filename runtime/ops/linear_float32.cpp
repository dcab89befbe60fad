#include "ops/linear_float32.h"

#include <limits>

#include "ops/shape.h"

namespace qgraph::ops {

Clamp read_clamp(const Attributes& attributes) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return {attributes.has("clamp_min") || attributes.has("clamp_max"), attributes.number("clamp_min", -kInfinity),
          attributes.number("clamp_max", kInfinity)};
}

FloatMatMul::FloatMatMul(const OpSource& s) : Op(s), clamp(read_clamp(s.attributes)) {
  a_transposed = s.attributes.integer("transA", 0) != 0;
  b_transposed = s.attributes.integer("transB", 0) != 0;
  alpha = s.attributes.number("alpha", 1);
  beta = s.attributes.number("beta", 1);
  if (s.has(2)) (kind() == "Gemm" ? c : bias) = 2;
  if (s.has(3)) residual = 3;
}

void FloatMatMul::infer(const Values& v) {
  const Tensor &a = in(v, 0, {DType::F32}), &b = in(v, 1, {DType::F32});
  require(a.rank() >= 1 && b.rank() >= 1, "a scalar cannot be multiplied; use Mul");
  require(kind() != "Gemm" || (a.rank() == 2 && b.rank() == 2), "both operands need two dims");
  Shape x = a.shape, w = b.shape;
  if (a.rank() == 1) x.insert(x.begin(), 1);
  if (b.rank() == 1) w.push_back(1);
  if (a_transposed) std::swap(x[x.size() - 2], x.back());
  if (b_transposed) std::swap(w[w.size() - 2], w.back());
  m = x[x.size() - 2];
  k = x.back();
  n = w.back();
  require(w[w.size() - 2] == k, "the inner dims differ");
  a_lead.assign(x.begin(), x.end() - 2);
  b_lead.assign(w.begin(), w.end() - 2);
  lead = broadcast(a_lead, b_lead, what());
  Shape shape = lead;
  if (a.rank() > 1) shape.push_back(m);
  if (b.rank() > 1) shape.push_back(n);
  out(v).shape = shape;
  if (bias != kNone) {
    const Tensor& t = in(v, bias, {DType::F32});
    require(t.size() == n, "the bias must have one element a column");
  }
  if (c != kNone) {
    const Tensor& t = in(v, c, {DType::F32});
    const Shape dims = padded_shape(t.shape, 2);
    require(t.rank() <= 2 && (dims[0] == 1 || dims[0] == m) && (dims[1] == 1 || dims[1] == n),
            "C does not broadcast to the product");
    c_row = dims[0] == 1 ? 0 : dims[1];
    c_column = dims[1] == 1 ? 0 : 1;
  }
  if (residual != kNone) require(in(v, residual, {DType::F32}).shape == shape, "the residual must have the output's shape");
}

}  // namespace qgraph::ops
