// Aligned memory; large blocks lie on pages of 2 MiB where the system has them, which spares address translations.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace qgraph {

/// `bytes` rounded up to whole lines of 64, aligned to them; null when there is no memory. Free it with std::free.
inline void* allocate_aligned(size_t bytes) {
  constexpr size_t kLine = 64, kHuge = size_t{2} << 20;
  const size_t lines = (bytes + kLine - 1) / kLine * kLine;
  if (bytes < kHuge) return std::aligned_alloc(kLine, lines);
  void* data = nullptr;
  if (posix_memalign(&data, kHuge, lines) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (data != nullptr) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

/// Memory aligned to 64 bytes, for packed weights.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  ~AlignedBytes() { std::free(data_); }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  int8_t* resize(size_t bytes) {
    std::free(data_);
    data_ = static_cast<int8_t*>(allocate_aligned(bytes + 1));
    if (data_ == nullptr) throw std::bad_alloc();
    return data_;
  }
  int8_t* data() const { return data_; }

 private:
  int8_t* data_ = nullptr;
};

/// Memory aligned to 64 bytes that grows.
class Block {
 public:
  Block() = default;
  ~Block() { std::free(data_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  /// At least `bytes`; what was there is lost. Null when there is no memory.
  uint8_t* reserve(size_t bytes) {
    if (bytes <= size_) return data_;
    std::free(data_);
    data_ = static_cast<uint8_t*>(allocate_aligned(bytes));
    size_ = data_ == nullptr ? 0 : bytes;
    return data_;
  }
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace qgraph
