#include "session/control.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "ops/control.h"
#include "ops/shape.h"
#include "session/graph_executor.h"

namespace qgraph {
namespace {

HeldResults& results_of(const Values& v) { return static_cast<HeldResults&>(*v.results); }

// An operand as an input of a graph: it stays where it is.
Held borrowed(const Tensor& operand) { return {{operand.type, operand.shape, operand.data}, nullptr}; }

// A value of a graph that its next run may overwrite or forget.
Held kept(Held value, BlockPool& pool) { return value.memory == nullptr ? copied(value.tensor, pool) : value; }

// What a body gave, which may have planned anew before the value is read.
Held settled(Held value, BlockPool& pool) { return value.tensor.known ? copied(value.tensor, pool) : value; }

// The only element of an operand.
template <typename T>
T element(const Op& op, const Tensor& t) {
  if (t.size() != 1) op.fail("the trip count and the condition must have one element");
  return *t.as<T>();
}

// One element as an input of a body, which may declare it as a scalar or as a vector of one.
Held scalar(const GraphInfo& body, size_t input, void* data) {
  const TensorInfo& info = body.tensors[static_cast<size_t>(body.inputs[input])];
  return {{info.type, info.shape.size() == 1 ? Shape{1} : Shape{}, data}, nullptr};
}

// Equal tensors one behind another, in memory that grows.
class Stack {
 public:
  Stack(SessionContext& context, const Op& op) : context_(context), op_(op) {}

  void push(const Tensor& t) {
    if (count_ == 0) element_ = {t.type, t.shape};
    if (t.shape != element_.shape) op_.fail("the elements of an output differ in shape from one iteration to the next");
    const size_t bytes = bytes_of(element_), all = bytes * (static_cast<size_t>(count_) + 1);
    if (all > context_.memory_limit) op_.fail("an output would take more than the memory limit; use smaller inputs");
    if (memory_ == nullptr || memory_->size() < all) {
      auto larger = context_.pool.take(2 * all);
      if (count_ != 0) std::memcpy(larger->data(), memory_->data(), all - bytes);
      memory_ = std::move(larger);
    }
    if (bytes != 0) std::memcpy(memory_->data() + (all - bytes), t.data, bytes);
    ++count_;
  }

  int64_t count() const { return count_; }
  // All of them along a new first axis; `declared` says what none look like.
  Held whole(const TensorInfo& declared) {
    if (count_ == 0) {
      element_ = {declared.type, declared.shape};
      for (int64_t& d : element_.shape) d = d < 0 ? 0 : d;
      memory_ = context_.pool.take(0);
    }
    Tensor all = element_;
    all.shape.insert(all.shape.begin(), count_);
    if (all.shape.size() > kMaxRank) op_.fail("an output has more than 8 dims");
    all.data = memory_->data();
    return {all, memory_};
  }

 private:
  SessionContext& context_;
  const Op& op_;
  Tensor element_;
  int64_t count_ = 0;
  std::shared_ptr<Block> memory_;
};

class ControlKernel : public Kernel {
 public:
  size_t prepare(const Values&) override { return 0; }

 protected:
  ControlKernel(SessionContext& context, OpInfo& info) : context_(context) {
    for (GraphInfo& graph : info.graphs) graphs_.push_back(std::make_unique<GraphExecutor>(context, graph, true));
  }

  SessionContext& context_;
  std::vector<std::unique_ptr<GraphExecutor>> graphs_;
};

class IfKernel : public ControlKernel {
 public:
  IfKernel(SessionContext& context, const ops::If& op, OpInfo& info) : ControlKernel(context, info), op_(op) {}

  void run(const Values& v) override {
    GraphExecutor& branch = *graphs_[element<uint8_t>(op_, *v.in[0]) != 0 ? 0 : 1];
    std::vector<Held> inputs;
    for (size_t i = 1; i < v.in.size(); ++i) inputs.push_back(borrowed(*v.in[i]));
    branch.run(std::move(inputs));
    for (size_t i = 0; i < v.out.size(); ++i) results_of(v).adopt(i, kept(branch.output(i), context_.pool));
  }

 private:
  const ops::If& op_;
};

class LoopKernel : public ControlKernel {
 public:
  LoopKernel(SessionContext& context, const ops::Loop& op, OpInfo& info) : ControlKernel(context, info), op_(op) {}

  void run(const Values& v) override {
    const int64_t trips =
        v.in.empty() || v.in[0] == nullptr ? std::numeric_limits<int64_t>::max() : element<int64_t>(op_, *v.in[0]);
    uint8_t go = v.in.size() < 2 || v.in[1] == nullptr ? 1 : element<uint8_t>(op_, *v.in[1]);
    int64_t iteration = 0;
    GraphExecutor& body = *graphs_[0];
    const GraphInfo& graph = body.graph();
    std::vector<Held> inputs{scalar(graph, 0, &iteration), scalar(graph, 1, &go)};
    for (size_t i = 2; i < v.in.size(); ++i) inputs.push_back(borrowed(*v.in[i]));
    std::vector<Stack> stacks(v.out.size() - op_.carried, Stack(context_, op_));
    for (; iteration < trips && go != 0; ++iteration) {
      context_.step();
      body.run(inputs);
      go = element<uint8_t>(op_, body.output(0).tensor);
      for (size_t i = 0; i < op_.carried; ++i) inputs[2 + i] = settled(body.output(1 + i), context_.pool);
      for (size_t i = 0; i < stacks.size(); ++i) stacks[i].push(body.output(1 + op_.carried + i).tensor);
    }
    for (size_t i = 0; i < op_.carried; ++i) results_of(v).adopt(i, kept(std::move(inputs[2 + i]), context_.pool));
    for (size_t i = 0; i < stacks.size(); ++i) {
      const auto t = static_cast<size_t>(graph.outputs[1 + op_.carried + i]);
      results_of(v).adopt(op_.carried + i, stacks[i].whole(graph.tensors[t]));
    }
  }

