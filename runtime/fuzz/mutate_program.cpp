// Load and run random mutations of a valid program: each must work or end in an Error, never crash, hang or read outside.
// usage: mutate_program [COUNT [SEED]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include "qgraph/runtime.h"
#include "tests/sample_program.h"

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 10000;
  std::mt19937 random(argc > 2 ? static_cast<uint32_t>(std::atoi(argv[2])) : 1);
  const std::string base = "mutate_base.qgp", path = "mutate_case.qgp";
  qgraph::write_sample(base);
  std::ifstream file(base, std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(file), {}};
  std::vector<float> x(3 * qgraph::kSampleWidth, 0.7f);
  qgraph::SessionOptions options;
  options.threads = 1;
  options.memory_limit = 16 << 20;
  int ran = 0, refused = 0;
  double slowest = 0;
  for (int i = 0; i < count; ++i) {
    std::string bad = good;
    const int edits = 1 + static_cast<int>(random() % 4);
    for (int e = 0; e < edits; ++e) {
      const size_t at = random() % bad.size();
      switch (random() % 5) {
        case 0:
          bad[at] = static_cast<char>(random());
          break;
        case 1:
          bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
          break;
        case 2:
          bad[at] = random() % 2 ? '\xff' : '\0';
          break;
        case 3:
          for (size_t k = at; k < std::min(at + 8, bad.size()); ++k) bad[k] = static_cast<char>(random() % 2 ? 0xff : random());
          break;
        default:
          if (random() % 8 == 0)
            bad.resize(at);
          else
            bad[at] = static_cast<char>(bad[at] + 1);
      }
      if (bad.empty()) bad = "x";
    }
    std::ofstream(path, std::ios::binary) << bad;
    const auto start = std::chrono::steady_clock::now();
    try {
      qgraph::Session session(path, options);
      session.run({{qgraph::DType::F32, {3, qgraph::kSampleWidth}, x.data()}});
      ++ran;
    } catch (const qgraph::Error&) {
      ++refused;
    }
    slowest = std::max(slowest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::printf("%d mutations: %d ran, %d refused, slowest %.3f s\n", count, ran, refused, slowest);
  return slowest > 10 ? 1 : 0;
}
