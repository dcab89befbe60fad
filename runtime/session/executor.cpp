#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>

#include "backend/cpu/isa/select.h"
#include "ops/op.h"
#include "program/file.h"
#include "qgraph/runtime.h"
#include "session/memory_plan.h"
#include "support/memory.h"
#include "support/thread_pool.h"

namespace qgraph {
namespace {

size_t bytes_of(const Tensor& t) { return static_cast<size_t>((t.size() * bits(t.type) + 7) / 8); }

/// Memory that grows and is 64-byte aligned.
class Block {
 public:
  ~Block() { std::free(data_); }
  uint8_t* reserve(size_t bytes) {
    if (bytes > size_) {
      std::free(data_);
      size_ = 0;
      data_ = static_cast<uint8_t*>(allocate_aligned(bytes));
      if (data_ == nullptr) throw Error("out of memory: " + std::to_string(bytes) + " bytes are needed; use smaller inputs");
      size_ = bytes;
    }
    return data_;
  }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

std::string show(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace

struct Session::Impl {
  Impl(const std::string& path, const SessionOptions& options)
      : program(path),
        kernels(select_kernels(options.isa, &isa)),
        pool(thread_count(options.threads)),
        profile(options.profile),
        keep(options.keep),
        memory_limit(options.memory_limit == 0 ? size_t{1} << 38 : options.memory_limit) {
    for (const OpInfo& info : program.ops()) {
      for (int i : info.inputs) program.expand(i);
      ops.push_back(make_op(OpSource(info, program.tensors(), kernels)));
      for (int i : info.inputs) program.release(i);
    }
    for (size_t i = 0; i < ops.size(); ++i)
      for (size_t j = 0; j < program.ops()[i].inputs.size(); ++j)
        if (static_cast<int>(j) != ops[i]->packed_input()) program.expand(program.ops()[i].inputs[j]);
    for (int i : program.outputs()) program.expand(i);
    times.resize(ops.size());
    for (int i : program.inputs()) inputs.push_back(signature(i));
    for (int i : program.outputs()) outputs.push_back(signature(i));
    for (const auto& input : inputs) {
      if (input.symbols.size() > input.shape.size()) throw Error("cannot load " + path + ": an input has too many symbols");
    }
    contexts.resize(ops.size());
  }

  Signature signature(int index) const {
    const TensorInfo& t = program.tensors()[static_cast<size_t>(index)];
    return {t.name, t.type, t.shape, t.symbols};
  }

  void check_inputs(const std::vector<Shape>& shapes) const {
    if (shapes.size() != inputs.size())
      throw Error("the program takes " + std::to_string(inputs.size()) + " inputs, " + std::to_string(shapes.size()) +
                  " were given");
    std::map<std::string, std::pair<int64_t, std::string>> bound;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Signature& want = inputs[i];
      if (shapes[i].size() != want.shape.size())
        throw Error("input '" + want.name + "' has " + std::to_string(shapes[i].size()) + " dims, " +
                    std::to_string(want.shape.size()) + " are needed");
      for (size_t d = 0; d < want.shape.size(); ++d) {
        if (shapes[i][d] < 0 || (want.shape[d] >= 0 && shapes[i][d] != want.shape[d]))
          throw Error("input '" + want.name + "' has shape " + show(shapes[i]) + ", the program takes " + show(want.shape) +
                      " (-1 is free)");
        if (want.shape[d] >= 0 || d >= want.symbols.size() || want.symbols[d].empty()) continue;
        auto [it, fresh] = bound.try_emplace(want.symbols[d], shapes[i][d], want.name);
        if (!fresh && it->second.first != shapes[i][d])
          throw Error("dim '" + want.symbols[d] + "' is " + std::to_string(it->second.first) + " in input '" + it->second.second +
                      "' and " + std::to_string(shapes[i][d]) + " in input '" + want.name + "'; they must be equal");
      }
    }
  }

  void prepare(const std::vector<Shape>& shapes) {
    if (ready && shapes == current) return;
    check_inputs(shapes);
    ready = false;
    const auto& infos = program.tensors();
    tensors.assign(infos.size(), Tensor{});
    known_values.clear();
    for (size_t i = 0; i < infos.size(); ++i) {
      tensors[i].type = infos[i].type;
      if (infos[i].data != nullptr) {
        tensors[i].shape = infos[i].shape;
        tensors[i].data = const_cast<uint8_t*>(infos[i].data);
        tensors[i].known = true;
      }
    }
    for (size_t i = 0; i < inputs.size(); ++i) tensors[static_cast<size_t>(program.inputs()[i])].shape = shapes[i];
    std::vector<Lifetime> lives(tensors.size());
    size_t scratch = 0;
    for (size_t i = 0; i < ops.size(); ++i) {
      scratch = std::max(scratch, infer(i));
      times[i].macs = ops[i]->macs(contexts[i]);
      times[i].bytes = 0;
      for (const auto* t : contexts[i].in) times[i].bytes += t == nullptr ? 0 : static_cast<int64_t>(bytes_of(*t));
      times[i].bytes -= ops[i]->left_out();
      for (const auto* t : contexts[i].out) times[i].bytes += static_cast<int64_t>(bytes_of(*t));
    }
    group();
    plan(lives);
    scratch_bytes = (scratch + 63) / 64 * 64;
    uint8_t* s = scratch_block.reserve(scratch_bytes * static_cast<size_t>(pool.size()) + 64);
    for (auto& c : contexts) {
      c.scratch = s;
      c.scratch_bytes = scratch_bytes;
    }
    current = shapes;
    ready = true;
  }

  size_t infer(size_t i) {
    const OpInfo& info = program.ops()[i];
    Context& c = contexts[i];
    c.kernels = &kernels;
    c.pool = &pool;
    c.in.clear();
    c.out.clear();
    bool known = true;
    for (int t : info.inputs) {
      c.in.push_back(t < 0 ? nullptr : &tensors[static_cast<size_t>(t)]);
      if (t >= 0) known = known && tensors[static_cast<size_t>(t)].known;
    }
    for (int t : info.outputs) c.out.push_back(&tensors[static_cast<size_t>(t)]);
    ops[i]->infer(c);
    for (Tensor* t : c.out) {
      if (t->rank() > kMaxRank) throw Error(info.what() + ": an output has more than 8 dims");
      if (bytes_of(*t) > memory_limit)
        throw Error(info.what() + ": an output would take more than the memory limit; use smaller inputs");
    }
    const bool shape_op = info.kind == "Shape" || info.kind == "Size";
    if ((known || shape_op) && ops[i]->foldable(c)) {
      for (Tensor* t : c.out) {
        known_values.emplace_back(bytes_of(*t) + 8);
        t->data = known_values.back().data();
        t->known = true;
      }
      c.scratch = scratch_block.reserve(64);
      ops[i]->run(c);
    }
    const size_t scratch = ops[i]->scratch(c);
    if (scratch > memory_limit)
      throw Error(info.what() + ": its scratch would take more than the memory limit; use smaller inputs");
    return scratch;
  }

  /// Put neighbours that compute as many rows, each by itself, into one step. Values of the same step never share memory.
  void group() {
    steps.clear();
    step_of.assign(ops.size(), 0);
    int64_t rows = 0;
    for (size_t i = 0; i < ops.size(); ++i) {
      const bool idle = contexts[i].out[0]->known || ops[i]->view();  // nothing to run: it parts no neighbours
      const int64_t mine = idle ? 0 : ops[i]->rows(contexts[i]);
      if (!idle) {
        if (steps.empty() || mine == 0 || mine != rows) steps.emplace_back();
        steps.back().push_back(i);
        rows = mine;
      }
      step_of[i] = static_cast<int>(steps.size());
    }
  }

  void run_step(const std::vector<size_t>& step) {
    Context& first = contexts[step[0]];
    if (step.size() == 1) return ops[step[0]]->run(first);
    const int64_t rows = ops[step[0]]->rows(first);
    int64_t some = rows;
    for (size_t i : step) some = std::min(some, some_rows(contexts[i], rows));
    pool.parallel(rows, some, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t r = begin; r < end; r += some)
        for (size_t i : step) ops[i]->run_rows(contexts[i], r, std::min(r + some, end), worker);
    });
  }

