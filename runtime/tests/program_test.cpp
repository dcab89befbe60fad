// Program files: writing, loading, running, and every way in which a file can be wrong.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <random>
#include <thread>

#include "qgraph/runtime_c.h"
#include "tests/sample_program.h"
#include "tooling/write.h"

namespace qgraph {
namespace {

std::string temporary(const char* name) { return testing::TempDir() + "/" + name; }

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void spill(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

std::string message(const std::string& path) {
  try {
    Session session(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

class ProgramFile : public testing::Test {
 protected:
  void SetUp() override {
    path = temporary("sample.qgp");
    write_sample(path);
  }
  std::string path;
};

TEST_F(ProgramFile, RunsWithAnyBatchOnEveryIsaAndThreadCount) {
  std::mt19937 random(3);
  for (int64_t batch : {1, 3, 8, 0}) {
    std::vector<float> x(static_cast<size_t>(batch * kSampleWidth));
    for (auto& v : x) v = static_cast<float>(random() % 1000) / 100.0f - 5.0f;
    std::vector<uint8_t> first;
    for (const auto& isa : available_isas())
      for (int threads : {1, 2}) {
        SessionOptions options;
        options.isa = isa;
        options.threads = threads;
        Session session(path, options);
        const auto y = session.run({{DType::F32, {batch, kSampleWidth}, x.data()}});
        ASSERT_EQ(y.size(), 1u);
        EXPECT_EQ(y[0].shape, (Shape{batch, kSampleOutputs}));
        const auto* bytes = static_cast<const uint8_t*>(y[0].data);
        const std::vector<uint8_t> got(bytes, bytes + batch * kSampleOutputs * 4);
        if (first.empty()) first = got;
        EXPECT_EQ(got, first) << isa << ", " << threads << " threads, batch " << batch;
      }
  }
}

TEST_F(ProgramFile, RefusesWrongInputs) {
  Session session(path);
  std::vector<float> x(100);
  EXPECT_THROW(session.run({}), Error);
  EXPECT_THROW(session.run({{DType::I64, {1, kSampleWidth}, x.data()}}), Error);
  EXPECT_THROW(session.run({{DType::F32, {kSampleWidth}, x.data()}}), Error);
  EXPECT_THROW(session.run({{DType::F32, {1, kSampleWidth + 1}, x.data()}}), Error);
}

TEST_F(ProgramFile, RefusesDamagedFiles) {
  const std::string good = slurp(path), bad = temporary("bad.qgp");
  EXPECT_NE(message(temporary("missing.qgp")).find("cannot load"), std::string::npos);
  spill(bad, "");
  EXPECT_NE(message(bad), "");
  spill(bad, "this is no program, but it is long enough to be read as one");
  EXPECT_NE(message(bad).find("not a qgraph program"), std::string::npos);
  for (size_t cut : {good.size() - 1, good.size() / 2, size_t{40}, size_t{17}}) {
    spill(bad, good.substr(0, cut));
    EXPECT_NE(message(bad), "") << cut;
  }
}

TEST_F(ProgramFile, ConcurrentRunsOfOneSessionAreRefusedNotCorrupted) {
  Session session(path);
  std::vector<float> x(static_cast<size_t>(64 * kSampleWidth), 1.5f);
  const std::vector<Array> inputs{{DType::F32, {64, kSampleWidth}, x.data()}};
  std::atomic<int> done{0}, refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int j = 0; j < 200; ++j) try {
          session.run(inputs);
          ++done;
        } catch (const Error&) {
          ++refused;
        }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(done + refused, 800);
  EXPECT_GT(done.load(), 0);
}

TEST_F(ProgramFile, CInterfaceRuns) {
  qgraph_session* session = nullptr;
  ASSERT_EQ(qgraph_open(path.c_str(), 1, nullptr, &session), 0) << qgraph_last_error();
  size_t count = 0;
  EXPECT_EQ(qgraph_input_count(session, &count), 0);
  EXPECT_EQ(count, 1u);
  EXPECT_STREQ(qgraph_input_name(session, 0), "x");
  EXPECT_EQ(qgraph_input_name(session, 9), nullptr);
  std::vector<float> x(static_cast<size_t>(2 * kSampleWidth), 0.5f);
  qgraph_array in{0, 2, {2, kSampleWidth}, x.data()}, out{};
  EXPECT_EQ(qgraph_run(session, &in, 1, &out, 1), 0) << qgraph_last_error();
  EXPECT_EQ(out.shape[1], kSampleOutputs);
  in.rank = 1;
  EXPECT_NE(qgraph_run(session, &in, 1, &out, 1), 0);
  EXPECT_NE(std::string(qgraph_last_error()), "");
  qgraph_close(session);
  EXPECT_NE(qgraph_open("/nowhere", 1, nullptr, &session), 0);
}

TEST(Write, AFullDiskIsAnError) {
  if (FILE* full = std::fopen("/dev/full", "wb")) {
    std::fclose(full);
    EXPECT_THROW(write_sample("/dev/full"), Error);
  }
}

}  // namespace
}  // namespace qgraph
