// The tables of a program, checked and copied out of the file; the bytes of constants stay where they lie.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "program_generated.h"
#include "qgraph/runtime.h"

namespace qgraph {

constexpr uint32_t kProgramVersion = 1;
constexpr int kMaxRank = 8;
constexpr int kMaxDepth = 16;  // of programs in one another

struct TensorInfo {
  std::string name;
  DType type = DType::F32;
  Shape shape;
  std::vector<std::string> symbols;
  const uint8_t* data = nullptr;  // of a constant; its encoded bytes while it is not expanded
  size_t bytes = 0;
  int encoded = -1;  // index of its encoding, where it is not dense in the file
};

/// A constant that is not dense in the file.
struct EncodedInfo {
  schema::Encoding encoding;
  const uint8_t* data;
  uint64_t size;
  double factor;
};

struct GraphInfo;

struct OpInfo {
  std::string kind, name;
  std::vector<int> inputs, outputs;
  const schema::Op* raw = nullptr;
  std::vector<GraphInfo> graphs;  // the programs that it runs
  std::string what() const { return kind + " '" + name + "'"; }
};

/// A program, or one that an op of another runs; indices are of its own tensors.
struct GraphInfo {
  std::vector<TensorInfo> tensors;
  std::vector<OpInfo> ops;
  std::vector<int> inputs, outputs;
};

struct ProgramTables {
  GraphInfo graph;
  std::vector<EncodedInfo> encoded;
  std::vector<std::pair<std::string, std::string>> metadata;
  size_t weight_bytes = 0;
};

}  // namespace qgraph
