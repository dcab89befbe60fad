#include "tooling/write.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "program/tables.h"

namespace qgraph {
namespace {

using flatbuffers::FlatBufferBuilder;

uint64_t aligned(uint64_t n) { return (n + 63) / 64 * 64; }

// Lays the tables of a program out; constants get their places in the order in which they are met.
class Writer {
 public:
  flatbuffers::DetachedBuffer program(const ProgramSpec& spec, uint64_t weights_offset, uint64_t file_size) {
    const Parts parts = graph(spec);
    std::vector<flatbuffers::Offset<schema::Entry>> entries;
    for (const auto& [key, value] : spec.metadata)
      entries.push_back(schema::CreateEntry(b_, b_.CreateString(key), b_.CreateString(value)));
    const auto metadata = b_.CreateVector(entries);
    schema::ProgramBuilder program(b_);
    b_.ForceDefaults(true);  // both passes must have one size
    program.add_version(kProgramVersion);
    program.add_tensors(parts.tensors);
    program.add_ops(parts.ops);
    program.add_inputs(parts.inputs);
    program.add_outputs(parts.outputs);
    program.add_metadata(metadata);
    program.add_weights_offset(weights_offset);
    program.add_file_size(file_size);
    schema::FinishProgramBuffer(b_, program.Finish());
    return b_.Release();
  }

 private:
  template <typename T>
  using Tables = flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<T>>>;
  using Indices = flatbuffers::Offset<flatbuffers::Vector<int>>;
  struct Parts {
    Tables<schema::Tensor> tensors;
    Tables<schema::Op> ops;
    Indices inputs, outputs;
  };

  Parts graph(const GraphSpec& spec) {
    std::vector<flatbuffers::Offset<schema::Tensor>> tensors;
    for (const auto& t : spec.tensors) tensors.push_back(tensor(t));
    std::vector<flatbuffers::Offset<schema::Op>> ops;
    for (const auto& op : spec.ops) ops.push_back(this->op(op));
    const auto v_tensors = b_.CreateVector(tensors);
    const auto v_ops = b_.CreateVector(ops);
    const auto v_in = b_.CreateVector(spec.inputs);
    return {v_tensors, v_ops, v_in, b_.CreateVector(spec.outputs)};
  }

  flatbuffers::Offset<schema::Tensor> tensor(const TensorSpec& t) {
    const bool own = t.constant && t.shares < 0;
    places_.push_back(t.shares >= 0 ? places_[static_cast<size_t>(t.shares)] : own ? end_ : 0);
    if (own) end_ = aligned(end_ + t.bytes);
    const auto name = b_.CreateString(t.name);
    const auto shape = b_.CreateVector(t.shape);
    const auto symbols = b_.CreateVectorOfStrings(t.symbols);
    return schema::CreateTensor(b_, name, static_cast<schema::Type>(t.type), static_cast<int>(t.shape.size()), shape, symbols,
                                t.constant, places_.back(), t.constant ? t.bytes : 0, static_cast<schema::Encoding>(t.encoding),
                                t.factor);
  }

  flatbuffers::Offset<schema::Op> op(const OpSpec& op) {
    std::vector<flatbuffers::Offset<schema::Attribute>> attributes;
    for (const auto& [key, values] : op.ints)
      attributes.push_back(schema::CreateAttribute(b_, b_.CreateString(key), b_.CreateVector(values)));
    for (const auto& [key, values] : op.floats)
      attributes.push_back(schema::CreateAttribute(b_, b_.CreateString(key), 0, b_.CreateVector(values)));
    std::vector<flatbuffers::Offset<schema::Graph>> graphs;
    for (const GraphSpec& nested : op.graphs) {
      const Parts parts = graph(nested);
      graphs.push_back(schema::CreateGraph(b_, parts.tensors, parts.ops, parts.inputs, parts.outputs));
    }
    return schema::CreateOp(b_, b_.CreateString(op.kind), b_.CreateString(op.name), b_.CreateVector(op.inputs),
                            b_.CreateVector(op.outputs), b_.CreateVector(attributes),
                            graphs.empty() ? Tables<schema::Graph>{} : b_.CreateVector(graphs));
  }

  FlatBufferBuilder b_;
  std::vector<uint64_t> places_;  // of the constants' bytes
  uint64_t end_ = 0;
};

// The constants that have bytes of their own, in the order of their places.
void collect(const GraphSpec& graph, std::vector<const TensorSpec*>& constants) {
  for (const auto& t : graph.tensors)
    if (t.constant && t.shares < 0) constants.push_back(&t);
  for (const auto& op : graph.ops)
    for (const auto& nested : op.graphs) collect(nested, constants);
}

}  // namespace

void write_program(const ProgramSpec& spec, const std::string& path) {
  std::vector<const TensorSpec*> constants;
  collect(spec, constants);
  uint64_t weights = 0;
  for (const TensorSpec* t : constants) weights = aligned(weights + t->bytes);
  const uint64_t start = aligned(Writer().program(spec, 0, 0).size());
  const auto buffer = Writer().program(spec, start, start + weights);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
  auto fail = [&] { throw Error("cannot write " + path + ": " + std::strerror(errno)); };
  if (!file) fail();
  const std::vector<uint8_t> zeros(64);
  auto put = [&](const void* data, size_t bytes) {
    if (bytes != 0 && std::fwrite(data, 1, bytes, file.get()) != bytes) fail();
    const size_t rest = aligned(bytes) - bytes;
    if (rest != 0 && std::fwrite(zeros.data(), 1, rest, file.get()) != rest) fail();
  };
  put(buffer.data(), buffer.size());
  for (const TensorSpec* t : constants) put(t->data, t->bytes);
  std::FILE* raw = file.release();
  if (std::fclose(raw) != 0) fail();
}

}  // namespace qgraph
