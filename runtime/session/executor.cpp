#include "session/executor.h"

#include <algorithm>
#include <chrono>

namespace qgraph {

Executor::Executor(const std::string& path, std::vector<std::unique_ptr<Backend>> backends, const SessionOptions& options)
    : backends_(std::move(backends)),
      program_(path),
      ops_(place_ops(program_, backends_)),
      shapes_(program_, backends_),
      inputs_(signatures_of(program_.tensors(), program_.inputs())),
      outputs_(signatures_of(program_.tensors(), program_.outputs())),
      profile_(options.profile),
      keep_(options.keep),
      memory_limit_(options.memory_limit == 0 ? size_t{1} << 38 : options.memory_limit) {
  for (const auto& input : inputs_)
    if (input.symbols.size() > input.shape.size()) throw Error("cannot load " + path + ": an input has too many symbols");
  for (const OpInfo& info : program_.ops()) times_.push_back({info.kind, info.name});
  for (DeviceMemory* memory : backends_.memories) spaces_.push_back({{}, Arena(memory)});
}

void Executor::prepare(const std::vector<Shape>& shapes) {
  if (ready_ && shapes == current_) return;
  check_shapes(inputs_, shapes);
  ready_ = false;
  std::map<Backend*, size_t> scratch;
  shapes_.infer(shapes, memory_limit_, ops_, spaces_[0].tensors, scratch);
  count_work();
  schedule_ = group_steps(ops_);
  plan_ = plan_values(program_, ops_, spaces_[0].tensors, schedule_.step_of, static_cast<int>(schedule_.steps.size()),
                      spaces_.size(), keep_);
  place_values();
  for (const auto& backend : backends_.list) backend->reserve_scratch(scratch[backend.get()]);
  current_ = shapes;
  ready_ = true;
}

void Executor::count_work() {
  for (size_t i = 0; i < ops_.size(); ++i) {
    OpTime& time = times_[i];
    time.macs = ops_[i].op->macs();
    time.bytes = ops_[i].kernel == nullptr ? 0 : -ops_[i].kernel->left_out();
    for (const Tensor* t : ops_[i].host.in) time.bytes += t == nullptr ? 0 : static_cast<int64_t>(bytes_of(*t));
    for (const Tensor* t : ops_[i].host.out) time.bytes += static_cast<int64_t>(bytes_of(*t));
  }
}

/// Give every computed value its places in the arenas; views share the place of what they view.
void Executor::place_values() {
  for (size_t s = 0; s < spaces_.size(); ++s) {
    Space& space = spaces_[s];
    std::vector<Lifetime>& lives = plan_.lives[s];
    if (s > 0) {
      space.tensors = spaces_[0].tensors;
      for (Tensor& t : space.tensors) t.data = nullptr;
    }
    space.bytes = plan_memory(lives);
    uint8_t* base = space.arena.reserve(space.bytes + 64);
    for (size_t t = 0; t < lives.size(); ++t)
      if (lives[t].first >= 0) space.tensors[t].data = base + lives[t].offset;
    for (size_t t = 0; t < lives.size(); ++t)
      if (!space.tensors[t].known) space.tensors[t].data = space.tensors[plan_.owner[t]].data;
  }
  for (size_t i = 0; i < ops_.size(); ++i) {
    if (ops_[i].space == 0) continue;
    std::vector<Tensor>& tensors = spaces_[ops_[i].space].tensors;
    ops_[i].device = {};
    for (int t : program_.ops()[i].inputs) ops_[i].device.in.push_back(t < 0 ? nullptr : &tensors[static_cast<size_t>(t)]);
    for (int t : program_.ops()[i].outputs) ops_[i].device.out.push_back(&tensors[static_cast<size_t>(t)]);
  }
  for (const Copy& known : plan_.known) copy(known);
}

std::vector<Array> Executor::run(const std::vector<Array>& arrays) {
  if (busy_.exchange(true)) throw Error("the session is running already; use one session a thread");
  struct Release {
    std::atomic<bool>& flag;
    ~Release() { flag = false; }
  } release{busy_};
  check_types(inputs_, arrays);
  std::vector<Shape> shapes;
  for (const Array& array : arrays) shapes.push_back(array.shape);
  prepare(shapes);
  bind(arrays);
  if (profile_)
    run_timed();
  else
    run_steps();
  std::vector<Array> results;
  for (int t : program_.outputs()) {
    const Tensor& tensor = spaces_[0].tensors[static_cast<size_t>(t)];
    results.push_back({tensor.type, tensor.shape, tensor.data});
  }
  return results;
}

/// Inputs and their views are where the caller has them.
void Executor::bind(const std::vector<Array>& arrays) {
  std::vector<Tensor>& tensors = spaces_[0].tensors;
  for (size_t i = 0; i < arrays.size(); ++i)
    tensors[static_cast<size_t>(program_.inputs()[i])].data = const_cast<void*>(arrays[i].data);
  for (size_t t = 0; t < tensors.size(); ++t)
    if (plan_.owner[t] != t && !tensors[t].known) tensors[t].data = tensors[plan_.owner[t]].data;
}

void Executor::copy(const Copy& c) {
  const Tensor &from = spaces_[c.from].tensors[c.tensor], &to = spaces_[c.to].tensors[c.tensor];
  if (c.to == 0)
    backends_.memories[c.from]->download(to.data, from.data, bytes_of(from));
  else
    backends_.memories[c.to]->upload(to.data, from.data, bytes_of(from));
}

void Executor::run_steps() {
  for (size_t i = 0; i < schedule_.steps.size(); ++i) {
    for (const Copy& c : plan_.copies[i + 1]) copy(c);
    const Step& step = schedule_.steps[i];
    step.backend->run(step.launches);
  }
  for (const Copy& c : plan_.copies.back()) copy(c);
}

void Executor::run_timed() {
  for (size_t i = 0; i < schedule_.steps.size(); ++i) {
    for (const Copy& c : plan_.copies[i + 1]) copy(c);
    const Step& step = schedule_.steps[i];
    for (size_t j = 0; j < step.ops.size(); ++j) {
      const auto start = std::chrono::steady_clock::now();
      step.backend->run({&step.launches[j], 1});
      step.backend->synchronize();
      OpTime& time = times_[step.ops[j]];
      time.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      ++time.calls;
    }
  }
  for (const Copy& c : plan_.copies.back()) copy(c);
}

Array Executor::tensor(const std::string& name) const {
  if (!keep_ || !ready_) throw Error("values can be read after a run of a session with the option 'keep'");
  const auto& infos = program_.tensors();
  for (size_t i = 0; i < infos.size(); ++i) {
    const Tensor& t = spaces_[0].tensors[i];
    if (infos[i].name == name && infos[i].data == nullptr) return {t.type, t.shape, t.data};
  }
  throw Error("the program has no value '" + name + "'");
}

std::vector<std::string> Executor::tensor_names() const {
  std::vector<std::string> names;
  for (const OpInfo& op : program_.ops())
    for (int t : op.outputs) names.push_back(program_.tensors()[static_cast<size_t>(t)].name);
  return names;
}

size_t Executor::arena_bytes() const {
  size_t bytes = 0;
  for (const Space& space : spaces_) bytes += space.bytes;
  for (const auto& backend : backends_.list) bytes += backend->scratch_bytes();
  return bytes;
}

}  // namespace qgraph
