#include "qgraph/runtime_c.h"

#include <string>

#include "qgraph/runtime.h"

struct qgraph_session {
  qgraph::Session session;
};

namespace {

thread_local std::string last_error;

template <typename F>
int guarded(F&& f) {
  try {
    f();
    return 0;
  } catch (const std::exception& error) {
    last_error = error.what();
  } catch (...) {
    last_error = "unknown error";
  }
  return 1;
}

}  // namespace

extern "C" {

int qgraph_open(const char* path, int threads, const char* isa, qgraph_session** out) {
  return guarded([&] {
    qgraph::SessionOptions options;
    options.threads = threads;
    if (isa != nullptr) options.isa = isa;
    *out = new qgraph_session{qgraph::Session(path, options)};
  });
}

void qgraph_close(qgraph_session* session) { delete session; }

int qgraph_input_count(const qgraph_session* session, size_t* out) {
  return guarded([&] { *out = session->session.inputs().size(); });
}

int qgraph_output_count(const qgraph_session* session, size_t* out) {
  return guarded([&] { *out = session->session.outputs().size(); });
}

const char* qgraph_input_name(const qgraph_session* session, size_t index) {
  const auto& list = session->session.inputs();
  return index < list.size() ? list[index].name.c_str() : nullptr;
}

const char* qgraph_output_name(const qgraph_session* session, size_t index) {
  const auto& list = session->session.outputs();
  return index < list.size() ? list[index].name.c_str() : nullptr;
}

int qgraph_run(qgraph_session* session, const qgraph_array* inputs, size_t n_inputs, qgraph_array* outputs, size_t n_outputs) {
  return guarded([&] {
    std::vector<qgraph::Array> arrays;
    for (size_t i = 0; i < n_inputs; ++i) {
      if (inputs[i].rank < 0 || inputs[i].rank > 8 || inputs[i].type < 0 || inputs[i].type > 6)
        throw qgraph::Error("input " + std::to_string(i) + " has a bad rank or type");
      arrays.push_back(
          {static_cast<qgraph::DType>(inputs[i].type), {inputs[i].shape, inputs[i].shape + inputs[i].rank}, inputs[i].data});
    }
    const auto results = session->session.run(arrays);
    if (n_outputs != results.size()) throw qgraph::Error("room for " + std::to_string(results.size()) + " outputs is needed");
    for (size_t i = 0; i < results.size(); ++i) {
      outputs[i] = {static_cast<int32_t>(results[i].type), static_cast<int32_t>(results[i].shape.size()), {}, results[i].data};
      for (size_t d = 0; d < results[i].shape.size(); ++d) outputs[i].shape[d] = results[i].shape[d];
    }
  });
}

int qgraph_bind(qgraph_session* session, const char* output, const char* input) {
  return guarded([&] { session->session.bind(output, input); });
}

int qgraph_reset(qgraph_session* session) {
  return guarded([&] { session->session.reset(); });
}

const char* qgraph_last_error(void) { return last_error.c_str(); }

}  // extern "C"
