#include "session/shapes.h"

#include <algorithm>

namespace qgraph {

ShapeInference::ShapeInference(SessionContext& context, GraphInfo& graph, std::vector<PlacedOp>& ops,
                               std::vector<Tensor>& tensors)
    : context_(context), graph_(graph), ops_(ops), tensors_(tensors), pending_(graph.tensors.size()) {}

void ShapeInference::start(const std::vector<Shape>& inputs) {
  const auto& infos = graph_.tensors;
  for (size_t i = 0; i < infos.size(); ++i) {
    const bool constant = infos[i].data != nullptr;
    tensors_[i] = {infos[i].type, constant ? infos[i].shape : Shape{}, const_cast<uint8_t*>(infos[i].data), constant};
  }
  for (size_t i = 0; i < inputs.size(); ++i) tensors_[static_cast<size_t>(graph_.inputs[i])].shape = inputs[i];
}

// Whether an op needs a shape or a value that is not there before the ops in front of it have run.
bool ShapeInference::waits(size_t i) const {
  const std::vector<int>& inputs = graph_.ops[i].inputs;
  for (size_t j = 0; j < inputs.size(); ++j) {
    if (inputs[j] < 0) continue;
    const auto t = static_cast<size_t>(inputs[j]);
    if (pending_[t] || (ops_[i].op->needs_known(j) && !tensors_[t].known)) return true;
  }
  return false;
}

Inferred ShapeInference::infer(size_t begin) {
  Inferred found;
  pending_.assign(pending_.size(), false);
  for (size_t i = begin; i < ops_.size() && !waits(i); ++i) {
    found.end = i + 1;
    PlacedOp& op = ops_[i];
    for (Tensor* t : op.host.out) {
      t->shape.clear();
      t->data = nullptr;
      t->known = false;
    }
    op.op->infer(op.host);
    const bool open = op.op->shape_from_data();
    for (const Tensor* t : op.host.out) {
      if (open) break;
      if (t->rank() > kMaxRank) op.op->fail("an output has more than 8 dims");
      if (bytes_of(*t) > context_.memory_limit)
        op.op->fail("an output would take more than the memory limit; use smaller inputs");
    }
    if (fold(i, found) || op.kernel == nullptr) continue;
    if (open)
      for (int t : graph_.ops[i].outputs) pending_[static_cast<size_t>(t)] = true;
    const size_t bytes = op.kernel->prepare(op.host);
    if (bytes > context_.memory_limit) op.op->fail("its scratch would take more than the memory limit; use smaller inputs");
    size_t& most = found.scratch[op.backend];
    most = std::max(most, bytes);
  }
  found.end = std::max(found.end, begin);
  return found;
}

// Compute on the host what is known on the host; false where it is not.
bool ShapeInference::fold(size_t i, Inferred& found) {
  PlacedOp& op = ops_[i];
  const bool known = std::all_of(op.host.in.begin(), op.host.in.end(), [](const Tensor* t) { return t == nullptr || t->known; });
  if ((!known && !op.op->reads_only_shapes()) || !op.op->foldable(op.host)) return false;
  for (int input : graph_.ops[i].inputs) {
    if (input < 0) continue;
    TensorInfo& info = graph_.tensors[static_cast<size_t>(input)];
    if (info.encoded < 0) continue;
    context_.program.expand(info);
    tensors_[static_cast<size_t>(input)].data = const_cast<uint8_t*>(info.data);
  }
  for (Tensor* t : op.host.out) {
    t->known = true;
    if (op.op->shape_from_data()) continue;
    found.folded.emplace_back(bytes_of(*t) + 8);
    t->data = found.folded.back().data();
  }
  Kernel& kernel = host_kernel(i);
  kernel.prepare(op.host);
  kernel.run(op.host);
  return true;
}

Kernel& ShapeInference::host_kernel(size_t i) {
  PlacedOp& op = ops_[i];
  Kernel* kernel = op.space == 0 ? op.kernel.get() : nullptr;
  if (kernel == nullptr) {
    std::unique_ptr<Kernel>& own = host_kernels_[i];
    if (own == nullptr && context_.backends.host() != nullptr)
      own = context_.backends.host()->make_kernel(*op.op, OpSource(graph_.ops[i], graph_.tensors));
    kernel = own.get();
  }
  if (kernel == nullptr)
    op.op->fail("it is computed from shapes alone, but no backend of this session (" + context_.backends.names() +
                ") works on the host; add one");
  return *kernel;
}

}  // namespace qgraph
