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
  GraphInfo& graph() { return tables_.graph; }
  const GraphInfo& graph() const { return tables_.graph; }
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return tables_.metadata; }
  const std::vector<EncodedInfo>& encoded() const { return tables_.encoded; }
  size_t weight_bytes() const { return tables_.weight_bytes; }
  /// Have the elements of one constant in memory. Throws Error where its encoding is damaged.
  void expand(TensorInfo& tensor);
  /// Give the memory of a constant back, whose op has a copy by now. A dense one is paged in again for whoever still reads
  /// it; an encoded one has to be expanded again.
  void release(TensorInfo& tensor);

 private:
  std::string path_;
  MappedFile file_;
  ProgramTables tables_;
  std::vector<std::vector<uint8_t>> expanded_;  // the elements of encoded constants
};

}  // namespace qgraph
