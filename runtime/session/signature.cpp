#include "session/signature.h"

#include <algorithm>
#include <map>

namespace qgraph {

std::string show(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::vector<Signature> signatures_of(const std::vector<TensorInfo>& tensors, const std::vector<int>& indices) {
  std::vector<Signature> signatures;
  for (int i : indices) {
    const TensorInfo& t = tensors[static_cast<size_t>(i)];
    signatures.push_back({t.name, t.type, t.shape, t.symbols});
  }
  return signatures;
}

void check_shapes(const std::vector<Signature>& inputs, const std::vector<Shape>& shapes) {
  check_count(inputs, shapes.size());
  std::map<std::string, std::pair<int64_t, std::string>> bound;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Signature& want = inputs[i];
    if (shapes[i].size() != want.shape.size())
      throw Error("input '" + want.name + "' has " + std::to_string(shapes[i].size()) + " dims, " +
                  std::to_string(want.shape.size()) + " are needed");
    for (size_t d = 0; d < want.shape.size(); ++d) {
      if (shapes[i][d] < 0 || (want.shape[d] >= 0 && shapes[i][d] != want.shape[d]))
        throw Error("input '" + want.name + "' has shape " + show(shapes[i]) + ", the program takes " + show(want.shape) +
                    " (-1 is free)");
      if (want.shape[d] >= 0 || d >= want.symbols.size() || want.symbols[d].empty()) continue;
      auto [it, fresh] = bound.try_emplace(want.symbols[d], shapes[i][d], want.name);
      if (!fresh && it->second.first != shapes[i][d])
        throw Error("dim '" + want.symbols[d] + "' is " + std::to_string(it->second.first) + " in input '" + it->second.second +
                    "' and " + std::to_string(shapes[i][d]) + " in input '" + want.name + "'; they must be equal");
    }
  }
}

void check_count(const std::vector<Signature>& inputs, size_t given) {
  if (given != inputs.size())
    throw Error("the program takes " + std::to_string(inputs.size()) + " inputs, " + std::to_string(given) + " were given");
}

void check_type(const Signature& input, DType type) {
  if (type != input.type) throw Error("input '" + input.name + "' is " + name(type) + ", the program takes " + name(input.type));
}

bool fits(const Signature& input, const Shape& shape) {
  if (shape.size() != input.shape.size()) return false;
  for (size_t d = 0; d < shape.size(); ++d)
    if (input.shape[d] >= 0 && shape[d] != input.shape[d]) return false;
  return true;
}

Shape free_dims_set(const std::vector<Signature>& inputs, size_t input, const std::vector<Shape>& shapes) {
  const auto symbol = [&](size_t i, size_t d) {
    const auto& symbols = inputs[i].symbols;
    return inputs[i].shape[d] < 0 && d < symbols.size() ? symbols[d] : std::string();
  };
  Shape shape = inputs[input].shape;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] >= 0) continue;
    shape[d] = 0;
    const std::string wanted = symbol(input, d);
    for (size_t i = 0; i < inputs.size() && !wanted.empty(); ++i)
      for (size_t k = 0; k < std::min(shapes[i].size(), inputs[i].shape.size()); ++k)
        if (symbol(i, k) == wanted) shape[d] = shapes[i][k];
  }
  return shape;
}

size_t index_of(const std::vector<Signature>& signatures, const std::string& name, const char* what) {
  std::string known;
  for (size_t i = 0; i < signatures.size(); ++i) {
    if (signatures[i].name == name) return i;
    known += (i == 0 ? "" : ", ") + signatures[i].name;
  }
  throw Error("the program has no " + std::string(what) + " '" + name + "'; it has " + (known.empty() ? "none" : known));
}

}  // namespace qgraph
