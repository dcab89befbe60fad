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

flatbuffers::DetachedBuffer build(const ProgramSpec& spec, uint64_t weights_offset, uint64_t file_size) {
  FlatBufferBuilder b;
  std::vector<flatbuffers::Offset<schema::Tensor>> tensors;
  std::vector<uint64_t> places;  // of the constants' bytes
  uint64_t end = 0;
  for (const auto& t : spec.tensors) {
    const bool own = t.constant && t.shares < 0;
    places.push_back(t.shares >= 0 ? places[static_cast<size_t>(t.shares)] : own ? end : 0);
    if (own) end = aligned(end + t.bytes);
    const auto name = b.CreateString(t.name);
    const auto shape = b.CreateVector(t.shape);
    const auto symbols = b.CreateVectorOfStrings(t.symbols);
    tensors.push_back(schema::CreateTensor(b, name, static_cast<schema::Type>(t.type), static_cast<int>(t.shape.size()), shape,
                                           symbols, t.constant, places.back(), t.constant ? t.bytes : 0,
                                           static_cast<schema::Encoding>(t.encoding), t.factor));
  }
  std::vector<flatbuffers::Offset<schema::Op>> ops;
  for (const auto& op : spec.ops) {
    std::vector<flatbuffers::Offset<schema::Attribute>> attributes;
    for (const auto& [key, values] : op.ints)
      attributes.push_back(schema::CreateAttribute(b, b.CreateString(key), b.CreateVector(values)));
    for (const auto& [key, values] : op.floats)
      attributes.push_back(schema::CreateAttribute(b, b.CreateString(key), 0, b.CreateVector(values)));
    ops.push_back(schema::CreateOp(b, b.CreateString(op.kind), b.CreateString(op.name), b.CreateVector(op.inputs),
                                   b.CreateVector(op.outputs), b.CreateVector(attributes)));
  }
  std::vector<flatbuffers::Offset<schema::Entry>> entries;
  for (const auto& [key, value] : spec.metadata)
    entries.push_back(schema::CreateEntry(b, b.CreateString(key), b.CreateString(value)));
  const auto v_tensors = b.CreateVector(tensors);
  const auto v_ops = b.CreateVector(ops);
  const auto v_in = b.CreateVector(spec.inputs);
  const auto v_out = b.CreateVector(spec.outputs);
  const auto v_meta = b.CreateVector(entries);
  schema::ProgramBuilder program(b);
  b.ForceDefaults(true);  // both passes must have one size
  program.add_version(kProgramVersion);
  program.add_tensors(v_tensors);
  program.add_ops(v_ops);
  program.add_inputs(v_in);
  program.add_outputs(v_out);
  program.add_metadata(v_meta);
  program.add_weights_offset(weights_offset);
  program.add_file_size(file_size);
  schema::FinishProgramBuffer(b, program.Finish());
  return b.Release();
}

}  // namespace

void write_program(const ProgramSpec& spec, const std::string& path) {
  uint64_t weights = 0;
  for (const auto& t : spec.tensors)
    if (t.constant && t.shares < 0) weights = aligned(weights + t.bytes);
  const uint64_t start = aligned(build(spec, 0, 0).size());
  const auto buffer = build(spec, start, start + weights);
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
  for (const auto& t : spec.tensors)
    if (t.constant && t.shares < 0) put(t.data, t.bytes);
  std::FILE* raw = file.release();
  if (std::fclose(raw) != 0) fail();
}

}  // namespace qgraph