  /// Give every computed value its place in the arena; views share the place of what they view.
  void plan(std::vector<Lifetime>& lives) {
    const auto& list = program.ops();
    owner.resize(tensors.size());
    std::iota(owner.begin(), owner.end(), 0);
    for (size_t i = 0; i < list.size(); ++i) {
      const auto out = static_cast<size_t>(list[i].outputs[0]);
      if (ops[i]->view() && !tensors[out].known) owner[out] = owner[static_cast<size_t>(list[i].inputs[0])];
    }
    const auto end = static_cast<int>(steps.size()) + 1;
    for (size_t i = 0; i < list.size(); ++i) {
      for (int t : list[i].outputs) {
        const auto o = static_cast<size_t>(owner[static_cast<size_t>(t)]);
        if (o == static_cast<size_t>(t) && !tensors[o].known) lives[o] = {step_of[i], step_of[i], bytes_of(tensors[o]), 0};
      }
      for (int t : list[i].inputs)
        if (t >= 0) lives[static_cast<size_t>(owner[static_cast<size_t>(t)])].last = step_of[i];
    }
    for (int t : program.outputs()) lives[static_cast<size_t>(owner[static_cast<size_t>(t)])].last = end;
    if (keep)
      for (auto& life : lives) life.last = end;
    arena_bytes = plan_memory(lives);
    uint8_t* base = arena.reserve(arena_bytes + 64);
    for (size_t t = 0; t < tensors.size(); ++t)
      if (lives[t].first >= 0) tensors[t].data = base + lives[t].offset;
    for (size_t t = 0; t < tensors.size(); ++t)
      if (!tensors[t].known) tensors[t].data = tensors[static_cast<size_t>(owner[t])].data;
  }

