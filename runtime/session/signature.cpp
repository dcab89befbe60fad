#include "session/signature.h"

#include <map>

namespace qgraph {
namespace {

std::string show(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace

std::vector<Signature> signatures_of(const std::vector<TensorInfo>& tensors, const std::vector<int>& indices) {
  std::vector<Signature> signatures;
  for (int i : indices) {
    const TensorInfo& t = tensors[static_cast<size_t>(i)];
    signatures.push_back({t.name, t.type, t.shape, t.symbols});
  }
  return signatures;
}

void check_shapes(const std::vector<Signature>& inputs, const std::vector<Shape>& shapes) {
  if (shapes.size() != inputs.size())
    throw Error("the program takes " + std::to_string(inputs.size()) + " inputs, " + std::to_string(shapes.size()) +
                " were given");
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

void check_types(const std::vector<Signature>& inputs, const std::vector<Array>& arrays) {
  for (size_t i = 0; i < arrays.size() && i < inputs.size(); ++i)
    if (arrays[i].type != inputs[i].type)
      throw Error("input '" + inputs[i].name + "' is " + name(arrays[i].type) + ", the program takes " + name(inputs[i].type));
}

}  // namespace qgraph
