// A program file in memory: mapped, verified, its constants ready to be read in place.
#pragma once

#include "program/tables.h"

namespace qgraph {

/// Read-only mapping of a file.
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

class Program {
 public:
  explicit Program(const std::string& path);
  const std::vector<TensorInfo>& tensors() const { return tables_.tensors; }
  const std::vector<OpInfo>& ops() const { return tables_.ops; }
  const std::vector<int>& inputs() const { return tables_.inputs; }
  const std::vector<int>& outputs() const { return tables_.outputs; }
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return tables_.metadata; }
  const std::vector<EncodedInfo>& encoded() const { return tables_.encoded; }
  size_t weight_bytes() const { return tables_.weight_bytes; }
  /// Have the elements of one constant in memory. Throws Error where its encoding is damaged.
  void expand(int tensor);
  /// Give the memory of a constant back, whose op has a copy by now. A dense one is paged in again for whoever still reads
  /// it; an encoded one has to be expanded again.
  void release(int tensor);

 private:
  std::string path_;
  MappedFile file_;
  ProgramTables tables_;
  std::vector<std::vector<uint8_t>> expanded_;  // the elements of encoded constants
};

}  // namespace qgraph
