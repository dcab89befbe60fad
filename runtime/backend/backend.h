// A backend: a device's memory, and kernels for ops. A session gives each op to the first of its backends that has a kernel for
// it, copies values that cross from one to another, and computes what is known from shapes alone on the host.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "ops/op.h"

namespace qgraph {

/// An op made ready to run: packed weights, and whatever a backend derives from attributes and shapes. It refers to its op,
/// which outlives it.
class Kernel {
 public:
  virtual ~Kernel() = default;
  /// Called when the op has inferred new shapes. `host` has the shapes, and the data of the inputs that are known on the host by
  /// now. Returns the bytes of scratch that `run` needs.
  virtual size_t prepare(const Values& host) = 0;
  /// Compute the outputs; the operands lie in the backend's memory.
  virtual void run(const Values& v) = 0;
  /// Whether `run` reads this input. A kernel does not that has its own copy of a constant, or took what it needs of a known
  /// input in `prepare`.
  virtual bool reads(size_t /*input*/) const { return true; }
  /// Bytes of a constant that a run does not read, since its packed form leaves them out.
  virtual int64_t left_out() const { return 0; }
};

/// Memory that the host does not address.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  /// At least `bytes`, aligned to 64; throws Error when there are not so many.
  virtual void* allocate(size_t bytes) = 0;
  virtual void free(void* data) = 0;
  /// Returns when `host` may be overwritten; kernels that run later see the bytes.
  virtual void upload(void* device, const void* host, size_t bytes) = 0;
  /// Returns when the bytes of all kernels that ran before are at `host`.
  virtual void download(void* host, const void* device, size_t bytes) = 0;
};

/// A kernel and its operands.
struct Launch {
  Kernel* kernel;
  const Values* values;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const std::string& name() const = 0;
  /// Null where kernels read and write the host's memory.
  virtual DeviceMemory* memory() { return nullptr; }
  /// A kernel for an op, or null where the backend has none. `source` has the op's constants.
  virtual std::unique_ptr<Kernel> make_kernel(const Op& op, const OpSource& source) = 0;
  /// Have `bytes` of scratch for whichever kernel runs: the most that any asked for.
  virtual void reserve_scratch(size_t bytes) = 0;
  /// Bytes that reserve_scratch took.
  virtual size_t scratch_bytes() const = 0;
  /// Whether `next` may run in one step with the kernels up to `last`. Values of one step never share memory.
  virtual bool joins(const Launch& /*last*/, const Launch& /*next*/) const { return false; }
  /// Run the kernels of one step.
  virtual void run(std::span<const Launch> step) {
    for (const Launch& launch : step) launch.kernel->run(*launch.values);
  }
  /// Wait until all that ran is done.
  virtual void synchronize() {}
};

}  // namespace qgraph
