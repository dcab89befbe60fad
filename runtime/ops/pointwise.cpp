#include "ops/pointwise.h"

#include <algorithm>

#include "ops/shape.h"

namespace qgraph::ops {

Quantize::Quantize(const OpSource& s) : Op(s), output(read_output_format(s)), scale(s.attributes.number("scale")) {
  require(scale > 0, "the scale must be positive");
}

void Quantize::infer(const Values& v) { out(v).shape = in(v, 0, {DType::F32}).shape; }

Dequantize::Dequantize(const OpSource& s)
    : Op(s), x_zero(code_attribute(s.attributes, "x_zero")), scale(s.attributes.number("scale")) {
  require(s.output_type() == DType::F32, "the output must be float32");
}

void Dequantize::infer(const Values& v) { out(v).shape = in(v, 0, {DType::U8, DType::I16}).shape; }

Requantize::Requantize(const OpSource& s) : Op(s), output(read_output_format(s)), x_zero(code_attribute(s.attributes, "x_zero")) {
  multiplier = finite_constant(s, 1);
  multipliers = elements(s.input(1).shape);
  require(multipliers >= 1, "the multiplier is empty");
}

void Requantize::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16, DType::I8});
  require(multipliers == 1 || (!x.shape.empty() && x.shape.back() == multipliers), "the multiplier does not fit the last axis");
  out(v).shape = x.shape;
}

QuantizeTokens::QuantizeTokens(const OpSource& s)
    : Op(s), x_zero(code_attribute(s.attributes, "x_zero")), scale(s.attributes.number("scale", 1.0f)) {
  require(s.info.outputs.size() == 2 && s.output_type(0) == DType::U8 && s.output_type(1) == DType::F32,
          "the outputs must be uint8 codes and float32 scales");
  if (!s.has(1)) return;
  channel = finite_constant(s, 1);
  channels = elements(s.input(1).shape);
}

void QuantizeTokens::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16, DType::F32});
  require(!x.shape.empty(), "the input needs a last axis");
  require(channel == nullptr || channels == x.shape.back(), "the channel factors do not fit the last axis");
  out(v, 0).shape = x.shape;
  Shape scales = x.shape;
  scales.back() = 1;
  out(v, 1).shape = scales;
}

Lookup::Lookup(const OpSource& s) : Op(s) {
  const TensorInfo& t = s.input(1);
  require(t.data != nullptr && t.type == s.output_type() && byte_size(t.type) <= 4 && byte_size(t.type) >= 1,
          "the table must be a constant of the output's type");
  table = t.data;
  entry_bytes = byte_size(t.type);
  require(!t.shape.empty(), "the table is empty");
  entries = t.shape.back();
  channels = elements(t.shape) / std::max<int64_t>(entries, 1);
  axis = s.attributes.integer("axis", -1);
  require(axis >= 0 || channels == 1, "a table for each channel needs an axis");
  require(channels == 1 || entries == 256, "only 8-bit inputs have a table for each channel");
}

void Lookup::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::U8, DType::I16});
  require(entries == (x.type == DType::U8 ? 256 : 65536), "the table does not fit the input's type");
  if (axis >= 0 && channels > 1)
    require(axis < x.rank() && x.shape[static_cast<size_t>(axis)] == channels, "the table does not fit the channels");
  out(v).shape = x.shape;
}

Curve::Curve(const OpSource& s) : Op(s), output(read_output_format(s)) {
  require(output.type != DType::F32, "the output must be uint8 or int16");
  coefficients = reinterpret_cast<const float*>(s.constant(1, DType::F32, kTerms * kSegments).data);
  start = static_cast<int32_t>(s.attributes.integer("start", -32768));
  shift = static_cast<int>(s.attributes.integer("shift", 11));
}

void Curve::infer(const Values& v) { out(v).shape = in(v, 0, {DType::I16}).shape; }

Binary::Binary(const OpSource& s) : Op(s), output(read_output_format(s)) {
  const Attributes& a = s.attributes;
  op = choice<dialect::BinaryOp>(a, "op");
  a_zero = code_attribute(a, "a_zero");
  b_zero = code_attribute(a, "b_zero");
  a_multiplier = a.number("a_multiplier");
  b_multiplier = a.number("b_multiplier", 0.0f);
}

void Binary::infer(const Values& v) {
  const Tensor &a = in(v, 0, {DType::U8, DType::I16}), &b = in(v, 1, {DType::U8, DType::I16});
  out(v).shape = broadcast(a.shape, b.shape, what());
}

}  // namespace qgraph::ops
