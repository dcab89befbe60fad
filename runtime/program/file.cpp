#include "program/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "program/encoding.h"
#include "program/validate.h"

namespace qgraph {

MappedFile::MappedFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw Error("cannot load " + path + ": " + std::strerror(errno));
  struct stat info{};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    throw Error("cannot load " + path + ": it is not a file");
  }
  size_ = static_cast<size_t>(info.st_size);
  void* mapped = size_ == 0 ? MAP_FAILED : mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED) damaged(path, "it is empty or cannot be mapped");
  data_ = static_cast<const uint8_t*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

Program::Program(const std::string& path)
    : path_(path), file_(path), tables_(read_tables(path, file_.data(), file_.size())), expanded_(tables_.encoded.size()) {}

void Program::expand(TensorInfo& t) {
  if (t.encoded < 0) return;
  const EncodedInfo& e = tables_.encoded[static_cast<size_t>(t.encoded)];
  std::vector<uint8_t>& expanded = expanded_[static_cast<size_t>(t.encoded)];
  if (!expanded.empty()) return;
  if (!decode(e, elements(t.shape), bits(t.type), expanded))
    damaged(path_, "the encoding of constant '" + t.name + "' does not fit its elements");
  t.data = expanded.data();
}

void Program::release(TensorInfo& t) {
  if (t.data == nullptr) return;
  if (t.encoded >= 0) {
    std::vector<uint8_t>().swap(expanded_[static_cast<size_t>(t.encoded)]);
    t.data = tables_.encoded[static_cast<size_t>(t.encoded)].data;
    return;
  }
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto from = (reinterpret_cast<uintptr_t>(t.data) + page - 1) / page * page;
  const auto to = (reinterpret_cast<uintptr_t>(t.data) + t.bytes) / page * page;
  if (to > from) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

}  // namespace qgraph
