#include "session/shapes.h"

#include <algorithm>

namespace qgraph {

void ShapeInference::set_inputs(const std::vector<Shape>& inputs, std::vector<Tensor>& tensors) const {
  const auto& infos = program_.tensors();
  tensors.assign(infos.size(), Tensor{});
  for (size_t i = 0; i < infos.size(); ++i) {
    tensors[i].type = infos[i].type;
    if (infos[i].data == nullptr) continue;
    tensors[i].shape = infos[i].shape;
    tensors[i].data = const_cast<uint8_t*>(infos[i].data);
    tensors[i].known = true;
  }
  for (size_t i = 0; i < inputs.size(); ++i) tensors[static_cast<size_t>(program_.inputs()[i])].shape = inputs[i];
}

void ShapeInference::infer(const std::vector<Shape>& inputs, size_t memory_limit, std::vector<PlacedOp>& ops,
                           std::vector<Tensor>& tensors, std::map<Backend*, size_t>& scratch) {
  set_inputs(inputs, tensors);
  known_values_.clear();
  for (size_t i = 0; i < ops.size(); ++i) {
    PlacedOp& op = ops[i];
    op.host = {};
    for (int t : program_.ops()[i].inputs) op.host.in.push_back(t < 0 ? nullptr : &tensors[static_cast<size_t>(t)]);
    for (int t : program_.ops()[i].outputs) op.host.out.push_back(&tensors[static_cast<size_t>(t)]);
    op.op->infer(op.host);
    for (const Tensor* t : op.host.out) {
      if (t->rank() > kMaxRank) op.op->fail("an output has more than 8 dims");
      if (bytes_of(*t) > memory_limit) op.op->fail("an output would take more than the memory limit; use smaller inputs");
    }
    if (fold(i, op, tensors) || op.kernel == nullptr) continue;
    const size_t bytes = op.kernel->prepare(op.host);
    if (bytes > memory_limit) op.op->fail("its scratch would take more than the memory limit; use smaller inputs");
    scratch[op.backend] = std::max(scratch[op.backend], bytes);
  }
}

// Compute on the host what is known on the host; false where it is not.
bool ShapeInference::fold(size_t i, PlacedOp& op, std::vector<Tensor>& tensors) {
  const bool known = std::all_of(op.host.in.begin(), op.host.in.end(), [](const Tensor* t) { return t == nullptr || t->known; });
  if ((!known && !op.op->reads_only_shapes()) || !op.op->foldable(op.host)) return false;
  const OpInfo& info = program_.ops()[i];
  for (int t : info.inputs) {
    if (t < 0 || program_.tensors()[static_cast<size_t>(t)].encoded < 0) continue;
    program_.expand(t);
    tensors[static_cast<size_t>(t)].data = const_cast<uint8_t*>(program_.tensors()[static_cast<size_t>(t)].data);
  }
  for (Tensor* t : op.host.out) {
    known_values_.emplace_back(bytes_of(*t) + 8);
    t->data = known_values_.back().data();
    t->known = true;
  }
  Kernel* kernel = op.space == 0 ? op.kernel.get() : nullptr;
  if (kernel == nullptr) {
    std::unique_ptr<Kernel>& own = host_kernels_[i];
    if (own == nullptr && backends_.host() != nullptr)
      own = backends_.host()->make_kernel(*op.op, OpSource(info, program_.tensors()));
    kernel = own.get();
  }
  if (kernel == nullptr)
    op.op->fail("it is computed from shapes alone, but no backend of this session (" + backends_.names() +
                ") works on the host; add one");
  kernel->prepare(op.host);
  kernel->run(op.host);
  return true;
}

}  // namespace qgraph
