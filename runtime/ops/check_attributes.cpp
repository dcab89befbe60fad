#include "ops/check_attributes.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ops/dialect_table_generated.h"
#include "program/attributes.h"

namespace qgraph {
namespace {

using Key = std::pair<std::string, std::string>;

const std::map<Key, const dialect::AttributeRange*>& ranges() {
  static const auto table = [] {
    std::map<Key, const dialect::AttributeRange*> made;
    for (const auto& row : dialect::kAttributeRanges) made[{row.op, row.attribute}] = &row;
    return made;
  }();
  return table;
}

[[noreturn]] void fail(const OpInfo& info, const std::string& name, const char* why) {
  throw Error(info.what() + ": attribute '" + name + "' " + why + "; compile the program again");
}

template <typename T>
void check_values(const OpInfo& info, const std::string& name, const dialect::AttributeRange& row, const std::vector<T>& values) {
  const bool list = row.kind == dialect::AttributeKind::Ints || row.kind == dialect::AttributeKind::Floats;
  if (!list && values.size() != 1) fail(info, name, "is of another type");
  for (const T element : values) {
    const auto value = static_cast<double>(element);
    if (!(value >= row.low && value <= row.high)) fail(info, name, "is out of range");  // nor NaN
  }
}

}  // namespace

void check_attributes(const OpInfo& info) {
  if (!info.raw->attributes()) return;
  for (const auto* attribute : *info.raw->attributes()) {
    const std::string name = text(attribute->name());
    const auto found = ranges().find({info.kind, name});
    if (found == ranges().end()) fail(info, name, "is none that this op has");
    const dialect::AttributeRange& row = *found->second;
    if (row.kind == dialect::AttributeKind::Float || row.kind == dialect::AttributeKind::Floats)
      check_values(info, name, row, numbers(attribute->floats()));
    else if (attribute->ints() != nullptr || row.kind == dialect::AttributeKind::Int)
      check_values(info, name, row, numbers(attribute->ints()));
  }
}

}  // namespace qgraph
