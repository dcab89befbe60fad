// Writing of program files; used by the compiler through the Python binding, and by tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "qgraph/runtime.h"

namespace qgraph {

struct TensorSpec {
  std::string name;
  DType type = DType::F32;
  Shape shape;
  std::vector<std::string> symbols;
  bool constant = false;
  const void* data = nullptr;
  size_t bytes = 0;
  int encoding = 0;  // see the schema
  double factor = 0;
  int shares = -1;  // an earlier constant whose bytes it lies in, see GraphSpec; `data` is not read then
};

struct GraphSpec;

struct OpSpec {
  std::string kind, name;
  std::vector<int> inputs, outputs;
  std::vector<std::pair<std::string, std::vector<int64_t>>> ints;
  std::vector<std::pair<std::string, std::vector<float>>> floats;
  std::vector<GraphSpec> graphs;  // the programs that it runs
};

/// Ops name tensors by their place in the graph. `shares` counts through the whole program: a graph's own tensors, then those of
/// the graphs of its ops, in order.
struct GraphSpec {
  std::vector<TensorSpec> tensors;
  std::vector<OpSpec> ops;
  std::vector<int> inputs, outputs;
};

struct ProgramSpec : GraphSpec {
  std::vector<std::pair<std::string, std::string>> metadata;
};

/// Write `spec` to `path`; throws Error when the file cannot be written.
void write_program(const ProgramSpec& spec, const std::string& path);

}  // namespace qgraph
