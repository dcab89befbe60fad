#include "program/validate.h"

#include <algorithm>

#include "program/attributes.h"

namespace qgraph {
namespace {

// What the graphs of one file have in common.
struct Reader {
  const std::string& path;
  const uint8_t* data;
  size_t size;
  uint64_t weights = 0;
  size_t tables_left = 0;  // a damaged file can let many graphs lie in the same bytes
  ProgramTables tables;

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
    weights = program.weights_offset();
    tables_left = size / 8;
    return program;
  }

  void count_table() {
    if (tables_left-- == 0) damaged(path, "it holds more tables than fit in it");
  }
};

class GraphReader {
 public:
  GraphReader(Reader& file, int depth) : file_(file), path_(file.path), depth_(depth) {
    if (depth > kMaxDepth) damaged(path_, "programs lie deeper in one another than " + std::to_string(kMaxDepth));
  }

  // `G` is a Program or a Graph of the schema.
  template <typename G>
  GraphInfo read(const G& g) {
    if (!g.tensors() || !g.ops() || !g.inputs() || !g.outputs()) damaged(path_, "a table is missing");
    for (const auto* t : *g.tensors()) tensor(*t);
    for (int i : *g.inputs()) input(i);
    for (const auto* o : *g.ops()) op(*o);
    for (int i : *g.outputs()) output(i);
    return std::move(graph_);
  }

 private:
  void constant(const schema::Tensor& t, TensorInfo& info) {
    for (int64_t d : info.shape)
      if (d < 0 || d > (int64_t{1} << 40)) damaged(path_, "constant '" + info.name + "' has a bad shape");
    const uint64_t bytes = (static_cast<uint64_t>(elements(info.shape)) * bits(info.type) + 7) / 8,
                   room = file_.size - file_.weights;
    const bool dense = t.encoding() == schema::Encoding::Dense;
    if ((dense && t.size() != bytes) || t.offset() > room || t.size() > room - t.offset() || t.offset() % 64 != 0)
      damaged(path_, "constant '" + info.name + "' lies outside the file");
    info.data = file_.data + file_.weights + t.offset();
    info.bytes = bytes;
    if (!dense) {
      using schema::Encoding;
      const bool codes = info.type == DType::I8 || info.type == DType::I4 || info.type == DType::I2;
      const bool known = t.encoding() == Encoding::Scaled || t.encoding() == Encoding::Dequantized
                             ? info.type == DType::F32
                             : codes && (t.encoding() == Encoding::Bitmap || t.encoding() == Encoding::Groups);
      if (!known) damaged(path_, "constant '" + info.name + "' has an unknown encoding");
      info.encoded = static_cast<int>(file_.tables.encoded.size());
      file_.tables.encoded.push_back({t.encoding(), info.data, t.size(), t.factor()});
    }
    file_.tables.weight_bytes += bytes;
  }

  void tensor(const schema::Tensor& t) {
    file_.count_table();
    TensorInfo info;
    info.name = text(t.name());
    if (t.type() < schema::Type::MIN || t.type() > schema::Type::MAX) damaged(path_, "a tensor has an unknown type");
    info.type = static_cast<DType>(t.type());
    info.shape = numbers(t.shape());
    if (info.shape.size() > kMaxRank) damaged(path_, "tensor '" + info.name + "' has more than 8 dims");
    if (t.symbols())
      for (const auto* s : *t.symbols()) info.symbols.push_back(text(s));
    if (t.constant()) {
      constant(t, info);
    } else {
      for (int64_t d : info.shape)
        if (d < -1) damaged(path_, "tensor '" + info.name + "' has a bad shape");
    }
    written_.push_back(t.constant());
    graph_.tensors.push_back(std::move(info));
  }

  int count() const { return static_cast<int>(graph_.tensors.size()); }
  bool is_written(int i) const { return written_[static_cast<size_t>(i)]; }
  int width(int i) const { return bits(graph_.tensors[static_cast<size_t>(i)].type); }

  void input(int i) {
    if (i < 0 || i >= count() || is_written(i)) damaged(path_, "an input is out of range");
    if (width(i) < 8) damaged(path_, "an input has a packed type");
    written_[static_cast<size_t>(i)] = true;
    graph_.inputs.push_back(i);
  }

  void op(const schema::Op& op) {
    file_.count_table();
    OpInfo info;
    info.kind = text(op.kind());
    info.name = text(op.name());
    info.raw = &op;
    if (op.inputs())
      for (int i : *op.inputs()) {
        if (i < -1 || i >= count() || (i >= 0 && !is_written(i)))
          damaged(path_, info.what() + " reads a tensor that is not there");
        info.inputs.push_back(i);
      }
    if (op.outputs())
      for (int i : *op.outputs()) {
        if (i < 0 || i >= count() || is_written(i) || width(i) < 8)
          damaged(path_, info.what() + " writes a tensor that it may not");
        written_[static_cast<size_t>(i)] = true;
        info.outputs.push_back(i);
      }
    if (info.outputs.empty()) damaged(path_, info.what() + " has no output");
    if (op.graphs())
      for (const auto* g : *op.graphs()) {
        file_.count_table();
        info.graphs.push_back(GraphReader(file_, depth_ + 1).read(*g));
      }
    graph_.ops.push_back(std::move(info));
  }

  void output(int i) {
    if (i < 0 || i >= count() || !is_written(i)) damaged(path_, "an output is never written");
    graph_.outputs.push_back(i);
  }

  Reader& file_;
  const std::string& path_;
  int depth_;
  GraphInfo graph_;
  std::vector<bool> written_;  // whether a tensor has a value by now
};

}  // namespace

void damaged(const std::string& path, const std::string& why) {
  throw Error("cannot load " + path + ": " + why + "; compile the program again");
}

ProgramTables read_tables(const std::string& path, const uint8_t* data, size_t size) {
  Reader reader{path, data, size, 0, 0, {}};
  const schema::Program& program = reader.header();
  reader.tables.graph = GraphReader(reader, 1).read(program);
  if (program.metadata())
    for (const auto* e : *program.metadata()) reader.tables.metadata.emplace_back(text(e->key()), text(e->value()));
  return std::move(reader.tables);
}

}  // namespace qgraph
