// What a program file says about an op, and the fields of its tables.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "program_generated.h"

namespace qgraph {

/// The elements of a vector, none where it is absent; copied, since the FlatBuffers verifier does not look at the alignment of
/// 8-byte elements.
template <typename T>
std::vector<T> numbers(const flatbuffers::Vector<T>* v) {
  std::vector<T> out(v == nullptr ? 0 : v->size());
  if (!out.empty()) std::memcpy(out.data(), v->Data(), out.size() * sizeof(T));
  return out;
}
/// The text, empty where it is absent.
std::string text(const flatbuffers::String* s);

/// Attributes of one op with checked access; `what` names the op in errors. Their ranges are checked before (check_attributes).
class Attributes {
 public:
  Attributes(const schema::Op* op, std::string what);
  int64_t integer(const char* name) const;
  int64_t integer(const char* name, int64_t otherwise) const;
  /// The same between `low` and `high`, which depend on the types of the op's values.
  int64_t integer(const char* name, int64_t otherwise, int64_t low, int64_t high) const;
  float number(const char* name) const;
  float number(const char* name, float otherwise) const;
  std::vector<int64_t> integers(const char* name) const;
  std::vector<float> floats(const char* name) const;
  bool has(const char* name) const { return found_.count(name) != 0; }

 private:
  std::map<std::string, const schema::Attribute*> found_;
  std::string what_;
};

}  // namespace qgraph
