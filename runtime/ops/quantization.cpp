#include "ops/quantization.h"

#include <cmath>

namespace qgraph {

OutputFormat read_output_format(const OpSource& source) {
  OutputFormat f;
  f.type = source.output_type();
  const Attributes& a = source.attributes;
  if (f.type == DType::F32) return f;
  if (f.type != DType::U8 && f.type != DType::I16)
    throw Error(source.info.what() + ": the output cannot be " + name(f.type) + "; compile the program again");
  const int64_t low = f.type == DType::U8 ? 0 : -32768, high = f.type == DType::U8 ? 255 : 32767;
  f.zero = static_cast<int32_t>(a.integer("y_zero", 0, low, high));
  f.low = static_cast<int32_t>(a.integer("clamp_min", low, low, high)) - f.zero;
  f.high = static_cast<int32_t>(a.integer("clamp_max", high, low, high)) - f.zero;
  if (f.low > f.high) throw Error(source.info.what() + ": clamp_min is above clamp_max");
  return f;
}

Residual read_residual(const OpSource& source, size_t index) {
  Residual r;
  if (!source.has(index)) return r;
  const Attributes& a = source.attributes;
  r.given = true;
  r.type = source.input(index).type;
  r.zero = code_attribute(a, "residual_zero");
  r.multiplier = a.number("residual_multiplier");
  r.intermediate = a.integer("staged", 0) != 0;
  if (!r.intermediate) return r;
  const int32_t zero = code_attribute(a, "mid_zero");
  r.intermediate_low = code_attribute(a, "mid_min") - zero;
  r.intermediate_high = code_attribute(a, "mid_max", 255) - zero;
  r.intermediate_multiplier = a.number("mid_multiplier");
  return r;
}

const float* finite_constant(const OpSource& source, size_t index, int64_t n) {
  const TensorInfo& t = source.constant(index, DType::F32, n);
  const auto* numbers = reinterpret_cast<const float*>(t.data);
  for (int64_t i = 0; i < elements(t.shape); ++i)
    if (!std::isfinite(numbers[i]))
      throw Error(source.info.what() + ": input " + std::to_string(index) + " holds NaN or infinity; compile the program again");
  return numbers;
}

}  // namespace qgraph
