// The Python binding: Session, write_program, read_program, available_isas, measure_peak.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <list>
#include <optional>

#include "qgraph/runtime.h"
#include "tooling/fake_quantize.h"
#include "tooling/read.h"
#include "tooling/write.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Input = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

qgraph::DType type_of(const nb::dlpack::dtype& t) {
  using Code = nb::dlpack::dtype_code;
  const auto code = static_cast<Code>(t.code);
  if (code == Code::Float && t.bits == 32) return qgraph::DType::F32;
  if (code == Code::Int && t.bits == 64) return qgraph::DType::I64;
  if (code == Code::Int && t.bits == 32) return qgraph::DType::I32;
  if (code == Code::Int && t.bits == 16) return qgraph::DType::I16;
  if (code == Code::Int && t.bits == 8) return qgraph::DType::I8;
  if (code == Code::UInt && t.bits == 8) return qgraph::DType::U8;
  if (code == Code::Bool) return qgraph::DType::Bool;
  throw qgraph::Error("an input has a dtype that no program takes");
}

nb::object to_python(const qgraph::Array& a) {
  // a copy: the session's memory is reused by the next run
  std::vector<size_t> shape(a.shape.begin(), a.shape.end());
  const size_t bytes = static_cast<size_t>(qgraph::elements(a.shape)) * static_cast<size_t>(qgraph::bits(a.type) / 8);
  auto* copy = new uint8_t[bytes + 1];
  std::copy_n(static_cast<const uint8_t*>(a.data), bytes, copy);
  nb::capsule owner(copy, [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
  nb::dlpack::dtype type;
  switch (a.type) {
    case qgraph::DType::F32:
      type = nb::dtype<float>();
      break;
    case qgraph::DType::I64:
      type = nb::dtype<int64_t>();
      break;
    case qgraph::DType::I32:
      type = nb::dtype<int32_t>();
      break;
    case qgraph::DType::I16:
      type = nb::dtype<int16_t>();
      break;
    case qgraph::DType::I8:
      type = nb::dtype<int8_t>();
      break;
    case qgraph::DType::Bool:
      type = nb::dtype<bool>();
      break;
    default:
      type = nb::dtype<uint8_t>();
      break;
  }
  return nb::cast(nb::ndarray<nb::numpy>(copy, shape.size(), shape.data(), owner, nullptr, type));
}

// An input that is None takes the value that is bound to it; outputs whose place in `left` is true stay in the session.
std::vector<nb::object> run(qgraph::Session& session, const std::vector<std::optional<Input>>& inputs,
                            const std::vector<bool>& left) {
  std::vector<qgraph::Array> arrays;
  for (const auto& given : inputs) {
    if (!given) {
      const auto& signature = session.inputs().at(arrays.size());
      arrays.push_back({signature.type, {}, nullptr});
      continue;
    }
    const Input& x = *given;
    qgraph::Shape shape;
    for (size_t d = 0; d < x.ndim(); ++d) shape.push_back(static_cast<int64_t>(x.shape(d)));
    static const uint64_t nothing = 0;  // an empty array is given, too
    arrays.push_back({type_of(x.dtype()), shape, x.data() == nullptr ? &nothing : x.data()});
  }
  std::vector<qgraph::Array> results;
  {
    nb::gil_scoped_release release;
    results = session.run(arrays);
  }
  std::vector<nb::object> out;
  for (size_t i = 0; i < results.size(); ++i) out.push_back(i < left.size() && left[i] ? nb::none() : to_python(results[i]));
  return out;
}

qgraph::GraphSpec graph_of(nb::handle tensors, nb::handle ops, nb::handle inputs, nb::handle outputs,
                           std::list<nb::bytes>& keep) {
  qgraph::GraphSpec spec;
  spec.inputs = nb::cast<std::vector<int>>(inputs);
  spec.outputs = nb::cast<std::vector<int>>(outputs);
  for (nb::handle h : tensors) {
    auto t = nb::cast<nb::tuple>(h);  // (name, type, shape, symbols, bytes or None, encoding[, factor, shares])
    qgraph::TensorSpec s;
    s.name = nb::cast<std::string>(t[0]);
    s.type = static_cast<qgraph::DType>(nb::cast<int>(t[1]));
    s.shape = nb::cast<std::vector<int64_t>>(t[2]);
    s.symbols = nb::cast<std::vector<std::string>>(t[3]);
    if (!t[4].is_none()) {
      keep.push_back(nb::cast<nb::bytes>(t[4]));
      s.constant = true;
      s.data = keep.back().c_str();
      s.bytes = keep.back().size();
      s.encoding = nb::cast<int>(t[5]);
      if (t.size() > 6) {
        s.factor = nb::cast<double>(t[6]);
        s.shares = nb::cast<int>(t[7]);
      }
    }
    spec.tensors.push_back(std::move(s));
  }
  for (nb::handle h : ops) {
    auto o = nb::cast<nb::tuple>(h);  // (kind, name, inputs, outputs, ints, floats[, graphs])
    qgraph::OpSpec s;
    s.kind = nb::cast<std::string>(o[0]);
    s.name = nb::cast<std::string>(o[1]);
    s.inputs = nb::cast<std::vector<int>>(o[2]);
    s.outputs = nb::cast<std::vector<int>>(o[3]);
    s.ints = nb::cast<std::vector<std::pair<std::string, std::vector<int64_t>>>>(o[4]);
    s.floats = nb::cast<std::vector<std::pair<std::string, std::vector<float>>>>(o[5]);
    if (o.size() > 6) {
      for (nb::handle g : nb::cast<nb::list>(o[6])) {
        auto nested = nb::cast<nb::tuple>(g);  // (tensors, ops, inputs, outputs)
        s.graphs.push_back(graph_of(nested[0], nested[1], nested[2], nested[3], keep));
      }
    }
    spec.ops.push_back(std::move(s));
  }
  return spec;
}

void write_file(nb::list tensors, nb::list ops, nb::list inputs, nb::list outputs,
                std::vector<std::pair<std::string, std::string>> metadata, const std::string& path) {
  std::list<nb::bytes> keep;
  qgraph::ProgramSpec spec;
  static_cast<qgraph::GraphSpec&>(spec) = graph_of(tensors, ops, inputs, outputs, keep);
  spec.metadata = std::move(metadata);
  qgraph::write_program(spec, path);
}

nb::tuple graph_to_python(const qgraph::GraphSpec& spec) {
  nb::list tensors, ops;
  for (const auto& t : spec.tensors) {
    nb::object data = nb::none();
    if (t.constant) data = nb::bytes(t.data, t.bytes);
    tensors.append(nb::make_tuple(t.name, static_cast<int>(t.type), t.shape, t.symbols, data, t.encoding));
  }
  for (const auto& o : spec.ops) {
    nb::list graphs;
    for (const auto& nested : o.graphs) graphs.append(graph_to_python(nested));
    ops.append(nb::make_tuple(o.kind, o.name, o.inputs, o.outputs, o.ints, o.floats, graphs));
  }
  return nb::make_tuple(tensors, ops, spec.inputs, spec.outputs);
}

// The arguments of write_program, from a file; constants are dense, their encoding says whether the file leaves zeros out.
nb::tuple read_file(const std::string& path) {
  qgraph::ProgramContents contents;
  {
    nb::gil_scoped_release release;
    contents = qgraph::read_program(path);
  }
  const nb::tuple graph = graph_to_python(contents.spec);
  return nb::make_tuple(graph[0], graph[1], graph[2], graph[3], contents.spec.metadata);
}

using Floats = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

qgraph::QuantizerShape quantizer_shape(const std::vector<int64_t>& s, const Floats& x, const Floats& scale, const Floats& zero) {
  const qgraph::QuantizerShape shape{s.at(0), s.at(1), s.at(2), s.at(3), s.at(4)};
  if (shape.outer * shape.axis * shape.inner != static_cast<int64_t>(x.size()) ||
      shape.scales() != static_cast<int64_t>(scale.size()) || scale.size() != zero.size())
    throw qgraph::Error("the shapes of a fake quantizer do not fit");
  return shape;
}

}  // namespace

NB_MODULE(_runtime, m) {
  nb::exception<qgraph::Error>(m, "RuntimeFailure");
  nb::class_<qgraph::Signature>(m, "Signature")
      .def_ro("name", &qgraph::Signature::name)
      .def_ro("shape", &qgraph::Signature::shape)
      .def_ro("symbols", &qgraph::Signature::symbols)
      .def_prop_ro("dtype", [](const qgraph::Signature& s) { return std::string(qgraph::name(s.type)); });
  nb::class_<qgraph::Session>(m, "Session")
      .def(
          "__init__",
          [](qgraph::Session* self, const std::string& path, int threads, const std::string& isa, bool profile, bool keep) {
            nb::gil_scoped_release release;
            qgraph::SessionOptions options;
            options.threads = threads;
            options.isa = isa;
            options.profile = profile;
            options.keep = keep;
            options.poll = [] {  // Ctrl-C
              nb::gil_scoped_acquire acquire;
              if (PyErr_CheckSignals() != 0) throw nb::python_error();
            };
            new (self) qgraph::Session(path, options);
          },
          "path"_a, "threads"_a = 0, "isa"_a = "", "profile"_a = false, "keep"_a = false)
      .def_prop_ro("inputs", &qgraph::Session::inputs)
      .def_prop_ro("outputs", &qgraph::Session::outputs)
      .def_prop_ro("isa", &qgraph::Session::isa)
      .def_prop_ro("threads", &qgraph::Session::threads)
      .def_prop_ro("arena_bytes", &qgraph::Session::arena_bytes)
      .def_prop_ro("weight_bytes", &qgraph::Session::weight_bytes)
      .def_prop_ro("metadata", &qgraph::Session::metadata)
      .def("run", &run, "inputs"_a.none(), "left"_a = std::vector<bool>{})
      .def("bind", &qgraph::Session::bind)
      .def("reset", &qgraph::Session::reset)
      .def("state",
           [](const qgraph::Session& s, const std::string& input) -> nb::object {
             const auto value = s.state(input);
             return value.data == nullptr ? nb::none() : to_python(value);
           })
      .def("tensor", [](const qgraph::Session& s, const std::string& name) { return to_python(s.tensor(name)); })
      .def_prop_ro("tensor_names", &qgraph::Session::tensor_names)
      .def("profile", [](const qgraph::Session& s) {
        nb::list rows;
        for (const auto& t : s.profile()) rows.append(nb::make_tuple(t.kind, t.name, t.seconds, t.calls, t.macs, t.bytes));
        return rows;
      });
  m.def("write_program", &write_file);
  m.def("read_program", &read_file);
  m.def("fake_quantize", [](const Floats& x, const Floats& scale, const Floats& zero, const std::vector<int64_t>& shape,
                            float qmin, float qmax, const Floats& y, const Floats& extremes, int threads) {
    const auto s = quantizer_shape(shape, x, scale, zero);
    float* watched = extremes.size() == 2 && s.scales() == 1 && x.size() > 0 ? extremes.data() : nullptr;
    nb::gil_scoped_release release;
    qgraph::fake_quantize(x.data(), scale.data(), zero.data(), s, qmin, qmax, y.data(), watched, threads);
  });
  m.def("fake_quantize_tokens", [](const Floats& x, int64_t n, const Floats& y, int threads) {
    const int64_t rows = n > 0 ? static_cast<int64_t>(x.size()) / n : 0;
    nb::gil_scoped_release release;
    qgraph::fake_quantize_tokens(x.data(), rows, n, y.data(), threads);
  });
  m.def("fake_quantize_backward",
        [](const Floats& grad, const Floats& x, const Floats& scale, const Floats& zero, const std::vector<int64_t>& shape,
           float qmin, float qmax, const Floats& grad_x, const Floats& grad_scale, int threads) {
          const auto s = quantizer_shape(shape, x, scale, zero);
          nb::gil_scoped_release release;
          qgraph::fake_quantize_backward(grad.data(), x.data(), scale.data(), zero.data(), s, qmin, qmax, grad_x.data(),
                                         grad_scale.data(), threads);
        });
  m.def("available_isas", &qgraph::available_isas);
  m.def(
      "measure_peak",
      [](int threads, const std::string& isa) {
        const auto peak = qgraph::measure_peak(threads, isa);
        return std::make_pair(peak.macs, peak.bytes);
      },
      "threads"_a = 0, "isa"_a = "", nb::call_guard<nb::gil_scoped_release>());
}
