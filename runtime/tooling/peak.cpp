// The two ceilings of the roofline (Williams, Waterman, Patterson 2009), measured with the kernels that programs use.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>

#include "backend/cpu/isa/select.h"
#include "qgraph/runtime.h"
#include "support/memory.h"
#include "support/thread_pool.h"

namespace qgraph {
namespace {

constexpr int64_t kRows = 96, kColumns = 64, kK = 192;  // 12 KiB of weights, 18 KiB of activations
constexpr int64_t kStream = int64_t{32} << 20;          // 8-byte words: 256 MiB, more than any cache holds

/// The best of several rounds: units of work a second.
double best_rate(double work, int rounds, const std::function<void()>& body) {
  double best = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::max(best, work / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

double product_rate(const Kernels& kernels, ThreadPool& pool) {
  constexpr int64_t kRepeats = 2000;
  const std::vector<uint8_t> codes(static_cast<size_t>(kColumns * kK), 3);
  std::vector<int32_t> sums(kColumns);
  AlignedBytes packed;
  packed.resize(static_cast<size_t>(packed_bytes(kColumns, kK)));
  kernels.pack(codes.data(), kColumns, kK, kK, 1, false, packed.data(), sums.data());
  const PackedWeights w{packed.data(), sums.data(), kColumns, kK};
  const int64_t parts = pool.size();
  return best_rate(static_cast<double>(parts * kRepeats * kRows * kColumns * kK), 5, [&] {
    pool.parallel(parts, 1, [&](int64_t begin, int64_t end, int) {
      const std::vector<uint8_t> a(static_cast<size_t>(kRows * kK), 5);
      std::vector<int32_t> acc(static_cast<size_t>(kRows * kColumns));
      for (int64_t i = begin * kRepeats; i < end * kRepeats; ++i)
        kernels.gemm(a.data(), kK, kRows, w, 0, kColumns, acc.data(), kColumns);
    });
  });
}

double read_rate(ThreadPool& pool) {
  AlignedBytes memory;
  memory.resize(static_cast<size_t>(kStream) * 8);
  auto* words = reinterpret_cast<uint64_t*>(memory.data());
  constexpr int64_t kPart = 1 << 16;
  const int64_t parts = kStream / kPart;
  pool.parallel(parts, 1, [&](int64_t begin, int64_t end, int) {  // every thread touches its pages first
    std::fill(words + begin * kPart, words + end * kPart, 1);
  });
  std::atomic<uint64_t> total{0};
  return best_rate(static_cast<double>(kStream) * 8, 4, [&] {
    pool.parallel(parts, 1, [&](int64_t begin, int64_t end, int) {
      uint64_t sum[8] = {};
      constexpr int64_t kQuarter = kPart / 4;  // four streams at once keep more of memory's reads in flight than one
      for (int64_t part = begin; part < end; ++part)
        for (int64_t i = part * kPart; i < part * kPart + kQuarter; i += 8)
          for (int64_t s = 0; s < 4; ++s)
            for (int64_t j = 0; j < 8; ++j) sum[j] += words[i + s * kQuarter + j];
      for (uint64_t s : sum) total += s;
    });
  });
}

}  // namespace

Peak measure_peak(int threads, const std::string& isa) {
  std::string chosen;
  const Kernels& kernels = select_kernels(isa, &chosen);
  ThreadPool pool(thread_count(threads));
  return {product_rate(kernels, pool), read_rate(pool)};
}

}  // namespace qgraph
