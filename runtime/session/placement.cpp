#include "session/placement.h"

#include "ops/registry.h"
#include "session/context.h"
#include "session/control.h"

namespace qgraph {

Backends::Backends(std::vector<std::unique_ptr<Backend>> given) : list(std::move(given)), memories{nullptr} {
  for (const auto& backend : list)
    if (DeviceMemory* memory = backend->memory()) memories.push_back(memory);
}

size_t Backends::space_of(Backend& backend) const {
  size_t space = 0;
  while (memories[space] != backend.memory()) ++space;
  return space;
}

Backend* Backends::host() const {
  for (const auto& backend : list)
    if (backend->memory() == nullptr) return backend.get();
  return nullptr;
}

std::string Backends::names() const {
  std::string text;
  for (const auto& backend : list) text += (text.empty() ? "" : ", ") + backend->name();
  return text;
}

namespace {

PlacedOp place(SessionContext& context, OpInfo& info, const GraphInfo& graph) {
  const OpSource source(info, graph.tensors);
  const Backends& backends = context.backends;
  PlacedOp placed;
  placed.op = make_op(source);
  if (placed.op->view()) return placed;
  placed.kernel = make_control_kernel(context, *placed.op, info);
  if (placed.kernel != nullptr) {
    placed.backend = context.control.get();
    return placed;
  }
  for (const auto& backend : backends.list) {
    if (placed.op->shape_from_data() && backend->memory() != nullptr) continue;  // the host gives memory to its results
    placed.kernel = backend->make_kernel(*placed.op, source);
    if (placed.kernel == nullptr) continue;
    placed.backend = backend.get();
    placed.space = backends.space_of(*backend);
    return placed;
  }
  placed.op->fail("no backend of this session (" + backends.names() + ") has a kernel for it; add a backend that has one");
}

}  // namespace

std::vector<PlacedOp> place_ops(SessionContext& context, GraphInfo& graph) {
  Program& program = context.program;
  std::vector<PlacedOp> ops;
  std::vector<bool> read(graph.tensors.size());  // ops and kernels hold pointers to what they read
  for (OpInfo& info : graph.ops) {
    for (int i : info.inputs)
      if (i >= 0) program.expand(graph.tensors[static_cast<size_t>(i)]);
    const PlacedOp& placed = ops.emplace_back(place(context, info, graph));
    for (size_t j = 0; j < info.inputs.size(); ++j)
      if (info.inputs[j] >= 0 && (placed.kernel == nullptr || placed.kernel->reads(j)))
        read[static_cast<size_t>(info.inputs[j])] = true;
    for (int i : info.inputs)
      if (i >= 0 && !read[static_cast<size_t>(i)]) program.release(graph.tensors[static_cast<size_t>(i)]);
  }
  for (int i : graph.outputs) program.expand(graph.tensors[static_cast<size_t>(i)]);
  return ops;
}

}  // namespace qgraph
