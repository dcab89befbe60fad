#include "ops/op.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace qgraph {

const TensorInfo& OpSource::constant(size_t i, DType type, int64_t n) const {
  const TensorInfo& t = input(i);
  if (t.data == nullptr || t.type != type || (n >= 0 && elements(t.shape) != n))
    throw Error(info.what() + ": input " + std::to_string(i) + " must be a constant of type " + name(type) +
                (n >= 0 ? " with " + std::to_string(n) + " elements" : "") + "; compile the program again");
  return t;
}

std::unique_ptr<Op> make_op(const OpSource& source) {
  static const auto factories = [] {
    OpTable table;
    add_linear_ops(table);
    add_conv_ops(table);
    add_attention_ops(table);
    add_pointwise_ops(table);
    add_norm_ops(table);
    add_pool_ops(table);
    add_movement_ops(table);
    add_index_ops(table);
    add_resize_ops(table);
    return std::unordered_map<std::string, OpFactory>(table.begin(), table.end());
  }();
  auto it = factories.find(source.info.kind);
  if (it == factories.end())
    throw Error("this runtime has no op '" + source.info.kind + "'; use the runtime that belongs to the compiler");
  return it->second(source);
}

Epilogue output_epilogue(const OpSource& source) {
  Epilogue e;
  e.type = source.output_type();
  const Attributes& a = source.attributes;
  if (e.type == DType::F32) return e;
  if (e.type != DType::U8 && e.type != DType::I16)
    throw Error(source.info.what() + ": the output cannot be " + name(e.type) + "; compile the program again");
  const int64_t low = e.type == DType::U8 ? 0 : -32768, high = e.type == DType::U8 ? 255 : 32767;
  e.zero = static_cast<int32_t>(a.integer("y_zero", 0, low, high));
  e.low = static_cast<float>(a.integer("clamp_min", low, low, high) - e.zero);
  e.high = static_cast<float>(a.integer("clamp_max", high, low, high) - e.zero);
  if (e.low > e.high) throw Error(source.info.what() + ": clamp_min is above clamp_max");
  return e;
}

bool is_bounded(const Epilogue& e, int64_t n) {
  if (e.multiplier_stride == 0) n = 1;
  for (int64_t c = 0; c < n; ++c)
    if (!(std::abs(e.multiplier[c]) < 0.5f)) return false;  // nor NaN
  // times 17 bits these are below 2^30, as the above times 32 bits
  return std::abs(e.residual_multiplier) < 8192 && std::abs(e.mid_multiplier) < 8192;
}

std::vector<int32_t> fold_zero_point(Epilogue& e, const int32_t* column_sums, int64_t n, int32_t x_zero) {
  std::vector<int32_t> folded(static_cast<size_t>(n));
  for (int64_t c = 0; c < n; ++c) {
    const int64_t bias = (e.bias == nullptr ? 0 : int64_t{e.bias[c]}) - int64_t{x_zero} * column_sums[c];
    folded[static_cast<size_t>(c)] = static_cast<int32_t>(bias);  // modulo 2^32, as the sum that it joins
  }
  e.bias = folded.data();
  return folded;
}

bool read_residual(const OpSource& source, size_t index, Epilogue& e) {
  if (!source.has(index)) return false;
  const Attributes& a = source.attributes;
  e.residual_type = source.input(index).type;
  e.residual_zero = static_cast<int32_t>(a.integer("residual_zero", 0, -32768, 32767));
  e.residual_multiplier = a.number("residual_multiplier");
  e.staged = a.integer("staged", 0, 0, 1) != 0;
  if (!e.staged) return true;
  const int64_t zero = a.integer("mid_zero", 0, -32768, 32767);
  e.mid_low = static_cast<float>(a.integer("mid_min", 0, -32768, 32767) - zero);
  e.mid_high = static_cast<float>(a.integer("mid_max", 255, -32768, 32767) - zero);
  e.mid_multiplier = a.number("mid_multiplier");
  return true;
}

std::vector<int64_t> strides_of(const Shape& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

Shape broadcast(const Shape& a, const Shape& b, const std::string& what) {
  Shape out(std::max(a.size(), b.size()));
  for (size_t i = 1; i <= out.size(); ++i) {
    const int64_t x = i <= a.size() ? a[a.size() - i] : 1, y = i <= b.size() ? b[b.size() - i] : 1;
    if (x != y && x != 1 && y != 1) throw Error(what + ": shapes do not broadcast");
    out[out.size() - i] = x == 1 ? y : x;
  }
  return out;
}

}  // namespace qgraph
