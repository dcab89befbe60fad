// Corners of single ops.
#include <gtest/gtest.h>

#include "backend/cpu/isa/gemm.h"
#include "ops/codes.h"
#include "tests/program_maker.h"

namespace qgraph {
namespace {

std::string temporary(const char* name) { return testing::TempDir() + "/" + name; }

TEST(Conv, PadsThatCancelEachOtherMoveTheImage) {
  ProgramMaker m;
  const int x = m.value("x", DType::F32, {1, 3, 2, 2}), q = m.value("q", DType::U8), c = m.value("c", DType::U8),
            y = m.value("y", DType::F32);
  m.op("Quantize", {x}, {q}, {{"y_zero", {7}}}, {{"scale", {1.0f}}});
  const int kernel = m.constant<int8_t>("kernel", DType::I8, {2, 1, 1, 2}, {1, 0, 0, 1});
  const int factor = m.constant<float>("factor", DType::F32, {2}, {1.0f, 1.0f});
  m.op("Conv", {q, kernel, factor}, {c},
       {{"x_zero", {7}}, {"y_zero", {7}}, {"strides", {1, 1}}, {"dilations", {1, 1}}, {"pads", {-1, 0, 1, 0}}});
  m.op("Dequantize", {c}, {y}, {{"x_zero", {7}}}, {{"scale", {1.0f}}});
  m.spec.inputs = {x};
  m.spec.outputs = {y};
  const std::string path = temporary("pads.qgp");
  write_program(m.spec, path);
  const std::vector<float> image{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  for (const auto& isa : available_isas()) {
    SessionOptions options;
    options.isa = isa;
    Session session(path, options);
    const auto results = session.run({{DType::F32, {1, 3, 2, 2}, image.data()}});
    const auto* got = static_cast<const float*>(results[0].data);
    EXPECT_EQ(std::vector<float>(got, got + 12), (std::vector<float>{5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0})) << isa;
  }
}

TEST(Linear, WeightsWithoutDepthAreRefused) {
  ProgramMaker m;
  const int x = m.value("x", DType::U8, {2, 0}), y = m.value("y", DType::F32);
  const int weights = m.constant<int8_t>("weights", DType::I8, {3, 0}, {});
  const int factor = m.constant<float>("factor", DType::F32, {3}, {1, 1, 1});
  m.op("Linear", {x, weights, factor}, {y});
  m.spec.inputs = {x};
  m.spec.outputs = {y};
  const std::string path = temporary("depth.qgp");
  write_program(m.spec, path);
  EXPECT_THROW(Session{path}, Error);
}

TEST(Codes, UnknownWidthsAreRefused) {
  for (int bits : {1, 3, 16}) {
    EXPECT_THROW(kSigned.of(bits), Error);
    EXPECT_THROW(with_bits(bits, [](auto) {}), Error);
  }
}

}  // namespace
}  // namespace qgraph
