#include "ops/attention.h"

#include "ops/shape.h"

namespace qgraph::ops {

Attention::Attention(const OpSource& s) : Op(s), output(read_output_format(s)) {
  const Attributes& a = s.attributes;
  q_zero = code_attribute(a, "q_zero");
  k_zero = code_attribute(a, "k_zero");
  v_zero = code_attribute(a, "v_zero");
  scale = a.number("scale");
  multiplier = a.number("multiplier");
  token_major = a.integer("token_major", 0) != 0;
}

void Attention::infer(const Values& values) {
  const Tensor &q = in(values, 0, {DType::U8}), &k = in(values, 1, {DType::U8}), &v = in(values, 2, {DType::U8});
  require(q.rank() == 4 && k.rank() == 4 && v.rank() == 4, "q, k and v need four dims");
  const size_t head = token_major ? 2 : 1, length = token_major ? 1 : 2;
  batch = q.shape[0];
  heads = q.shape[head];
  rows = q.shape[length];
  keys = k.shape[length];
  width = q.shape[3];
  v_width = v.shape[3];
  require(k.shape[0] == batch && v.shape[0] == batch && k.shape[head] == heads && v.shape[head] == heads &&
              v.shape[length] == keys && k.shape[3] == width,
          "the shapes of q, k and v do not fit");
  require(width <= (1 << 16) && keys <= (1 << 16), "more than 65536 keys overflow the accumulator");
  Shape shape = q.shape;
  shape[3] = v_width;
  out(values).shape = shape;
  if (!given(values, 3)) return;
  const Tensor& mask = in(values, 3, {DType::F32});
  const Shape full{batch, heads, rows, keys};
  require(mask.rank() <= 4 && broadcast(mask.shape, full, what()) == full, "the mask does not broadcast to the scores");
  const Shape padded = padded_shape(mask.shape, 4);
  const auto strides = strides_of(padded);
  for (size_t i = 0; i < 4; ++i) mask_strides[i] = padded[i] == 1 ? 0 : strides[i];
}

}  // namespace qgraph::ops
