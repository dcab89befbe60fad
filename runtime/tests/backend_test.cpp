// Programs on a backend of another memory, partly and together with the CPU, against the CPU alone, byte for byte.
#include "backend/cpu/backend.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "session/executor.h"
#include "tests/guarded_backend.h"
#include "tests/program_maker.h"
#include "tests/sample_program.h"

namespace qgraph {
namespace {

const std::set<std::string> kEvery{"Quantize", "Dequantize", "Linear", "Binary", "Lookup", "Transpose", "Slice"};

std::string temporary(const char* name) { return testing::TempDir() + "/" + name; }

using BackendList = std::vector<std::unique_ptr<Backend>>;

void add(BackendList&) {}
template <typename First, typename... Rest>
void add(BackendList& list, First first, Rest... rest) {
  list.push_back(std::move(first));
  add(list, std::move(rest)...);
}
template <typename... Each>
BackendList backends(Each... each) {
  BackendList list;
  add(list, std::move(each)...);
  return list;
}

std::unique_ptr<Backend> cpu_backend() { return std::make_unique<cpu::CpuBackend>(2, ""); }
std::unique_ptr<GuardedBackend> guarded(std::set<std::string> kinds = kEvery, const char* name = "guarded") {
  return std::make_unique<GuardedBackend>(name, std::move(kinds));
}

std::vector<std::vector<uint8_t>> bytes_of_run(Executor& executor, const std::vector<Array>& inputs) {
  std::vector<std::vector<uint8_t>> all;
  for (const Array& y : executor.run(inputs)) {
    const auto* data = static_cast<const uint8_t*>(y.data);
    all.emplace_back(data, data + elements(y.shape) * bits(y.type) / 8);
  }
  return all;
}

/// x [batch, 16] through ops of which a guarded backend has some: values cross back and forth, one is a view, one is also an
/// output, one operand is a constant.
void write_crossing(const std::string& path) {
  ProgramMaker m;
  const int64_t w = kSampleWidth;
  const int x = m.value("x", DType::F32, {-1, w});
  m.spec.tensors[0].symbols = {"batch", ""};
  const int q = m.value("q", DType::U8), h = m.value("h", DType::U8), n = m.value("n", DType::U8), l = m.value("l", DType::U8),
            r = m.value("r", DType::U8), t = m.value("t", DType::U8), s = m.value("s", DType::U8), p = m.value("p", DType::U8),
            b = m.value("b", DType::I16), y = m.value("y", DType::F32);
  m.op("Quantize", {x}, {q}, {{"y_zero", {120}}}, {{"scale", {0.05f}}});
  const int weights = m.constant<int8_t>("weights", DType::I8, {w, w}, m.weights(static_cast<size_t>(w * w)));
  const int factor = m.constant<float>("factor", DType::F32, {w}, std::vector<float>(static_cast<size_t>(w), 0.01f));
  const int bias = m.constant<int32_t>("bias", DType::I32, {w}, std::vector<int32_t>(static_cast<size_t>(w), -700));
  m.op("Linear", {q, weights, factor, bias}, {h}, {{"x_zero", {120}}, {"y_zero", {110}}});
  const int gamma = m.constant<float>("gamma", DType::F32, {w}, std::vector<float>(static_cast<size_t>(w), 30.0f));
  m.op("LayerNorm", {h, gamma, gamma}, {n}, {{"y_zero", {90}}}, {{"epsilon", {0.01f}}});  // no guarded backend has it
  std::vector<uint8_t> codes(256);
  for (size_t i = 0; i < 256; ++i) codes[i] = static_cast<uint8_t>(i * 7);
  const int table = m.constant<uint8_t>("table", DType::U8, {256}, codes);
  m.op("Lookup", {n, table}, {l});
  const int target = m.constant<int64_t>("target", DType::I64, {3}, {0, 4, 4});
  m.op("Reshape", {l, target}, {r});
  m.op("Transpose", {r}, {t}, {{"perm", {0, 2, 1}}});
  const int start = m.constant<int64_t>("start", DType::I64, {1}, {1}), end = m.constant<int64_t>("end", DType::I64, {1}, {4}),
            axis = m.constant<int64_t>("axis", DType::I64, {1}, {2});
  m.op("Slice", {t, start, end, axis}, {s});
  const int pads = m.constant<int64_t>("pads", DType::I64, {6}, {0, 0, 1, 0, 0, 0});
  m.op("Pad", {s, pads}, {p}, {{"mode", {2}}});
  const int other = m.constant<uint8_t>("other", DType::U8, {4}, {0, 100, 200, 255});
  m.op("Binary", {p, other}, {b}, {{"op", {2}}, {"a_zero", {3}}, {"b_zero", {128}}}, {{"a_multiplier", {0.3f}}});
  m.op("Dequantize", {b}, {y}, {}, {{"scale", {0.125f}}});
  m.spec.inputs = {x};
  m.spec.outputs = {y, h, r};
  write_program(m.spec, path);
}

std::vector<float> random_floats(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(n));
  for (auto& v : x) v = normal(random) * 3;
  return x;
}

class TwoMemories : public testing::Test {
 protected:
  void SetUp() override {
    path = temporary("crossing.qgp");
    write_crossing(path);
  }
  void expect_equal(Executor& executor) {
    Executor alone(path, backends(cpu_backend()), {});
    for (int64_t batch : {1, 5, 2, 0, 9, 1}) {  // every shape is prepared anew, larger and smaller ones
      const auto x = random_floats(batch * kSampleWidth, static_cast<uint32_t>(batch));
      const std::vector<Array> inputs{{DType::F32, {batch, kSampleWidth}, x.data()}};
      const auto want = bytes_of_run(alone, inputs);
      EXPECT_EQ(bytes_of_run(executor, inputs), want) << batch;
      EXPECT_EQ(bytes_of_run(executor, inputs), want) << batch << ", again";
    }
  }
  std::string path;
};

TEST_F(TwoMemories, ValuesCrossBackAndForth) {
  auto device = guarded();
  GuardedBackend& watched = *device;
  Executor executor(path, backends(std::move(device), cpu_backend()), {});
  expect_equal(executor);
  EXPECT_EQ(watched.launches(), 7 * 12);  // Quantize, Linear, Lookup, Transpose, Slice, Binary and Dequantize of 12 runs
}

TEST_F(TwoMemories, EveryOpKindByItselfIsMoved) {
  for (const auto& kind : kEvery) {
    Executor executor(path, backends(guarded({kind}), cpu_backend()), {});
    expect_equal(executor);
  }
}

TEST_F(TwoMemories, ValuesCrossFromDeviceToDevice) {
  Executor executor(path,
                    backends(guarded({"Quantize", "Lookup", "Slice", "Dequantize"}, "first"),
                             guarded({"Linear", "Transpose", "Binary"}, "second"), cpu_backend()),
                    {});
  expect_equal(executor);
}

TEST_F(TwoMemories, TheFirstBackendInTheListIsAskedFirst) {
  auto device = guarded();
  GuardedBackend& watched = *device;
  Executor executor(path, backends(cpu_backend(), std::move(device)), {});
  expect_equal(executor);
  EXPECT_EQ(watched.launches(), 0);
  EXPECT_EQ(watched.guarded().uploads + watched.guarded().downloads, 0);
}

TEST_F(TwoMemories, KeptAndProfiledValuesAreTheSame) {
  SessionOptions options;
  options.keep = options.profile = true;
  Executor executor(path, backends(guarded(), cpu_backend()), options), alone(path, backends(cpu_backend()), options);
  const auto x = random_floats(3 * kSampleWidth, 5);
  const std::vector<Array> inputs{{DType::F32, {3, kSampleWidth}, x.data()}};
  EXPECT_EQ(bytes_of_run(executor, inputs), bytes_of_run(alone, inputs));
  for (const auto& name : alone.tensor_names()) {
    const Array got = executor.tensor(name), want = alone.tensor(name);
    ASSERT_EQ(got.shape, want.shape);
    const auto bytes = static_cast<size_t>(elements(want.shape) * bits(want.type) / 8);
    EXPECT_EQ(std::memcmp(got.data, want.data, bytes), 0) << name;
  }
}

TEST_F(TwoMemories, AnOpThatNoBackendHasIsRefusedByName) {
  try {
    Executor executor(path, backends(guarded()), {});
    FAIL() << "LayerNorm was not refused";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "LayerNorm 'LayerNorm': no backend of this session (guarded) has a kernel for it; add a backend that has one");
  }
}

