#include "session/executor.h"

namespace qgraph {

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
  if (busy_.exchange(true)) throw Error("the session is running already; use one session a thread");
  struct Release {
    std::atomic<bool>& flag;
    ~Release() { flag = false; }
  } release{busy_};
  check_types(inputs_, arrays);
  std::vector<Shape> shapes;
  std::vector<Held> values;
  for (const Array& array : arrays) {
    shapes.push_back(array.shape);
    values.push_back({{array.type, array.shape, const_cast<void*>(array.data)}, nullptr});
  }
  check_shapes(inputs_, shapes);
  graph_.run(std::move(values));
  std::vector<Array> results;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Tensor tensor = graph_.output(i).tensor;
    results.push_back({tensor.type, tensor.shape, tensor.data});
  }
  return results;
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
