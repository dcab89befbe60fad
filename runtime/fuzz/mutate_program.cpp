// Load and run random mutations of two valid programs: each must work or end in an Error, never crash, hang or read outside.
// usage: mutate_program [COUNT [SEED]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include "qgraph/runtime.h"
#include "tests/sample_program.h"

namespace {

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Some bytes of a file changed, or its end cut off.
std::string mutated(std::string bad, std::mt19937& random) {
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
  return bad;
}

// Twice with a state that stays in the session, and with other data.
void run_control(qgraph::Session& session) {
  const std::vector<float> first{0, 2, 0, 1, 5, 3}, second{4, 0, 1}, past{1, 2};
  if (!session.inputs().empty() && !session.outputs().empty()) session.bind("present", "past");
  session.run({{qgraph::DType::F32, {6}, first.data()}, {qgraph::DType::F32, {1, 2}, past.data()}});
  session.run({{qgraph::DType::F32, {3}, second.data()}, {}});
  session.run({{qgraph::DType::F32, {3}, second.data()}, {}});
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 10000;
  const std::string seed = argc > 2 ? argv[2] : "1", path = "mutate_case_" + seed + ".qgp";
  std::mt19937 random(static_cast<uint32_t>(std::atoi(seed.c_str())));
  qgraph::write_sample(path);
  const std::string quantized = slurp(path);
  qgraph::write_control_sample(path);
  const std::string control = slurp(path);
  std::vector<float> x(3 * qgraph::kSampleWidth, 0.7f);
  qgraph::SessionOptions options;
  options.threads = 1;
  options.memory_limit = 16 << 20;
  options.max_iterations = 50;
  int ran = 0, refused = 0;
  double slowest = 0;
  for (int i = 0; i < count; ++i) {
    const bool is_control = i % 2 == 1;
    std::ofstream(path, std::ios::binary) << mutated(is_control ? control : quantized, random);
    const auto start = std::chrono::steady_clock::now();
    try {
      qgraph::Session session(path, options);
      if (is_control)
        run_control(session);
      else
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
