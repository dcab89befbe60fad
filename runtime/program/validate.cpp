#include "program/validate.h"

#include <algorithm>

#include "program/attributes.h"

namespace qgraph {
namespace {

struct Reader {
  const std::string& path;
  const uint8_t* data;
  size_t size;
  ProgramTables tables;
  std::vector<bool> written;  // whether a tensor has a value by now

  const schema::Program& header() {
    if (size < 16 || !schema::ProgramBufferHasIdentifier(data)) damaged(path, "it is not a qgraph program");
    constexpr size_t kLimit = FLATBUFFERS_MAX_BUFFER_SIZE;
    flatbuffers::Verifier verifier(data, std::min(size, kLimit), 64, 50'000'000);
    if (!schema::VerifyProgramBuffer(verifier)) damaged(path, "it is cut short or damaged");
    const schema::Program& program = *schema::GetProgram(data);
    if (program.version() != kProgramVersion)
      damaged(path, "it is of version " + std::to_string(program.version()) + ", this runtime reads version " +
                        std::to_string(kProgramVersion));
    if (program.file_size() != size) damaged(path, "it is cut short");
    if (program.weights_offset() > size || program.weights_offset() % 64 != 0) damaged(path, "its weights lie outside the file");
    if (!program.tensors() || !program.ops() || !program.inputs() || !program.outputs()) damaged(path, "a table is missing");
    return program;
  }

  void constant(const schema::Tensor& t, uint64_t weights, TensorInfo& info) {
    for (int64_t d : info.shape)
      if (d < 0 || d > (int64_t{1} << 40)) damaged(path, "constant '" + info.name + "' has a bad shape");
    const uint64_t bytes = (static_cast<uint64_t>(elements(info.shape)) * bits(info.type) + 7) / 8, room = size - weights;
    const bool dense = t.encoding() == schema::Encoding::Dense;
    if ((dense && t.size() != bytes) || t.offset() > room || t.size() > room - t.offset() || t.offset() % 64 != 0)
      damaged(path, "constant '" + info.name + "' lies outside the file");
    info.data = data + weights + t.offset();
    info.bytes = bytes;
    if (!dense) {
      using schema::Encoding;
      const bool codes = info.type == DType::I8 || info.type == DType::I4 || info.type == DType::I2;
      const bool known = t.encoding() == Encoding::Scaled || t.encoding() == Encoding::Dequantized
                             ? info.type == DType::F32
                             : codes && (t.encoding() == Encoding::Bitmap || t.encoding() == Encoding::Groups);
      if (!known) damaged(path, "constant '" + info.name + "' has an unknown encoding");
      info.encoded = static_cast<int>(tables.encoded.size());
      tables.encoded.push_back({t.encoding(), info.data, t.size(), t.factor()});
    }
    tables.weight_bytes += bytes;
  }

  void tensor(const schema::Tensor& t, uint64_t weights) {
    TensorInfo info;
    info.name = text(t.name());
    if (t.type() < schema::Type::MIN || t.type() > schema::Type::MAX) damaged(path, "a tensor has an unknown type");
    info.type = static_cast<DType>(t.type());
    info.shape = numbers(t.shape());
    if (info.shape.size() > kMaxRank) damaged(path, "tensor '" + info.name + "' has more than 8 dims");
    if (t.symbols())
      for (const auto* s : *t.symbols()) info.symbols.push_back(text(s));
    if (t.constant()) {
      constant(t, weights, info);
    } else {
      for (int64_t d : info.shape)
        if (d < -1) damaged(path, "tensor '" + info.name + "' has a bad shape");
    }
    written.push_back(t.constant());
    tables.tensors.push_back(std::move(info));
  }

  int count() const { return static_cast<int>(tables.tensors.size()); }
  bool is_written(int i) const { return written[static_cast<size_t>(i)]; }
  int width(int i) const { return bits(tables.tensors[static_cast<size_t>(i)].type); }

  void input(int i) {
    if (i < 0 || i >= count() || is_written(i)) damaged(path, "an input is out of range");
    if (width(i) < 8) damaged(path, "an input has a packed type");
    written[static_cast<size_t>(i)] = true;
    tables.inputs.push_back(i);
  }

  void op(const schema::Op& op) {
    OpInfo info;
    info.kind = text(op.kind());
    info.name = text(op.name());
    info.raw = &op;
    if (op.inputs())
      for (int i : *op.inputs()) {
        if (i < -1 || i >= count() || (i >= 0 && !is_written(i)))
          damaged(path, info.what() + " reads a tensor that is not there");
        info.inputs.push_back(i);
      }
    if (op.outputs())
      for (int i : *op.outputs()) {
        if (i < 0 || i >= count() || is_written(i) || width(i) < 8)
          damaged(path, info.what() + " writes a tensor that it may not");
        written[static_cast<size_t>(i)] = true;
        info.outputs.push_back(i);
      }
    if (info.outputs.empty()) damaged(path, info.what() + " has no output");
    tables.ops.push_back(std::move(info));
  }

  void output(int i) {
    if (i < 0 || i >= count() || !is_written(i)) damaged(path, "an output is never written");
    tables.outputs.push_back(i);
  }
};

}  // namespace

void damaged(const std::string& path, const std::string& why) {
  throw Error("cannot load " + path + ": " + why + "; compile the program again");
}

ProgramTables read_tables(const std::string& path, const uint8_t* data, size_t size) {
  Reader reader{path, data, size, {}, {}};
  const schema::Program& program = reader.header();
  for (const auto* t : *program.tensors()) reader.tensor(*t, program.weights_offset());
  for (int i : *program.inputs()) reader.input(i);
  for (const auto* op : *program.ops()) reader.op(*op);
  for (int i : *program.outputs()) reader.output(i);
  if (program.metadata())
    for (const auto* e : *program.metadata()) reader.tables.metadata.emplace_back(text(e->key()), text(e->value()));
  return std::move(reader.tables);
}

}  // namespace qgraph
