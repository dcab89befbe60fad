// What all programs of one session share: the file, the backends and their scratch, and memory of values that are held.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>

#include "session/held.h"
#include "session/placement.h"

namespace qgraph {

/// Bytes of scratch that the plans of several programs need of each backend.
class ScratchTable {
 public:
  /// Replace what `owner` needs by `bytes`, and have as much of each backend as anyone needs.
  void set(const void* owner, const std::map<Backend*, size_t>& bytes, const Backends& backends) {
    needs_[owner] = bytes;
    for (const auto& backend : backends.list) {
      size_t most = 0;
      for (const auto& [who, need] : needs_)
        if (const auto found = need.find(backend.get()); found != need.end()) most = std::max(most, found->second);
      backend->reserve_scratch(most);
    }
  }

 private:
  std::map<const void*, std::map<Backend*, size_t>> needs_;
};

struct SessionContext {
  SessionContext(const std::string& path, std::vector<std::unique_ptr<Backend>> list, const SessionOptions& options);
  ~SessionContext();
  /// A run begins.
  void start() { iterations_ = 0; }
  /// An iteration of a loop begins; throws Error where a run may not have so many, or is to be stopped.
  void step();

  Backends backends;
  std::unique_ptr<Backend> control;  // of the kernels of control flow
  Program program;
  size_t memory_limit;
  ScratchTable scratch;
  BlockPool pool;

 private:
  int64_t iterations_ = 0, limit_;
  std::function<void()> poll_;
  std::chrono::steady_clock::time_point polled_;
};

}  // namespace qgraph
