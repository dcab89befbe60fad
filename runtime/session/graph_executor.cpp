#include "session/graph_executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <set>

namespace qgraph {

// Memory from the session's pool for the results of one op.
class GraphExecutor::OpResults : public HeldResults {
 public:
  OpResults(GraphExecutor& executor, size_t op) : executor_(executor), op_(op) {}

  Tensor& place(size_t output, const Shape& shape) override {
    const auto t = static_cast<size_t>(executor_.graph_.ops[op_].outputs.at(output));
    Tensor& tensor = executor_.tensors()[t];
    const Op& op = *executor_.ops_[op_].op;
    if (shape.size() > kMaxRank) op.fail("an output has more than 8 dims");
    tensor.shape = shape;
    const size_t bytes = bytes_of(tensor);
    if (bytes > executor_.context_.memory_limit) op.fail("an output would take more than the memory limit; use smaller inputs");
    executor_.take(t, bytes);
    return tensor;
  }

  void adopt(size_t output, Held value) override {
    const auto t = static_cast<size_t>(executor_.graph_.ops[op_].outputs.at(output));
    executor_.tensors()[t].shape = value.tensor.shape;
    executor_.tensors()[t].data = value.tensor.data;
    executor_.memory_[t] = std::move(value.memory);
  }

 private:
  GraphExecutor& executor_;
  size_t op_;
};

GraphExecutor::GraphExecutor(SessionContext& context, GraphInfo& graph, bool hold, bool keep, bool profile)
    : context_(context),
      graph_(graph),
      keep_(keep),
      profile_(profile),
      hold_(graph.outputs.size(), hold),
      ops_(place_ops(context, graph)),
      spaces_([&] {
        std::vector<Space> spaces;
        for (DeviceMemory* memory : context.backends.memories)
          spaces.push_back({std::vector<Tensor>(graph.tensors.size()), Arena(memory)});
        return spaces;
      }()),
      shapes_(context, graph, ops_, spaces_[0].tensors),
      owner_(graph.tensors.size()),
      writer_(graph.tensors.size()),
      memory_(graph.tensors.size()) {
  std::iota(owner_.begin(), owner_.end(), size_t{0});
  for (size_t i = 0; i < ops_.size(); ++i) {
    const OpInfo& info = graph.ops[i];
    times_.push_back({info.kind, info.name});
    for (int t : info.outputs) writer_[static_cast<size_t>(t)] = i + 1;
    const auto operands = [&](Values& values, std::vector<Tensor>& tensors) {
      for (int t : info.inputs) values.in.push_back(t < 0 ? nullptr : &tensors[static_cast<size_t>(t)]);
      for (int t : info.outputs) values.out.push_back(&tensors[static_cast<size_t>(t)]);
    };
    operands(ops_[i].host, spaces_[0].tensors);
    if (ops_[i].space != 0) operands(ops_[i].device, spaces_[ops_[i].space].tensors);
    if (ops_[i].op->shape_from_data()) ops_[i].host.results = results_.emplace_back(std::make_unique<OpResults>(*this, i)).get();
  }
}

GraphExecutor::~GraphExecutor() = default;

void GraphExecutor::prepare(const std::vector<Shape>& shapes) {
  if (ready() && shapes == current_) return;
  segments_.clear();
  shapes_.start(shapes);
  std::iota(owner_.begin(), owner_.end(), size_t{0});
  plan(0);
  current_ = shapes;
}

void GraphExecutor::hold(size_t i) {
  hold_[i] = true;
  segments_.clear();
}

// Plan the segment from op `begin` on; all before it is known or has run.
void GraphExecutor::plan(size_t begin) {
  Segment segment;
  segment.begin = begin;
  segment.inferred = shapes_.infer(begin);
  segment.end = segment.inferred.end;
  if (segment.end == begin && begin != 0) ops_[begin].op->fail("it needs a value that no run of the ops before it gives");
  count_work(segment);
  segment.schedule = group_steps(ops_, begin, segment.end);
  const bool last = segment.end == ops_.size();
  std::vector<size_t> survivors;
  find_survivors(segment, survivors);
  segment.plan = plan_values(
      {graph_, ops_, tensors(), begin, segment.end, segment.schedule, spaces_.size(), std::move(survivors), keep_}, owner_);
  hold_apart(segment);
  for (std::vector<Lifetime>& lives : segment.plan.lives) {
    segment.bytes.push_back(plan_memory(lives));
    auto& live = segment.live.emplace_back();
    for (size_t t = 0; t < lives.size(); ++t)
      if (lives[t].first >= 0) live.push_back(t);
  }
  for (size_t t : segment.live[0]) memory_[t] = nullptr;
  if (last && begin == 0) place(segment);
  segments_.push_back(std::move(segment));
  reserve_scratch();
}

// Values that must be on the host when the segment has run: outputs, and what later ops read. Also which later ops need known.
void GraphExecutor::find_survivors(Segment& segment, std::vector<size_t>& survivors) {
  for (size_t i = segment.begin; i < segment.end; ++i)
    for (int t : graph_.ops[i].outputs)
      if (ops_[i].op->shape_from_data() && !tensors()[static_cast<size_t>(t)].known)
        segment.results.push_back(static_cast<size_t>(t));
  for (int t : graph_.outputs)
    if (writer_[static_cast<size_t>(t)] <= segment.end) survivors.push_back(static_cast<size_t>(t));
  std::vector<bool> seen(tensors().size());
  for (size_t i = segment.end; i < ops_.size(); ++i)
    for (size_t j = 0; j < graph_.ops[i].inputs.size(); ++j) {
      if (graph_.ops[i].inputs[j] < 0) continue;
      const auto t = static_cast<size_t>(graph_.ops[i].inputs[j]);
      if (seen[t] || writer_[t] > segment.end || tensors()[t].known) continue;
      seen[t] = true;
      survivors.push_back(t);
    }
  std::vector<bool> wanted(tensors().size());
  for (size_t i = segment.end; i < ops_.size(); ++i)
    for (size_t j = 0; j < graph_.ops[i].inputs.size(); ++j) {
      if (graph_.ops[i].inputs[j] < 0) continue;
      const auto t = static_cast<size_t>(graph_.ops[i].inputs[j]);
      if (!seen[t] || wanted[t] || !ops_[i].op->needs_known(j)) continue;
      wanted[t] = true;
      segment.wanted.push_back(t);
    }
}

// Of the values that the segment computes, those that outlive it get memory of their own.
void GraphExecutor::hold_apart(Segment& segment) {
  const bool last = segment.end == ops_.size();
  std::vector<Lifetime>& lives = segment.plan.lives[0];
  const int end = static_cast<int>(segment.schedule.steps.size()) + 1;
  std::vector<bool> outputs(tensors().size());
  for (size_t i = 0; i < hold_.size(); ++i)
    if (hold_[i]) outputs[owner_[static_cast<size_t>(graph_.outputs[i])]] = true;
  std::set<size_t> taken;
  for (size_t t = 0; t < lives.size(); ++t) {
    if (lives[t].first < 0 || writer_[t] <= segment.begin) continue;
    if (last ? !outputs[t] : lives[t].last != end) continue;
    segment.held.push_back(t);
    lives[t].first = -1;
    const PlacedOp& op = ops_[writer_[t] - 1];
    if (op.space != 0 || !op.op->appends(op.host)) continue;
    const size_t first = owner_[static_cast<size_t>(graph_.ops[writer_[t] - 1].inputs[0])];
    const auto input = std::find(graph_.inputs.begin(), graph_.inputs.end(), static_cast<int>(first));
    if (input == graph_.inputs.end() || !taken.insert(first).second) continue;
    segment.appended[t] = static_cast<size_t>(input - graph_.inputs.begin());
  }
}

// Give the values of a segment their places in the arenas.
void GraphExecutor::place(Segment& segment) {
  for (size_t s = 0; s < spaces_.size(); ++s) {
    Space& space = spaces_[s];
    if (s > 0) {
      space.tensors.assign(tensors().begin(), tensors().end());
      for (Tensor& t : space.tensors) t.data = nullptr;
    }
    uint8_t* base = space.arena.reserve(segment.bytes[s] + 64);
    for (size_t t : segment.live[s]) space.tensors[t].data = base + segment.plan.lives[s][t].offset;
    if (s == 0) continue;
    for (size_t t = 0; t < space.tensors.size(); ++t) space.tensors[t].data = space.tensors[owner_[t]].data;
  }
  for (const Copy& known : segment.plan.known) copy(known);
}

void GraphExecutor::reserve_scratch() {
  std::map<Backend*, size_t> most;
  for (const Segment& segment : segments_)
    for (const auto& [backend, bytes] : segment.inferred.scratch) most[backend] = std::max(most[backend], bytes);
  context_.scratch.set(this, most, context_.backends);
}

void GraphExecutor::count_work(const Segment& segment) {
  for (size_t i = segment.begin; i < segment.end; ++i) {
    OpTime& time = times_[i];
    const PlacedOp& op = ops_[i];
    time.macs = op.op->macs();
    time.bytes = op.kernel == nullptr ? 0 : -op.kernel->left_out();
    for (const Tensor* t : op.host.in) time.bytes += t == nullptr ? 0 : static_cast<int64_t>(bytes_of(*t));
    if (op.op->shape_from_data()) continue;
    for (const Tensor* t : op.host.out) time.bytes += static_cast<int64_t>(bytes_of(*t));
  }
}

bool GraphExecutor::planned_for(const std::vector<Held>& inputs) const {
  return ready() && std::equal(inputs.begin(), inputs.end(), current_.begin(), current_.end(),
                               [](const Held& input, const Shape& shape) { return input.tensor.shape == shape; });
}

void GraphExecutor::run(std::vector<Held> inputs) {
  if (!planned_for(inputs)) {
    std::vector<Shape> shapes;
    for (const Held& input : inputs) shapes.push_back(input.tensor.shape);
    prepare(shapes);
  }
  inputs_ = std::move(inputs);
  for (const Segment& segment : segments_)
    for (size_t t : segment.wanted) tensors()[t].known = false;
  for (size_t i = 0; i < inputs_.size(); ++i) tensors()[static_cast<size_t>(graph_.inputs[i])].data = inputs_[i].tensor.data;
  for (size_t k = 0;; ++k) {
    if (k == segments_.size()) plan(segments_.back().end);
    bind(segments_[k]);
    if (profile_)
      run_timed(segments_[k]);
    else
      run_steps(segments_[k]);
    if (segments_[k].end == ops_.size()) break;
    leave(k);
  }
}

// Have all values of a segment where its plan has them, those of the inputs and of what ran before where they are.
void GraphExecutor::bind(Segment& segment) {
  if (segments_.size() > 1 || segment.end < ops_.size()) place(segment);  // segments use the same arenas
  for (size_t t : segment.held)
    if (!append(segment, t)) take(t, bytes_of(tensors()[t]));
  for (size_t t : segment.results) tensors()[t].data = nullptr;
  for (size_t t : segment.plan.views) tensors()[t].data = tensors()[owner_[t]].data;
}

// Where a value is an input with something behind it, and the input's memory has room for that, let it begin there.
bool GraphExecutor::append(const Segment& segment, size_t t) {
  const auto found = segment.appended.find(t);
  if (found == segment.appended.end()) return false;
  const Held& input = inputs_[found->second];
  const bool alone = std::count_if(inputs_.begin(), inputs_.end(), [&](const Held& h) { return h.memory == input.memory; }) == 1;
  if (input.memory == nullptr || !alone || input.tensor.data != input.memory->data() ||
      input.memory->size() < bytes_of(tensors()[t]))
    return false;
  memory_[t] = input.memory;
  tensors()[t].data = input.tensor.data;
  return true;
}

void GraphExecutor::take(size_t t, size_t bytes) {
  memory_[t] = nullptr;
  memory_[t] = context_.pool.take(bytes);
  tensors()[t].data = memory_[t]->data();
}

// Let later ops know what the segment computed for them; where it is not what they were planned for, their plans are void.
void GraphExecutor::leave(size_t k) {
  Segment& segment = segments_[k];
  bool same = segment.found;
  segment.found = false;
  segment.shapes.resize(segment.results.size());
  segment.values.resize(segment.wanted.size());
  for (size_t i = 0; i < segment.results.size(); ++i) {
    const auto& [type, shape, data, known] = tensors()[segment.results[i]];
    if (data == nullptr) ops_[writer_[segment.results[i]] - 1].op->fail("its kernel gave an output no shape");
    if (segment.shapes[i] == shape) continue;
    same = false;
    segment.shapes[i] = shape;
  }
  for (size_t i = 0; i < segment.wanted.size(); ++i) {
    Tensor& tensor = tensors()[segment.wanted[i]];
    std::vector<uint8_t>& value = segment.values[i];
    const size_t bytes = bytes_of(tensor);
    if (value.size() != bytes + 8 || (bytes != 0 && std::memcmp(value.data(), tensor.data, bytes) != 0)) {
      same = false;
      value.assign(bytes + 8, 0);
      if (bytes != 0) std::memcpy(value.data(), tensor.data, bytes);
    }
    tensor.data = value.data();
    tensor.known = true;
  }
  segment.found = true;
  if (!same) segments_.resize(k + 1);
}

Held GraphExecutor::output(size_t i) const {
  const auto t = static_cast<size_t>(graph_.outputs[i]);
  Held held{tensors()[t], nullptr};
  if (held.tensor.known) return held;
  held.memory = memory_[owner_[t]];
  for (size_t j = 0; j < inputs_.size() && held.memory == nullptr; ++j)
    if (static_cast<size_t>(graph_.inputs[j]) == owner_[t]) held.memory = inputs_[j].memory;
  return held;
}

void GraphExecutor::copy(const Copy& c) {
  const Tensor &from = spaces_[c.from].tensors[c.tensor], &to = spaces_[c.to].tensors[c.tensor];
  if (c.to == 0)
    context_.backends.memories[c.from]->download(to.data, from.data, bytes_of(from));
  else
    context_.backends.memories[c.to]->upload(to.data, from.data, bytes_of(from));
}

void GraphExecutor::run_steps(const Segment& segment) {
  for (size_t i = 0; i < segment.schedule.steps.size(); ++i) {
    for (const Copy& c : segment.plan.copies[i + 1]) copy(c);
    const Step& step = segment.schedule.steps[i];
    step.backend->run(step.launches);
  }
  for (const Copy& c : segment.plan.copies.back()) copy(c);
}

void GraphExecutor::run_timed(const Segment& segment) {
  for (size_t i = 0; i < segment.schedule.steps.size(); ++i) {
    for (const Copy& c : segment.plan.copies[i + 1]) copy(c);
    const Step& step = segment.schedule.steps[i];
    for (size_t j = 0; j < step.ops.size(); ++j) {
      const auto start = std::chrono::steady_clock::now();
      step.backend->run({&step.launches[j], 1});
      step.backend->synchronize();
      OpTime& time = times_[step.ops[j]];
      time.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      ++time.calls;
    }
  }
  for (const Copy& c : segment.plan.copies.back()) copy(c);
}

size_t GraphExecutor::arena_bytes() const {
  size_t bytes = 0;
  for (size_t s = 0; s < spaces_.size(); ++s) {
    size_t most = 0;
    for (const Segment& segment : segments_) most = std::max(most, segment.bytes[s]);
    bytes += most;
  }
  return bytes;
}

}  // namespace qgraph