 private:
  const ops::Loop& op_;
};

// `x` with an axis moved: its elements along `from` lie along `to`.
Held moved(const Tensor& x, size_t from, size_t to, BlockPool& pool) {
  Shape order;
  for (size_t d = 0; d < x.shape.size(); ++d)
    if (d != from) order.push_back(static_cast<int64_t>(d));
  order.insert(order.begin() + static_cast<std::ptrdiff_t>(to), static_cast<int64_t>(from));
  const auto strides = strides_of(x.shape);
  Held held{x, pool.take(bytes_of(x))};
  held.tensor.data = held.memory->data();
  for (size_t d = 0; d < order.size(); ++d) held.tensor.shape[d] = x.shape[static_cast<size_t>(order[d])];
  const size_t size = static_cast<size_t>(bits(x.type)) / 8;
  Shape at(order.size());
  for (int64_t i = 0; i < x.size(); ++i) {
    int64_t source = 0;
    for (size_t d = 0; d < at.size(); ++d) source += at[d] * strides[static_cast<size_t>(order[d])];
    std::memcpy(held.memory->data() + static_cast<size_t>(i) * size, x.as<uint8_t>() + static_cast<size_t>(source) * size, size);
    for (size_t d = at.size(); d-- > 0 && ++at[d] == held.tensor.shape[d];) at[d] = 0;
  }
  return held;
}

class ScanKernel : public ControlKernel {
 public:
  ScanKernel(SessionContext& context, const ops::Scan& op, OpInfo& info) : ControlKernel(context, info), op_(op) {}

  void run(const Values& v) override {
    GraphExecutor& body = *graphs_[0];
    const GraphInfo& graph = body.graph();
    std::vector<Held> inputs, sequences;
    for (const Tensor* t : v.in) inputs.push_back(borrowed(*t));
    int64_t trips = 0;
    for (size_t i = 0; i < op_.scanned; ++i) {
      const Held& sequence = sequences.emplace_back(along_first(inputs[op_.carried + i], op_.in[i].axis));
      const int64_t length = sequence.tensor.shape[0];
      if (i > 0 && length != trips) op_.fail("the sequences differ in length");
      trips = length;
    }
    std::vector<Stack> stacks(v.out.size() - op_.carried, Stack(context_, op_));
    for (int64_t n = 0; n < trips; ++n) {
      context_.step();
      for (size_t i = 0; i < op_.scanned; ++i)
        inputs[op_.carried + i] = element_of(sequences[i].tensor, op_.in[i].reverse ? trips - 1 - n : n);
      body.run(inputs);
      for (size_t i = 0; i < op_.carried; ++i) inputs[i] = settled(body.output(i), context_.pool);
      for (size_t i = 0; i < stacks.size(); ++i) stacks[i].push(body.output(op_.carried + i).tensor);
    }
    for (size_t i = 0; i < op_.carried; ++i) results_of(v).adopt(i, kept(std::move(inputs[i]), context_.pool));
    for (size_t i = 0; i < stacks.size(); ++i) {
      const auto t = static_cast<size_t>(graph.outputs[op_.carried + i]);
      Held whole = stacks[i].whole(graph.tensors[t]);
      if (op_.out[i].reverse) reverse(whole.tensor);
      const AxisSplit split = split_at(whole.tensor.shape, op_.out[i].axis, op_.what());
      if (split.axis != 0) whole = moved(whole.tensor, 0, static_cast<size_t>(split.axis), context_.pool);
      results_of(v).adopt(op_.carried + i, std::move(whole));
    }
  }

 private:
  Held along_first(const Held& sequence, int64_t axis) const {
    const AxisSplit split = split_at(sequence.tensor.shape, axis, op_.what());
    return split.axis == 0 ? sequence : moved(sequence.tensor, static_cast<size_t>(split.axis), 0, context_.pool);
  }

  static Held element_of(const Tensor& sequence, int64_t i) {
    Tensor element{sequence.type, {sequence.shape.begin() + 1, sequence.shape.end()}};
    element.data = sequence.as<uint8_t>() + static_cast<size_t>(i) * bytes_of(element);
    return {element, nullptr};
  }

  static void reverse(const Tensor& t) {
    const auto n = static_cast<size_t>(t.shape[0]);
    const size_t bytes = n == 0 ? 0 : bytes_of(t) / n;
    for (size_t i = 0; i < n / 2; ++i)
      std::swap_ranges(t.as<uint8_t>() + i * bytes, t.as<uint8_t>() + (i + 1) * bytes, t.as<uint8_t>() + (n - 1 - i) * bytes);
  }

  const ops::Scan& op_;
};

}  // namespace

std::unique_ptr<Kernel> make_control_kernel(SessionContext& context, const Op& op, OpInfo& info) {
  if (const auto* branch = dynamic_cast<const ops::If*>(&op)) return std::make_unique<IfKernel>(context, *branch, info);
  if (const auto* loop = dynamic_cast<const ops::Loop*>(&op)) return std::make_unique<LoopKernel>(context, *loop, info);
  if (const auto* scan = dynamic_cast<const ops::Scan*>(&op)) return std::make_unique<ScanKernel>(context, *scan, info);
  return nullptr;
}

}  // namespace qgraph
