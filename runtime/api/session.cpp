// Session: a program on the CPU.
#include "backend/cpu/backend.h"
#include "backend/cpu/isa/select.h"
#include "qgraph/runtime.h"
#include "session/executor.h"

namespace qgraph {

struct Session::Impl {
  Impl(const std::string& path, const SessionOptions& options, std::unique_ptr<cpu::CpuBackend> backend)
      : isa(backend->isa()), threads(backend->threads()), executor(path, list_of(std::move(backend)), options) {}

  static std::vector<std::unique_ptr<Backend>> list_of(std::unique_ptr<Backend> backend) {
    std::vector<std::unique_ptr<Backend>> list;
    list.push_back(std::move(backend));
    return list;
  }

  std::string isa;
  int threads;
  Executor executor;
};

Session::Session(const std::string& path, const SessionOptions& options)
    : impl_(std::make_unique<Impl>(path, options, std::make_unique<cpu::CpuBackend>(options.threads, options.isa))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
const std::vector<Signature>& Session::inputs() const { return impl_->executor.inputs(); }
const std::vector<Signature>& Session::outputs() const { return impl_->executor.outputs(); }
void Session::prepare(const std::vector<Shape>& shapes) { impl_->executor.prepare(shapes); }
std::vector<Array> Session::run(const std::vector<Array>& inputs) { return impl_->executor.run(inputs); }
void Session::bind(const std::string& output, const std::string& input) { impl_->executor.bind(output, input); }
void Session::reset() { impl_->executor.reset(); }
Array Session::state(const std::string& input) const { return impl_->executor.state(input); }
Array Session::tensor(const std::string& name) const { return impl_->executor.tensor(name); }
std::vector<std::string> Session::tensor_names() const { return impl_->executor.tensor_names(); }
const std::string& Session::isa() const { return impl_->isa; }
int Session::threads() const { return impl_->threads; }
size_t Session::arena_bytes() const { return impl_->executor.arena_bytes(); }
size_t Session::weight_bytes() const { return impl_->executor.program().weight_bytes(); }
std::vector<OpTime> Session::profile() const { return impl_->executor.profile(); }
std::vector<std::pair<std::string, std::string>> Session::metadata() const { return impl_->executor.program().metadata(); }

}  // namespace qgraph