TEST(Guarded, TheHostCannotReadIt) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  GuardedMemory memory;
  auto* data = static_cast<volatile uint8_t*>(memory.allocate(100));
  EXPECT_DEATH(std::exit(data[0]), "");
}

/// A program with random inputs, free dims of 3.
void expect_equal_program(const std::string& path) {
  auto device = guarded();
  GuardedBackend& watched = *device;
  Executor executor(path, backends(std::move(device), cpu_backend()), {}), alone(path, backends(cpu_backend()), {});
  std::vector<std::vector<uint8_t>> data;
  std::vector<Array> inputs;
  for (const auto& input : alone.inputs()) {
    Shape shape = input.shape;
    for (auto& d : shape) d = d < 0 ? 3 : d;
    const auto count = static_cast<size_t>(elements(shape)), size = static_cast<size_t>(bits(input.type) / 8);
    auto& bytes = data.emplace_back(count * size + 1);
    const auto x = random_floats(static_cast<int64_t>(count), 1);
    for (size_t i = 0; i < count; ++i) {
      if (input.type == DType::F32)
        std::memcpy(bytes.data() + 4 * i, &x[i], 4);
      else
        bytes[i * size] = 1;
    }
    inputs.push_back({input.type, shape, bytes.data()});
  }
  EXPECT_EQ(bytes_of_run(executor, inputs), bytes_of_run(alone, inputs));
  EXPECT_GT(watched.launches(), 0);
}

