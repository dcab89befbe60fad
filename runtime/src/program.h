// A program file in memory: mapped, verified, its constants ready to be read in place.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "program_generated.h"
#include "qgraph/runtime.h"

namespace qgraph {

constexpr uint32_t kProgramVersion = 1;
constexpr int kMaxRank = 8;

/// The elements of a vector, none where it is absent; copied, since the FlatBuffers verifier does not look at the alignment of
/// 8-byte elements.
std::vector<int64_t> numbers(const flatbuffers::Vector<int64_t>* v);
/// The text, empty where it is absent.
std::string text(const flatbuffers::String* s);

/// Read-only mapping of a file; moves, never copies.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

struct TensorInfo {
  std::string name;
  DType type = DType::F32;
  Shape shape;
  std::vector<std::string> symbols;
  const uint8_t* data = nullptr;  // of a constant; its encoded bytes while it is not expanded
  size_t bytes = 0;
  int encoded = -1;  // index of its encoding, where it is not dense in the file
};

/// Attributes of one op with checked access; `what` names the op in errors.
class Attributes {
 public:
  Attributes(const schema::Op* op, std::string what);
  int64_t integer(const char* name) const;
  int64_t integer(const char* name, int64_t otherwise, int64_t low, int64_t high) const;
  float number(const char* name) const;
  float number(const char* name, float otherwise) const;
  std::vector<int64_t> integers(const char* name) const;
  bool has(const char* name) const { return found_.count(name) != 0; }

 private:
  std::map<std::string, const schema::Attribute*> found_;
  std::string what_;
};

struct OpInfo {
  std::string kind, name;
  std::vector<int> inputs, outputs;
  const schema::Op* raw = nullptr;
  std::string what() const { return kind + " '" + name + "'"; }
};

class Program {
 public:
  explicit Program(const std::string& path);
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::vector<OpInfo>& ops() const { return ops_; }
  const std::vector<int>& inputs() const { return inputs_; }
  const std::vector<int>& outputs() const { return outputs_; }
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }
  size_t weight_bytes() const { return weight_bytes_; }
  /// Have the elements of one constant in memory. Throws Error where its encoding is damaged.
  void expand(int tensor);
  /// Give the memory of a constant back, whose op has a copy by now. A dense one is paged in again for whoever still reads
  /// it; an encoded one has to be expanded again.
  void release(int tensor);

 private:
  struct Encoded {
    int encoding;
    const uint8_t* data;
    uint64_t size;
    std::vector<uint8_t> expanded;
  };
  std::string path_;
  MappedFile file_;
  std::vector<Encoded> encoded_;
  std::vector<TensorInfo> tensors_;
  std::vector<OpInfo> ops_;
  std::vector<int> inputs_, outputs_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  size_t weight_bytes_ = 0;
};

}  // namespace qgraph