  std::vector<Array> run(const std::vector<Array>& arrays) {
    if (busy.exchange(true)) throw Error("the session is running already; use one session a thread");
    struct Release {
      std::atomic<bool>& flag;
      ~Release() { flag = false; }
    } release{busy};
    std::vector<Shape> shapes;
    for (size_t i = 0; i < arrays.size(); ++i) {
      shapes.push_back(arrays[i].shape);
      if (i < inputs.size() && arrays[i].type != inputs[i].type)
        throw Error("input '" + inputs[i].name + "' is " + name(arrays[i].type) + ", the program takes " + name(inputs[i].type));
    }
    prepare(shapes);
    for (size_t i = 0; i < arrays.size(); ++i)
      tensors[static_cast<size_t>(program.inputs()[i])].data = const_cast<void*>(arrays[i].data);
    for (size_t t = 0; t < tensors.size(); ++t) {
      const auto o = static_cast<size_t>(owner[t]);
      if (o != t && !tensors[t].known) tensors[t].data = tensors[o].data;
    }
    if (profile)
      run_timed();
    else
      for (const auto& step : steps) run_step(step);
    std::vector<Array> results;
    for (int t : program.outputs()) {
      const Tensor& tensor = tensors[static_cast<size_t>(t)];
      results.push_back({tensor.type, tensor.shape, tensor.data});
    }
    return results;
  }

  void run_timed() {
    for (const auto& step : steps)
      for (size_t i : step) {
        const auto start = std::chrono::steady_clock::now();
        ops[i]->run(contexts[i]);
        times[i].seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        ++times[i].calls;
      }
  }

  Program program;
  std::string isa;
  const Kernels& kernels;
  ThreadPool pool;
  bool profile, keep;
  size_t memory_limit;
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<OpTime> times;
  std::vector<Signature> inputs, outputs;
  std::vector<Tensor> tensors;
  std::vector<int> owner;
  std::vector<Context> contexts;
  std::vector<std::vector<size_t>> steps;  // ops that run together
  std::vector<int> step_of;
  std::vector<std::vector<uint8_t>> known_values;
  std::vector<Shape> current;
  bool ready = false;
  std::atomic<bool> busy{false};
  Block arena, scratch_block;
  size_t arena_bytes = 0, scratch_bytes = 0;
};

Session::Session(const std::string& path, const SessionOptions& options) : impl_(std::make_unique<Impl>(path, options)) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
const std::vector<Signature>& Session::inputs() const { return impl_->inputs; }
const std::vector<Signature>& Session::outputs() const { return impl_->outputs; }
void Session::prepare(const std::vector<Shape>& shapes) { impl_->prepare(shapes); }
std::vector<Array> Session::run(const std::vector<Array>& inputs) { return impl_->run(inputs); }

Array Session::tensor(const std::string& name) const {
  const auto& infos = impl_->program.tensors();
  if (!impl_->keep || !impl_->ready) throw Error("values can be read after a run of a session with the option 'keep'");
  for (size_t i = 0; i < infos.size(); ++i)
    if (infos[i].name == name && infos[i].data == nullptr)
      return {impl_->tensors[i].type, impl_->tensors[i].shape, impl_->tensors[i].data};
  throw Error("the program has no value '" + name + "'");
}

std::vector<std::string> Session::tensor_names() const {
  std::vector<std::string> names;
  for (const OpInfo& op : impl_->program.ops())
    for (int t : op.outputs) names.push_back(impl_->program.tensors()[static_cast<size_t>(t)].name);
  return names;
}

const std::string& Session::isa() const { return impl_->isa; }
int Session::threads() const { return impl_->pool.size(); }
size_t Session::arena_bytes() const {
  return impl_->arena_bytes + impl_->scratch_bytes * static_cast<size_t>(impl_->pool.size());
}
size_t Session::weight_bytes() const { return impl_->program.weight_bytes(); }
std::vector<std::pair<std::string, std::string>> Session::metadata() const { return impl_->program.metadata(); }

std::vector<OpTime> Session::profile() const {
  auto times = impl_->times;
  for (size_t i = 0; i < times.size(); ++i) {
    times[i].kind = impl_->program.ops()[i].kind;
    times[i].name = impl_->program.ops()[i].name;
  }
  return times;
}

}  // namespace qgraph
