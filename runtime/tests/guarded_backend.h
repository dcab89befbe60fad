// A backend whose memory the host cannot read: its pages may be touched only while one of its kernels runs or a copy is made, any
// other access faults. Its kernels are plain loops, one element after another.
#pragma once

#include <map>
#include <set>

#include "backend/backend.h"

namespace qgraph {

class GuardedMemory : public DeviceMemory {
 public:
  ~GuardedMemory() override;
  void* allocate(size_t bytes) override;
  void free(void* data) override;
  void upload(void* device, const void* host, size_t bytes) override;
  void download(void* host, const void* device, size_t bytes) override;

  /// All of the memory may be touched while one of these lives.
  class Open {
   public:
    explicit Open(const GuardedMemory& memory) : memory_(memory) { memory.protect(true); }
    ~Open() { memory_.protect(false); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    const GuardedMemory& memory_;
  };

  int uploads = 0, downloads = 0;

 private:
  void protect(bool open) const;
  std::map<void*, size_t> regions_;
};

class GuardedBackend : public Backend {
 public:
  /// Takes ops of these kinds only; it has kernels for Quantize, Dequantize, Linear, Binary, Lookup, Transpose and Slice.
  GuardedBackend(std::string name, std::set<std::string> kinds) : name_(std::move(name)), kinds_(std::move(kinds)) {}

  const std::string& name() const override { return name_; }
  DeviceMemory* memory() override { return &memory_; }
  std::unique_ptr<Kernel> make_kernel(const Op& op, const OpSource& source) override;
  void reserve_scratch(size_t) override {}
  size_t scratch_bytes() const override { return 0; }
  void run(std::span<const Launch> step) override;

  const GuardedMemory& guarded() const { return memory_; }
  int launches() const { return launches_; }

 private:
  std::string name_;
  std::set<std::string> kinds_;
  GuardedMemory memory_;
  int launches_ = 0;
};

}  // namespace qgraph
