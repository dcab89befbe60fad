#include "program/attributes.h"

#include <cmath>

#include "qgraph/runtime.h"

namespace qgraph {

std::string text(const flatbuffers::String* s) { return s == nullptr ? std::string() : s->str(); }

Attributes::Attributes(const schema::Op* op, std::string what) : what_(std::move(what)) {
  if (op->attributes())
    for (const auto* a : *op->attributes()) found_[text(a->name())] = a;
}

std::vector<int64_t> Attributes::integers(const char* name) const {
  auto it = found_.find(name);
  return it == found_.end() ? std::vector<int64_t>() : numbers(it->second->ints());
}

std::vector<float> Attributes::floats(const char* name) const {
  auto it = found_.find(name);
  return it == found_.end() ? std::vector<float>() : numbers(it->second->floats());
}

int64_t Attributes::integer(const char* name) const {
  const auto values = integers(name);
  if (values.size() != 1) throw Error(what_ + " has no attribute '" + name + "'; compile the program again");
  return values[0];
}

int64_t Attributes::integer(const char* name, int64_t otherwise) const { return has(name) ? integer(name) : otherwise; }

int64_t Attributes::integer(const char* name, int64_t otherwise, int64_t low, int64_t high) const {
  const int64_t value = integer(name, otherwise);
  if (value < low || value > high) throw Error(what_ + ": attribute '" + name + "' is out of range; compile the program again");
  return value;
}

float Attributes::number(const char* name) const {
  auto it = found_.find(name);
  if (it == found_.end() || !it->second->floats() || it->second->floats()->size() != 1)
    throw Error(what_ + " has no attribute '" + name + "'; compile the program again");
  const float value = it->second->floats()->Get(0);
  if (!std::isfinite(value)) throw Error(what_ + ": attribute '" + name + "' is not finite; compile the program again");
  return value;
}

float Attributes::number(const char* name, float otherwise) const { return has(name) ? number(name) : otherwise; }

}  // namespace qgraph
