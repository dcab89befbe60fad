#include "ops/control.h"

#include <algorithm>

namespace qgraph::ops {

DType Control::type_of(const GraphInfo& graph, const std::vector<int>& list, size_t i) {
  return graph.tensors[static_cast<size_t>(list[i])].type;
}

void Control::require_graphs(const OpSource& s, size_t n) const {
  require(s.info.graphs.size() == n, "it has another number of graphs");
}

If::If(const OpSource& s) : Control(s) {
  require_graphs(s, 2);
  require(s.input(0).type == DType::Bool, "the condition must be bool");
  for (const GraphInfo& branch : s.info.graphs) {
    require(branch.inputs.size() + 1 == s.info.inputs.size() && branch.outputs.size() == s.info.outputs.size(),
            "a branch takes or gives another number of values");
    for (size_t i = 0; i < branch.inputs.size(); ++i)
      require(type_of(branch, branch.inputs, i) == s.input(i + 1).type, "a branch takes another type");
    for (size_t i = 0; i < branch.outputs.size(); ++i)
      require(type_of(branch, branch.outputs, i) == s.output_type(i), "a branch gives another type");
  }
}

Loop::Loop(const OpSource& s) : Control(s), carried(static_cast<size_t>(s.attributes.integer("carried", 0))) {
  require_graphs(s, 1);
  const GraphInfo& body = s.info.graphs[0];
  require(!s.has(0) || s.input(0).type == DType::I64, "the trip count must be int64");
  require(!s.has(1) || s.input(1).type == DType::Bool, "the condition must be bool");
  require(body.inputs.size() == std::max<size_t>(s.info.inputs.size(), 2) && body.inputs.size() >= 2 + carried &&
              body.outputs.size() == s.info.outputs.size() + 1 && s.info.outputs.size() >= carried,
          "the body takes or gives another number of values");
  require(type_of(body, body.inputs, 0) == DType::I64 && type_of(body, body.inputs, 1) == DType::Bool &&
              type_of(body, body.outputs, 0) == DType::Bool,
          "the body's iteration must be int64 and its condition bool");
  for (size_t i = 2; i < body.inputs.size(); ++i)
    require(type_of(body, body.inputs, i) == s.input(i).type, "the body takes another type");
  for (size_t i = 1; i < body.outputs.size(); ++i) {
    require(type_of(body, body.outputs, i) == s.output_type(i - 1), "the body gives another type");
    require(i > carried || s.output_type(i - 1) == s.input(i + 1).type, "a carried value changes its type");
  }
}

Scan::Scan(const OpSource& s)
    : Control(s),
      carried(static_cast<size_t>(s.attributes.integer("carried", 0))),
      scanned(static_cast<size_t>(s.attributes.integer("scanned"))) {
  require_graphs(s, 1);
  const GraphInfo& body = s.info.graphs[0];
  require(body.inputs.size() == s.info.inputs.size() && body.inputs.size() >= carried + scanned && scanned > 0 &&
              body.outputs.size() == s.info.outputs.size() && body.outputs.size() >= carried,
          "the body takes or gives another number of values");
  for (size_t i = 0; i < body.inputs.size(); ++i)
    require(type_of(body, body.inputs, i) == s.input(i).type, "the body takes another type");
  for (size_t i = 0; i < body.outputs.size(); ++i) {
    require(type_of(body, body.outputs, i) == s.output_type(i), "the body gives another type");
    require(i >= carried || s.output_type(i) == s.input(i).type, "a state changes its type");
  }
  in = ways(s, "scan_input_", scanned);
  out = ways(s, "scan_output_", body.outputs.size() - carried);
}

std::vector<Scan::Way> Scan::ways(const OpSource& s, const std::string& prefix, size_t n) const {
  const auto axes = s.attributes.integers((prefix + "axes").c_str()),
             directions = s.attributes.integers((prefix + "directions").c_str());
  require((axes.empty() || axes.size() == n) && (directions.empty() || directions.size() == n),
          "axes and directions differ in number from the sequences");
  std::vector<Way> ways;
  for (size_t i = 0; i < n; ++i) ways.push_back({axes.empty() ? 0 : axes[i], !directions.empty() && directions[i] != 0});
  return ways;
}

}  // namespace qgraph::ops
