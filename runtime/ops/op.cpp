#include "ops/op.h"

namespace qgraph {

const TensorInfo& OpSource::input(size_t i) const {
  if (!has(i)) throw Error(info.what() + " misses input " + std::to_string(i) + "; compile the program again");
  return tensors[static_cast<size_t>(info.inputs[i])];
}

const TensorInfo& OpSource::constant(size_t i, DType type, int64_t n) const {
  const TensorInfo& t = input(i);
  if (t.data == nullptr || t.type != type || (n >= 0 && elements(t.shape) != n))
    throw Error(info.what() + ": input " + std::to_string(i) + " must be a constant of type " + name(type) +
                (n >= 0 ? " with " + std::to_string(n) + " elements" : "") + "; compile the program again");
  return t;
}

const Tensor& Op::in(const Values& v, size_t i, std::initializer_list<DType> types) const {
  if (i >= v.in.size() || v.in[i] == nullptr) fail("input " + std::to_string(i) + " is missing");
  const Tensor& t = *v.in[i];
  for (DType type : types)
    if (t.type == type) return t;
  if (types.size() != 0) fail("input " + std::to_string(i) + " is " + name(t.type) + ", which this op does not take");
  return t;
}

Tensor& Op::out(const Values& v, size_t i) const {
  if (i >= v.out.size()) fail("output " + std::to_string(i) + " is missing");
  return *v.out[i];
}

std::vector<int64_t> Op::known_integers(const Values& v, size_t i) const {
  const Tensor& t = in(v, i);
  if (!t.known || (t.type != DType::I64 && t.type != DType::I32))
    fail("a shape or index depends on the data, not on the input shapes; this cannot be planned");
  if (t.type == DType::I32) return {t.as<int32_t>(), t.as<int32_t>() + t.size()};
  const auto* p = t.as<int64_t>();
  return {p, p + t.size()};
}

}  // namespace qgraph
