// Memory of one kind that grows.
#pragma once

#include "backend/backend.h"
#include "support/memory.h"

namespace qgraph {

class Arena {
 public:
  explicit Arena(DeviceMemory* memory) : memory_(memory) {}
  ~Arena() {
    if (device_ != nullptr) memory_->free(device_);
  }
  Arena(Arena&& other) noexcept : memory_(other.memory_) {
    std::swap(device_, other.device_);
    std::swap(size_, other.size_);
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// At least `bytes`, aligned to 64; throws Error when there are not so many.
  uint8_t* reserve(size_t bytes) {
    if (memory_ != nullptr) return on_device(bytes);
    uint8_t* data = host_.reserve(bytes);
    if (data == nullptr) throw Error("out of memory: " + std::to_string(bytes) + " bytes are needed; use smaller inputs");
    return data;
  }

 private:
  uint8_t* on_device(size_t bytes) {
    if (bytes > size_) {
      if (device_ != nullptr) memory_->free(device_);
      device_ = nullptr;
      size_ = 0;
      device_ = memory_->allocate(bytes);
      size_ = bytes;
    }
    return static_cast<uint8_t*>(device_);
  }

  DeviceMemory* memory_;  // null: the host's
  Block host_;
  void* device_ = nullptr;
  size_t size_ = 0;
};

}  // namespace qgraph
