// One fork-join pool a session: the caller works too, workers sleep between runs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace qgraph {

/// The threads to use: `wanted`, else QGRAPH_THREADS, else all cores.
int thread_count(int wanted);

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Split [0, n) into chunks of at least `grain` and call body(begin, end, worker) on each; returns when all are done. Each
  /// thread begins with its own part of [0, n), so that one op finds in its caches what it left there in the op before.
  void parallel(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t, int)>& body);

 private:
  void work(int index);
  void take(int worker);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> busy_{0};
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::vector<Share> shares_;  // one a thread
  int64_t step_ = 1;
  const std::function<void(int64_t, int64_t, int)>* body_ = nullptr;
  bool stop_ = false;
};

}  // namespace qgraph
