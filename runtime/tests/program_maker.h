// Builds programs op by op.
#pragma once

#include <algorithm>
#include <cstring>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "tooling/write.h"

namespace qgraph {

struct ProgramMaker {
  ProgramSpec spec;
  std::list<std::vector<uint8_t>> bytes;
  uint32_t state = 12345;

  uint32_t next() { return state = state * 1664525u + 1013904223u; }

  int value(const char* name, DType type, Shape shape = {}) {
    spec.tensors.push_back({name, type, std::move(shape), {}, false, nullptr, 0, 0});
    return static_cast<int>(spec.tensors.size()) - 1;
  }
  template <typename T>
  int constant(const char* name, DType type, Shape shape, std::vector<T> data) {
    auto& raw = bytes.emplace_back(data.size() * sizeof(T));
    std::copy_n(reinterpret_cast<const uint8_t*>(data.data()), raw.size(), raw.data());
    spec.tensors.push_back({name, type, std::move(shape), {}, true, raw.data(), raw.size(), 0});
    return static_cast<int>(spec.tensors.size()) - 1;
  }
  // The same as a bitmap, in which only a third of the codes is left.
  int sparse(const char* name, Shape shape, const std::vector<int8_t>& data) {
    std::vector<uint8_t> raw((data.size() + 7) / 8);
    for (size_t i = 0; i < data.size(); i += 3) {
      raw[i / 8] = static_cast<uint8_t>(raw[i / 8] | 1 << (i % 8));
      raw.push_back(static_cast<uint8_t>(data[i]));
    }
    const int made = constant<uint8_t>(name, DType::I8, std::move(shape), raw);
    spec.tensors.back().encoding = 1;
    return made;
  }
  // The same in groups: two codes of every four.
  int grouped(const char* name, Shape shape, const std::vector<int8_t>& data) {
    std::vector<uint8_t> raw{2, 4};
    raw.resize(2 + (data.size() / 4 * 3 + 7) / 8);
    for (size_t g = 0; g < data.size() / 4; ++g) {
      const unsigned rank = next() % 6 << (g * 3 % 8);
      raw[2 + g * 3 / 8] = static_cast<uint8_t>(raw[2 + g * 3 / 8] | rank);
      if (rank > 255) raw[3 + g * 3 / 8] = static_cast<uint8_t>(raw[3 + g * 3 / 8] | rank >> 8);
    }
    for (size_t i = 0; i < data.size() / 2; ++i) raw.push_back(static_cast<uint8_t>(data[i]));
    const int made = constant<uint8_t>(name, DType::I8, std::move(shape), raw);
    spec.tensors.back().encoding = 2;
    return made;
  }
  // A float constant times a factor, in the same bytes.
  int scaled(const char* name, int base, double factor) {
    TensorSpec made = spec.tensors[static_cast<size_t>(base)];
    made.name = name;
    made.encoding = 3;
    made.factor = factor;
    made.shares = base;
    spec.tensors.push_back(std::move(made));
    return static_cast<int>(spec.tensors.size()) - 1;
  }
  // Float numbers as 4-bit codes, a scale for every two of the axis in the middle, and zero points.
  int dequantized(const char* name, int64_t outer, int64_t axis, int64_t inner) {
    const int64_t scales = outer * ((axis + 1) / 2) * inner;
    const std::vector<int64_t> head{4, 1, 0, axis, inner, 2, scales, 1};
    std::vector<uint8_t> raw(64);
    std::memcpy(raw.data(), head.data(), raw.size());
    for (int64_t i = 0; i < scales; ++i) raw.insert(raw.end(), {0, 0, 0, 60});  // 2^-7
    for (int64_t i = 0; i < scales; ++i) raw.insert(raw.end(), {static_cast<uint8_t>(i % 3), 0});
    raw.resize((raw.size() + 3) / 4 * 4);
    for (int64_t i = 0; i < outer * axis * inner; i += 2) raw.push_back(static_cast<uint8_t>(next() >> 24));
    const int made = constant<uint8_t>(name, DType::F32, {outer * axis * inner}, raw);
    spec.tensors.back().encoding = 4;
    return made;
  }
  std::vector<int8_t> weights(size_t n) {
    std::vector<int8_t> w(n);
    for (auto& v : w) v = static_cast<int8_t>(next() >> 24);
    return w;
  }
  void op(const char* kind, std::vector<int> in, std::vector<int> out,
          std::vector<std::pair<std::string, std::vector<int64_t>>> ints = {},
          std::vector<std::pair<std::string, std::vector<float>>> floats = {}) {
    spec.ops.push_back({kind, kind, std::move(in), std::move(out), std::move(ints), std::move(floats)});
  }
};

}  // namespace qgraph
