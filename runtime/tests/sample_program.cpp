#include "tests/sample_program.h"

#include "tests/program_maker.h"

namespace qgraph {

void write_sample(const std::string& path) {
  ProgramMaker m;
  const int64_t w = kSampleWidth;
  const int x = m.value("x", DType::F32, {-1, w});
  m.spec.tensors[0].symbols = {"batch", ""};
  const int q = m.value("q", DType::U8), image = m.value("image", DType::U8), conv = m.value("conv", DType::U8);
  m.op("Quantize", {x}, {q}, {{"y_zero", {120}}}, {{"scale", {0.05f}}});
  const int target = m.constant<int64_t>("target", DType::I64, {4}, {0, 4, 4, 1});
  m.op("Reshape", {q, target}, {image});
  const int kernel = m.constant<int8_t>("kernel", DType::I8, {3, 3, 3, 1}, m.weights(27));
  const int factor = m.constant<float>("factor", DType::F32, {3}, {0.004f, 0.003f, 0.005f});
  const int bias = m.constant<int32_t>("bias", DType::I32, {3}, {100, -200, 300});
  m.op("Conv", {image, kernel, factor, bias}, {conv},
       {{"x_zero", {120}},
        {"y_zero", {10}},
        {"clamp_min", {10}},
        {"group", {1}},
        {"strides", {1, 1}},
        {"dilations", {1, 1}},
        {"pads", {1, 1, 1, 1}}});
  const int taps = m.sparse("taps", {3, 3, 3, 1}, m.weights(27)), deep = m.value("deep", DType::U8);
  m.op("Conv", {conv, taps, factor, -1, conv}, {deep},
       {{"x_zero", {10}},
        {"group", {3}},
        {"strides", {1, 1}},
        {"dilations", {1, 1}},
        {"pads", {1, 1, 1, 1}},
        {"staged", {1}},
        {"mid_max", {200}},
        {"residual_zero", {10}}},
       {{"mid_multiplier", {0.5f}}, {"residual_multiplier", {0.75f}}});
  const int pool = m.value("pool", DType::U8);
  m.op("MaxPool", {deep}, {pool}, {{"kernel", {2, 2}}, {"strides", {2, 2}}, {"dilations", {1, 1}}, {"pads", {0, 0, 0, 0}}});
  const int flat = m.value("flat", DType::U8);
  m.op("Flatten", {pool}, {flat}, {{"axis", {1}}});
  std::vector<uint8_t> codes(256);
  for (size_t i = 0; i < 256; ++i) codes[i] = static_cast<uint8_t>(255 - i);
  const int table = m.constant<uint8_t>("table", DType::U8, {256}, codes), looked = m.value("looked", DType::U8);
  m.op("Lookup", {flat, table}, {looked});
  const int tokens = m.value("tokens", DType::U8), scales = m.value("scales", DType::F32);
  m.op("QuantizeTokens", {looked}, {tokens, scales}, {{"x_zero", {128}}}, {{"scale", {0.1f}}});
  const int dense = m.grouped("dense", {kSampleOutputs, 12}, m.weights(12 * kSampleOutputs));
  const int dense_factor =
      m.constant<float>("dense_factor", DType::F32, {kSampleOutputs}, std::vector<float>(kSampleOutputs, 20.0f));
  const int wide = m.value("wide", DType::I16), normed = m.value("normed", DType::I16), sum = m.value("sum", DType::I16);
  m.op("Linear", {tokens, dense, dense_factor, -1, scales}, {wide}, {{"x_zero", {128}}, {"sparse", {1}}});
  const int one = m.scaled("one", dense_factor, 200.0);  // 4000
  m.op("LayerNorm", {wide, one, one}, {normed}, {}, {{"epsilon", {0.01f}}});
  m.op("Binary", {wide, normed}, {sum}, {{"op", {0}}}, {{"a_multiplier", {0.5f}}, {"b_multiplier", {0.25f}}});
  const int soft = m.value("soft", DType::F32), out = m.value("out", DType::F32);
  m.op("Softmax", {sum}, {soft}, {{"axis", {-1}}}, {{"scale", {0.001f}}});
  m.op("Add", {soft, m.dequantized("few", 1, kSampleOutputs, 1)}, {out});
  m.spec.inputs = {x};
  m.spec.outputs = {out};
  m.spec.metadata = {{"producer", "test"}};
  write_program(m.spec, path);
}

}  // namespace qgraph
