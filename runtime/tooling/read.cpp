#include "tooling/read.h"

#include "program/attributes.h"
#include "program/file.h"

namespace qgraph {

ProgramContents read_program(const std::string& path) {
  Program program(path);
  ProgramContents contents;
  ProgramSpec& spec = contents.spec;
  for (size_t i = 0; i < program.tensors().size(); ++i) {
    program.expand(static_cast<int>(i));
    const TensorInfo& t = program.tensors()[i];
    TensorSpec made{t.name, t.type, t.shape, t.symbols, t.data != nullptr};
    const bool sparse = t.encoded >= 0 && program.encoded()[static_cast<size_t>(t.encoded)].encoding != schema::Encoding::Scaled;
    made.encoding = sparse ? 1 : 0;
    if (made.constant) {
      const auto& copy = contents.bytes.emplace_back(t.data, t.data + t.bytes);
      made.data = copy.data();
      made.bytes = copy.size();
    }
    spec.tensors.push_back(std::move(made));
    program.release(static_cast<int>(i));
  }
  for (const OpInfo& op : program.ops()) {
    OpSpec made{op.kind, op.name, op.inputs, op.outputs, {}, {}};
    if (op.raw->attributes())
      for (const auto* a : *op.raw->attributes()) {
        const std::string name = text(a->name());
        if (auto values = numbers(a->ints()); !values.empty()) made.ints.emplace_back(name, std::move(values));
        if (auto values = numbers(a->floats()); !values.empty()) made.floats.emplace_back(name, std::move(values));
      }
    spec.ops.push_back(std::move(made));
  }
  spec.inputs = program.inputs();
  spec.outputs = program.outputs();
  spec.metadata = program.metadata();
  return contents;
}

}  // namespace qgraph
