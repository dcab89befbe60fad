#include "session/executor.h"

#include <algorithm>

namespace qgraph {
namespace {

class Busy {
 public:
  explicit Busy(std::atomic<bool>& flag) : flag_(flag) {
    if (flag.exchange(true)) throw Error("the session is running already; use one session a thread");
  }
  ~Busy() { flag_ = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  std::atomic<bool>& flag_;
};

}  // namespace

Executor::Executor(const std::string& path, std::vector<std::unique_ptr<Backend>> backends, const SessionOptions& options)
    : context_(path, std::move(backends), options),
      graph_(context_, context_.program.graph(), false, options.keep, options.profile),
      inputs_(signatures_of(graph_.graph().tensors, graph_.graph().inputs)),
      outputs_(signatures_of(graph_.graph().tensors, graph_.graph().outputs)),
      keep_(options.keep) {
  for (const auto& input : inputs_)
    if (input.symbols.size() > input.shape.size()) throw Error("cannot load " + path + ": an input has too many symbols");
}

void Executor::prepare(const std::vector<Shape>& shapes) {
  check_shapes(inputs_, shapes);
  graph_.prepare(shapes);
}

std::vector<Array> Executor::run(const std::vector<Array>& arrays) {
  const Busy busy(busy_);
  context_.start();
  check_count(inputs_, arrays.size());
  std::vector<Held> values;
  values.reserve(arrays.size());
  for (const Array& array : arrays) values.push_back({{array.type, array.shape, const_cast<void*>(array.data)}, nullptr});
  for (const Bound& bound : bound_)
    if (arrays[bound.input].data == nullptr) values[bound.input] = bound.set ? bound.value : first_value(bound, arrays);
  for (size_t i = 0; i < values.size(); ++i) check_type(inputs_[i], values[i].tensor.type);
  if (!graph_.planned_for(values)) {
    std::vector<Shape> shapes;
    for (const Held& value : values) shapes.push_back(value.tensor.shape);
    check_shapes(inputs_, shapes);
  }
  graph_.run(std::move(values));
  std::vector<Held> next;
  for (const Bound& bound : bound_) next.push_back(next_value(bound));
  for (size_t i = 0; i < bound_.size(); ++i) {
    bound_[i].value = std::move(next[i]);
    bound_[i].set = true;
  }
  std::vector<Array> results;
  results.reserve(outputs_.size());
  for (int t : graph_.graph().outputs) {
    const Tensor& tensor = graph_.tensor(static_cast<size_t>(t));
    results.push_back({tensor.type, tensor.shape, tensor.data});
  }
  return results;
}

void Executor::bind(const std::string& output, const std::string& input) {
  const Busy busy(busy_);
  const size_t o = index_of(outputs_, output, "output"), i = index_of(inputs_, input, "input");
  for (const Bound& bound : bound_)
    if (bound.input == i) throw Error("input '" + input + "' is bound to output '" + outputs_[bound.output].name + "' already");
  if (outputs_[o].type != inputs_[i].type)
    throw Error("output '" + output + "' is " + name(outputs_[o].type) + " and input '" + input + "' " + name(inputs_[i].type) +
                "; only values of one type can be bound");
  graph_.hold(o);
  bound_.push_back({o, i, false, {}});
}

void Executor::reset() {
  const Busy busy(busy_);
  for (Bound& bound : bound_) {
    bound.set = false;
    bound.value = {};
  }
}

Array Executor::state(const std::string& input) const {
  const size_t i = index_of(inputs_, input, "input");
  for (const Bound& bound : bound_)
    if (bound.input == i) return {inputs_[i].type, bound.value.tensor.shape, bound.value.tensor.data};
  throw Error("input '" + input + "' is not bound to an output");
}

// Zeros; free dims have the length that inputs which are given have under the same symbol, else 0.
Held Executor::first_value(const Bound& bound, const std::vector<Array>& arrays) {
  std::vector<Shape> shapes;
  for (const Array& array : arrays) shapes.push_back(array.shape);
  for (const Bound& other : bound_)
    if (arrays[other.input].data == nullptr) shapes[other.input] = other.set ? other.value.tensor.shape : Shape{};
  Tensor zeros{inputs_[bound.input].type, free_dims_set(inputs_, bound.input, shapes)};
  const size_t bytes = bytes_of(zeros);
  if (bytes > context_.memory_limit)
    throw Error("input '" + inputs_[bound.input].name + "' would take more than the memory limit");
  Held value{zeros, context_.pool.take(bytes)};
  value.tensor.data = value.memory->data();
  std::fill_n(value.tensor.as<uint8_t>(), bytes, uint8_t{0});
  return value;
}

// What an output is now, for the next run.
Held Executor::next_value(const Bound& bound) {
  Held value = graph_.output(bound.output);
  if (!fits(inputs_[bound.input], value.tensor.shape))
    throw Error("output '" + outputs_[bound.output].name + "' has shape " + show(value.tensor.shape) + ", which input '" +
                inputs_[bound.input].name + "' does not take (" + show(inputs_[bound.input].shape) + ", -1 is free)");
  return value.memory == nullptr ? copied(value.tensor, context_.pool) : value;
}

Array Executor::tensor(const std::string& name) const {
  if (!keep_ || !graph_.ready()) throw Error("values can be read after a run of a session with the option 'keep'");
  const auto& infos = graph_.graph().tensors;
  for (size_t i = 0; i < infos.size(); ++i) {
    const Tensor& t = graph_.tensor(i);
    if (infos[i].name == name && infos[i].data == nullptr) return {t.type, t.shape, t.data};
  }
  throw Error("the program has no value '" + name + "'");
}

std::vector<std::string> Executor::tensor_names() const {
  std::vector<std::string> names;
  for (const OpInfo& op : graph_.graph().ops)
    for (int t : op.outputs) names.push_back(graph_.graph().tensors[static_cast<size_t>(t)].name);
  return names;
}

size_t Executor::arena_bytes() const {
  size_t bytes = graph_.arena_bytes() + context_.pool.bytes();
  for (const auto& backend : context_.backends.list) bytes += backend->scratch_bytes();
  return bytes;
}

}  // namespace qgraph
