#include "ops/op.h"

#include "ops/dialect_table_generated.h"

namespace qgraph {

Op::Op(const OpSource& s) : kind_(s.info.kind), what_(s.info.what()) {
  for (const auto& row : dialect::kKnownInputs)
    if (kind_ == row.op) known_inputs_ |= uint64_t{1} << row.input;
}

bool Op::needs_known(size_t input) const { return input < 64 && (known_inputs_ >> input & 1) != 0; }

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
    fail("input " + std::to_string(i) + " must be int64 or int32, and known");
  if (t.type == DType::I32) return {t.as<int32_t>(), t.as<int32_t>() + t.size()};
  const auto* p = t.as<int64_t>();
  return {p, p + t.size()};
}

}  // namespace qgraph
