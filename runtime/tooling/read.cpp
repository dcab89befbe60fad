#include "tooling/read.h"

#include "program/attributes.h"
#include "program/file.h"

namespace qgraph {

namespace {

GraphSpec contents_of(Program& program, GraphInfo& graph, std::list<std::vector<uint8_t>>& bytes) {
  GraphSpec spec;
  for (TensorInfo& t : graph.tensors) {
    program.expand(t);
    TensorSpec made{t.name, t.type, t.shape, t.symbols, t.data != nullptr};
    const bool sparse = t.encoded >= 0 && program.encoded()[static_cast<size_t>(t.encoded)].encoding != schema::Encoding::Scaled;
    made.encoding = sparse ? 1 : 0;
    if (made.constant) {
      const auto& copy = bytes.emplace_back(t.data, t.data + t.bytes);
      made.data = copy.data();
      made.bytes = copy.size();
    }
    spec.tensors.push_back(std::move(made));
    program.release(t);
  }
  for (OpInfo& op : graph.ops) {
    OpSpec made{op.kind, op.name, op.inputs, op.outputs, {}, {}, {}};
    if (op.raw->attributes())
      for (const auto* a : *op.raw->attributes()) {
        const std::string name = text(a->name());
        if (auto values = numbers(a->ints()); !values.empty()) made.ints.emplace_back(name, std::move(values));
        if (auto values = numbers(a->floats()); !values.empty()) made.floats.emplace_back(name, std::move(values));
      }
    for (GraphInfo& nested : op.graphs) made.graphs.push_back(contents_of(program, nested, bytes));
    spec.ops.push_back(std::move(made));
  }
  spec.inputs = graph.inputs;
  spec.outputs = graph.outputs;
  return spec;
}

}  // namespace

ProgramContents read_program(const std::string& path) {
  Program program(path);
  ProgramContents contents;
  static_cast<GraphSpec&>(contents.spec) = contents_of(program, program.graph(), contents.bytes);
  contents.spec.metadata = program.metadata();
  return contents;
}

}  // namespace qgraph
