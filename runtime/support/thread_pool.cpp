#include "support/thread_pool.h"

#include <algorithm>
#include <cstdlib>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qgraph {
namespace {
constexpr int kSpins = 4000;  // about 50 microseconds: the gap between two ops of one run

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}
}  // namespace

int thread_count(int wanted) {
  if (wanted <= 0)
    if (const char* text = std::getenv("QGRAPH_THREADS")) wanted = std::atoi(text);
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return wanted <= 0 ? cores : std::min(wanted, 256);
}

ThreadPool::ThreadPool(int threads) : shares_(static_cast<size_t>(std::max(threads, 1))) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::parallel(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t, int)>& body) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  int64_t chunks = std::min<int64_t>(n / grain, size());
  if (chunks <= 1 || workers_.empty()) {
    body(0, n, 0);
    return;
  }
  step_ = std::max(grain, n / (chunks * 8));  // small steps, so that all end together
  body_ = &body;
  for (int64_t i = 0; i < size(); ++i) {
    shares_[static_cast<size_t>(i)].next.store(n * i / size(), std::memory_order_relaxed);
    shares_[static_cast<size_t>(i)].end = n * (i + 1) / size();
  }
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  take(0);
  for (int i = 0; busy_.load(std::memory_order_acquire) != 0; ++i) {
    if (i < kSpins)
      pause();
    else
      std::this_thread::yield();
  }
}

void ThreadPool::take(int worker) {
  for (int i = 0; i < size(); ++i) {  // its own share, then what others have not begun
    Share& share = shares_[static_cast<size_t>((worker + i) % size())];
    for (;;) {
      const int64_t begin = share.next.fetch_add(step_, std::memory_order_relaxed);
      if (begin >= share.end) break;
      (*body_)(begin, std::min(begin + step_, share.end), worker);
    }
  }
}

void ThreadPool::work(int index) {
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && generation_.load(std::memory_order_acquire) == seen; ++i) pause();
    if (generation_.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    take(index);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace qgraph