TEST(Guarded, RunsTheSampleProgramTogetherWithTheCpu) {
  const std::string path = temporary("guarded_sample.qgp");
  write_sample(path);
  expect_equal_program(path);
}

TEST(Guarded, RunsARealProgramTogetherWithTheCpu) {
  const char* path = std::getenv("QGRAPH_TEST_PROGRAM");
  if (path == nullptr) GTEST_SKIP() << "QGRAPH_TEST_PROGRAM names no program";
  expect_equal_program(path);
}

// Values of a guarded backend that a later segment reads, there and on the host.
TEST(Backends, SegmentsHandValuesOnThroughTheHost) {
  ProgramMaker m;
  const int x = m.value("x", DType::F32, {-1, 4}), shape = m.value("shape", DType::I64, {2});
  const int q = m.value("q", DType::U8), turned = m.value("turned", DType::U8), other = m.value("other", DType::U8),
            again = m.value("again", DType::U8), sum = m.value("sum", DType::I16), y = m.value("y", DType::F32);
  m.op("Quantize", {x}, {q}, {{"y_zero", {120}}}, {{"scale", {0.05f}}});
  m.op("Transpose", {q}, {turned}, {{"perm", {1, 0}}});
  m.op("Reshape", {turned, shape}, {other});
  m.op("Transpose", {other}, {again}, {{"perm", {1, 0}}});
  m.op("Binary", {again, again}, {sum}, {{"op", {0}}}, {{"a_multiplier", {3.0f}}, {"b_multiplier", {1.0f}}});
  m.op("Dequantize", {sum}, {y}, {}, {{"scale", {0.5f}}});
  m.spec.inputs = {x, shape};
  m.spec.outputs = {y, turned};
  const std::string path = testing::TempDir() + "/segments.qgp";
  write_program(m.spec, path);
  for (const auto& kinds : {std::set<std::string>{"Quantize", "Transpose", "Binary"}, {"Transpose"}, {"Binary", "Dequantize"}}) {
    Executor executor(path, backends(std::make_unique<GuardedBackend>("guarded", kinds), cpu_backend()), {}),
        alone(path, backends(cpu_backend()), {});
    for (const std::vector<int64_t>& s : {std::vector<int64_t>{2, 6}, {2, 6}, {12, 1}, {3, 4}}) {
      std::vector<float> data(12);
      for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i) - 5.0f;
      const std::vector<Array> inputs{{DType::F32, {3, 4}, data.data()}, {DType::I64, {2}, s.data()}};
      EXPECT_EQ(bytes_of_run(executor, inputs), bytes_of_run(alone, inputs));
    }
  }
}

}  // namespace
}  // namespace qgraph
