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

namespace {

// positive: y -> y * y; otherwise: the indices of y's elements that are not 0, as float32
GraphSpec branch(bool positive, std::list<std::vector<uint8_t>>& bytes) {
  ProgramMaker m;
  const int y = m.value("y", DType::F32, {-1}), n = m.value("n", DType::I64, {}), out = m.value("out", DType::F32, {-1});
  if (positive) {
    m.op("Mul", {y, y}, {out});
  } else {
    const int places = m.value("places", DType::I64), flat = m.value("flat", DType::I64);
    m.op("NonZero", {y}, {places});
    m.op("Reshape", {places, m.constant<int64_t>("all", DType::I64, {1}, {-1})}, {flat});
    m.op("Cast", {flat}, {out});
  }
  m.spec.inputs = {y, n};
  m.spec.outputs = {out};
  bytes.splice(bytes.end(), m.bytes);
  return m.spec;
}

// total grows by y; a range of i is handed through an If
GraphSpec loop_body(std::list<std::vector<uint8_t>>& bytes) {
  ProgramMaker m;
  const int i = m.value("i", DType::I64, {}), go = m.value("go", DType::Bool, {}), total = m.value("total", DType::F32, {1, -1}),
            row = m.value("row", DType::F32, {1, -1}), y = m.value("y", DType::F32, {-1}), n = m.value("n", DType::I64, {}),
            longer = m.value("longer", DType::F32), on = m.value("on", DType::Bool), made = m.value("made", DType::F32),
            sum = m.value("sum", DType::F32, {});
  m.op("Concat", {total, row}, {longer}, {{"axis", {1}}});
  m.op("Less", {i, n}, {on});
  m.op("If", {on, y, n}, {made});
  m.spec.ops.back().graphs = {branch(true, bytes), branch(true, bytes)};
  m.op("Gather", {made, m.constant<int64_t>("first", DType::I64, {}, {0})}, {sum}, {{"axis", {0}}});
  m.spec.inputs = {i, go, total, row, y, n};
  m.spec.outputs = {go, longer, sum};
  bytes.splice(bytes.end(), m.bytes);
  return m.spec;
}

GraphSpec scan_body() {
  ProgramMaker m;
  const int state = m.value("state", DType::F32, {}), element = m.value("element", DType::F32, {}),
            next = m.value("next", DType::F32, {}), out = m.value("out", DType::F32, {});
  m.op("Add", {state, element}, {next});
  m.op("Mul", {next, element}, {out});
  m.spec.inputs = {state, element};
  m.spec.outputs = {next, out};
  return m.spec;
}

}  // namespace

void write_control_sample(const std::string& path) {
  ProgramMaker m;
  const int x = m.value("x", DType::F32, {-1}), past = m.value("past", DType::F32, {1, -1});
  m.spec.tensors[0].symbols = {"batch"};
  m.spec.tensors[1].symbols = {"", "old"};
  const int places = m.value("places", DType::I64), turned = m.value("turned", DType::I64), y = m.value("y", DType::F32);
  m.op("NonZero", {x}, {places});
  m.op("Transpose", {places}, {turned}, {{"perm", {1, 0}}});
  m.op("GatherND", {x, turned}, {y});
  const int n = m.value("n", DType::I64), steps = m.value("steps", DType::F32), range = m.value("range", DType::I64);
  const int zero = m.constant<int64_t>("zero", DType::I64, {}, {0}), one = m.constant<int64_t>("one", DType::I64, {}, {1});
  m.op("ArgMax", {x}, {n}, {{"axis", {0}}, {"keepdims", {0}}});
  m.op("Range", {zero, n, one}, {range});
  m.op("Cast", {range}, {steps});
  const int row = m.value("row", DType::F32), present = m.value("present", DType::F32);
  const int wide = m.constant<int64_t>("wide", DType::I64, {2}, {1, -1});
  m.op("Reshape", {y, wide}, {row});
  m.op("Concat", {past, row}, {present}, {{"axis", {1}}});
  const int few = m.value("few", DType::Bool), chosen = m.value("chosen", DType::F32);
  m.op("Less", {n, m.constant<int64_t>("three", DType::I64, {}, {3})}, {few});
  m.op("If", {few, y, n}, {chosen});
  m.spec.ops.back().graphs = {branch(true, m.bytes), branch(false, m.bytes)};
  const int total = m.value("total", DType::F32), sums = m.value("sums", DType::F32);
  m.op("Loop", {n, -1, row, row, y, n}, {total, sums}, {{"carried", {1}}});
  m.spec.ops.back().graphs.push_back(loop_body(m.bytes));
  const int last = m.value("last", DType::F32), scanned = m.value("scanned", DType::F32);
  m.op("Scan", {m.constant<float>("start", DType::F32, {}, {0.5f}), chosen}, {last, scanned},
       {{"carried", {1}}, {"scanned", {1}}, {"scan_input_directions", {1}}, {"scan_output_axes", {0}}});
  m.spec.ops.back().graphs.push_back(scan_body());
  m.spec.inputs = {x, past};
  m.spec.outputs = {present, steps, chosen, total, sums, last, scanned};
  write_program(m.spec, path);
}

}  // namespace qgraph
