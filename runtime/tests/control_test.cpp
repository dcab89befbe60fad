// Shapes that follow from the data, programs in programs, and values that stay in the session.
#include <gtest/gtest.h>

#include <numeric>

#include "qgraph/runtime_c.h"
#include "tests/program_maker.h"
#include "tests/sample_program.h"

namespace qgraph {
namespace {

std::string temporary(const char* name) { return testing::TempDir() + "/" + name; }

Array floats(const std::vector<float>& v, Shape shape) { return {DType::F32, std::move(shape), v.data()}; }
Array integer(const int64_t& v) { return {DType::I64, {}, &v}; }

template <typename T>
std::vector<T> values(const Array& a) {
  const auto* data = static_cast<const T*>(a.data);
  return {data, data + elements(a.shape)};
}

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// y = the elements of x that are not 0; r = these, reshaped to what comes with s
std::string selection() {
  ProgramMaker m;
  const int x = m.value("x", DType::F32, {-1}), s = m.value("s", DType::I64, {-1}), places = m.value("places", DType::I64),
            turned = m.value("turned", DType::I64), y = m.value("y", DType::F32), r = m.value("r", DType::F32),
            twice = m.value("twice", DType::F32);
  m.op("NonZero", {x}, {places});
  m.op("Transpose", {places}, {turned}, {{"perm", {1, 0}}});
  m.op("GatherND", {x, turned}, {y});
  m.op("Add", {y, y}, {twice});
  m.op("Reshape", {twice, s}, {r}, {{"allowzero", {1}}});
  m.spec.inputs = {x, s};
  m.spec.outputs = {y, r, places};
  const std::string path = temporary("selection.qgp");
  write_program(m.spec, path);
  return path;
}

TEST(Segments, ShapesFollowTheDataOfEveryRun) {
  for (bool keep : {false, true}) {
    SessionOptions options;
    options.keep = keep;
    Session session(selection(), options);
    for (int round = 0; round < 12; ++round) {
      const int64_t n = 4 + round / 6 * 2, left = round % 3;
      std::vector<float> x(static_cast<size_t>(n));
      for (int64_t i = 0; i < n; ++i) x[static_cast<size_t>(i)] = i < 2 * left ? static_cast<float>(i + 1 + round) : 0.0f;
      const std::vector<int64_t> s = round % 2 == 0 ? std::vector<int64_t>{2, left} : std::vector<int64_t>{2 * left, 1};
      const auto out = session.run({floats(x, {n}), {DType::I64, {2}, s.data()}});
      ASSERT_EQ(out[0].shape, (Shape{2 * left}));
      ASSERT_EQ(out[1].shape, s);
      ASSERT_EQ(out[2].shape, (Shape{1, 2 * left}));
      for (int64_t i = 0; i < 2 * left; ++i) {
        EXPECT_EQ(values<float>(out[0])[static_cast<size_t>(i)], x[static_cast<size_t>(i)]);
        EXPECT_EQ(values<float>(out[1])[static_cast<size_t>(i)], 2 * x[static_cast<size_t>(i)]);
        EXPECT_EQ(values<int64_t>(out[2])[static_cast<size_t>(i)], i);
      }
      if (keep) EXPECT_EQ(session.tensor("turned").shape, (Shape{2 * left, 1}));
    }
  }
}

TEST(Segments, AShapeThatDoesNotFitIsAnErrorAndTheNextRunIsRight) {
  Session session(selection());
  const std::vector<float> x{1, 0, 2, 0};
  std::vector<int64_t> s{1, 2};
  const std::vector<Array> inputs{floats(x, {4}), {DType::I64, {2}, s.data()}};
  EXPECT_EQ(session.run(inputs)[1].shape, (Shape{1, 2}));
  s = {3, 1};
  EXPECT_NE(message([&] { session.run(inputs); }).find("Reshape"), std::string::npos);
  s = {2, 1};
  EXPECT_EQ(session.run(inputs)[1].shape, (Shape{2, 1}));
}

// A body of a loop: u grows by w, v is multiplied by w, and i is handed out; it ends where `limit` iterations were made.
GraphSpec body() {
  ProgramMaker m;
  const int i = m.value("i", DType::I64), go = m.value("go", DType::Bool), u = m.value("u", DType::F32, {1, -1}),
            v = m.value("v", DType::F32), w = m.value("w", DType::F32), limit = m.value("limit", DType::I64),
            on = m.value("on", DType::Bool), longer = m.value("longer", DType::F32), product = m.value("product", DType::F32),
            copy = m.value("copy", DType::I64);
  m.op("Less", {i, limit}, {on});
  m.op("Concat", {u, w}, {longer}, {{"axis", {1}}});
  m.op("Mul", {v, w}, {product});
  m.op("Identity", {i}, {copy});
  m.spec.inputs = {i, go, u, v, w, limit};
  m.spec.outputs = {on, longer, product, copy};
  return m.spec;
}

std::string looping() {
  ProgramMaker m;
  const int trips = m.value("trips", DType::I64, {}), limit = m.value("limit", DType::I64, {}),
            u = m.value("u", DType::F32, {1, -1}), w = m.value("w", DType::F32, {1, 2}), longer = m.value("longer", DType::F32),
            product = m.value("product", DType::F32), counted = m.value("counted", DType::I64);
  m.op("Loop", {trips, -1, u, w, w, limit}, {longer, product, counted}, {{"carried", {2}}});
  m.spec.ops.back().graphs.push_back(body());
  m.spec.inputs = {trips, limit, u, w};
  m.spec.outputs = {longer, product, counted};
  const std::string path = temporary("loop.qgp");
  write_program(m.spec, path);
  return path;
}

TEST(Control, ALoopCarriesValuesThatGrow) {
  Session session(looping());
  const std::vector<float> u{7}, w{2, 3};
  for (int64_t trips : {0, 1, 5, 40, 3})
    for (int64_t limit : {100, 2}) {
      const auto out = session.run({integer(trips), integer(limit), floats(u, {1, 1}), floats(w, {1, 2})});
      const int64_t n = std::min(trips, limit + 1);
      ASSERT_EQ(out[0].shape, (Shape{1, 1 + 2 * n})) << trips;
      ASSERT_EQ(out[2].shape, (Shape{n}));
      for (int64_t i = 0; i < 2 * n; ++i) EXPECT_EQ(values<float>(out[0])[static_cast<size_t>(1 + i)], w[i % 2]);
      float product = 2;
      for (int64_t i = 0; i < n; ++i) product *= 2;
      EXPECT_EQ(values<float>(out[1])[0], product);
      for (int64_t i = 0; i < n; ++i) EXPECT_EQ(values<int64_t>(out[2])[static_cast<size_t>(i)], i);
    }
}

TEST(Control, TheSampleRuns) {
  const std::string path = temporary("control_sample.qgp");
  write_control_sample(path);
  std::vector<std::vector<uint8_t>> first;
  for (const auto& isa : available_isas())
    for (int threads : {1, 2}) {
      SessionOptions options;
      options.isa = isa;
      options.threads = threads;
      Session session(path, options);
      session.bind("present", "past");
      std::vector<std::vector<uint8_t>> got;
      for (const std::vector<float>& x : {std::vector<float>{0, 2, 0, 1, 5, 3}, {4, 0, 1}, {1, 2, 3, 4}}) {
        const auto out = session.run({floats(x, {static_cast<int64_t>(x.size())}), {}});
        for (const Array& a : out) {
          const auto* data = static_cast<const uint8_t*>(a.data);
          got.emplace_back(data, data + elements(a.shape) * bits(a.type) / 8);
        }
      }
      if (first.empty()) first = got;
      EXPECT_EQ(got, first) << isa << ", " << threads << " threads";
      EXPECT_EQ(session.state("past").shape, (Shape{1, 4 + 2 + 4}));
    }
}

TEST(Control, IterationsAreLimited) {
  SessionOptions options;
  options.max_iterations = 9;
  Session session(looping(), options);
  const std::vector<float> u{7}, w{2, 3};
  const auto run = [&](int64_t trips) { session.run({integer(trips), integer(100), floats(u, {1, 1}), floats(w, {1, 2})}); };
  EXPECT_EQ(message([&] { run(9); }), "");
  EXPECT_NE(message([&] { run(10); }).find("max_iterations"), std::string::npos);
  EXPECT_EQ(message([&] { run(9); }), "");
}

TEST(Control, ALoopCanBeStopped) {
  struct Stop {};
  SessionOptions options;
  options.poll = [] { throw Stop(); };
  Session session(looping(), options);
  const std::vector<float> u{7}, w{2, 3};
  EXPECT_THROW(session.run({integer(1 << 30), integer(1 << 30), floats(u, {1, 1}), floats(w, {1, 2})}), Stop);
}

TEST(Control, WhatItsGraphsTakeAndGiveIsChecked) {
  const auto refused = [](const std::function<void(ProgramSpec&)>& spoil) {
    ProgramMaker m;
    const int trips = m.value("trips", DType::I64, {}), limit = m.value("limit", DType::I64, {}),
              u = m.value("u", DType::F32, {1, -1}), w = m.value("w", DType::F32, {1, 2}), a = m.value("a", DType::F32),
              b = m.value("b", DType::F32), c = m.value("c", DType::I64);
    m.op("Loop", {trips, -1, u, w, w, limit}, {a, b, c}, {{"carried", {2}}});
    m.spec.ops.back().graphs.push_back(body());
    m.spec.inputs = {trips, limit, u, w};
    m.spec.outputs = {a};
    spoil(m.spec);
    const std::string path = temporary("spoilt.qgp");
    write_program(m.spec, path);
    return message([&] { Session session(path); });
  };
  EXPECT_EQ(refused([](ProgramSpec&) {}), "");
  EXPECT_NE(refused([](ProgramSpec& s) { s.ops[0].graphs.clear(); }), "");
  EXPECT_NE(refused([](ProgramSpec& s) { s.ops[0].graphs.push_back(body()); }), "");
  EXPECT_NE(refused([](ProgramSpec& s) { s.ops[0].ints = {{"carried", {3}}}; }), "");
  EXPECT_NE(refused([](ProgramSpec& s) { s.ops[0].inputs.pop_back(); }), "");
  EXPECT_NE(refused([](ProgramSpec& s) { s.ops[0].graphs[0].outputs.pop_back(); }), "");
  EXPECT_NE(refused([](ProgramSpec& s) { s.ops[0].graphs[0].outputs[0] = 0; }), "");
  EXPECT_NE(refused([](ProgramSpec& s) { s.ops[0].graphs[0].outputs[1] = 99; }), "");
  EXPECT_NE(refused([](ProgramSpec& s) { s.ops[0].graphs[0].ops[0].inputs[0] = 7; }), "");
}

TEST(Control, ProgramsLieInOneAnotherToACertainDepth) {
  const auto nested = [](int depth) {
    GraphSpec graph, leaf;
    for (int i = 0; i < depth; ++i) {
      ProgramMaker m;
      const int c = m.value("c", DType::Bool, {}), x = m.value("x", DType::F32, {-1}), y = m.value("y", DType::F32);
      if (i == 0) {
        m.op("Neg", {x}, {y});
      } else {
        m.op("If", {c, c, x}, {y});
        m.spec.ops.back().graphs = {graph, leaf};
      }
      m.spec.inputs = {c, x};
      m.spec.outputs = {y};
      graph = m.spec;
      if (i == 0) leaf = graph;
    }
    ProgramSpec program;
    static_cast<GraphSpec&>(program) = graph;
    const std::string path = temporary("deep.qgp");
    write_program(program, path);
    return path;
  };
  Session session(nested(5));
  const uint8_t yes = 1;
  const std::vector<float> x{1, 2};
  EXPECT_EQ(values<float>(session.run({{DType::Bool, {}, &yes}, floats(x, {2})})[0]), (std::vector<float>{-1, -2}));
  EXPECT_NE(message([&] { Session deep(nested(18)); }).find("deeper"), std::string::npos);
}

// present = past and x behind it; next = state + 1; y = 2 * present
std::string decoder() {
  ProgramMaker m;
  const int x = m.value("x", DType::F32, {-1, -1}), past = m.value("past", DType::F32, {-1, -1}),
            state = m.value("state", DType::F32, {3}), present = m.value("present", DType::F32),
            next = m.value("next", DType::F32), y = m.value("y", DType::F32);
  m.spec.tensors[0].symbols = {"batch", "new"};
  m.spec.tensors[1].symbols = {"batch", "old"};
  m.op("Concat", {past, x}, {present}, {{"axis", {1}}});
  const int one = m.constant<float>("one", DType::F32, {1}, {1});
  m.op("Add", {state, one}, {next});
  m.op("Add", {present, present}, {y});
  m.spec.inputs = {x, past, state};
  m.spec.outputs = {present, next, y};
  const std::string path = temporary("decoder.qgp");
  write_program(m.spec, path);
  return path;
}

TEST(Bind, OutputsAreTheNextInputs) {
  for (int64_t batch : {1, 2}) {
    Session session(decoder()), plain(decoder());
    session.bind("present", "past");
    session.bind("next", "state");
    for (int round = 0; round < 2; ++round) {
      std::vector<float> past, state(3, 0.0f);
      const void* before = nullptr;
      int moves = 0;
      for (int64_t step = 0; step < 50; ++step) {
        const int64_t n = 1 + step % 3, old = static_cast<int64_t>(past.size()) / batch;
        std::vector<float> x(static_cast<size_t>(batch * n));
        std::iota(x.begin(), x.end(), static_cast<float>(10 * step));
        const auto got = session.run({floats(x, {batch, n}), {}, {}});
        const auto want = plain.run({floats(x, {batch, n}), floats(past, {batch, old}), floats(state, {3})});
        for (size_t i = 0; i < 3; ++i) {
          ASSERT_EQ(got[i].shape, want[i].shape);
          ASSERT_EQ(values<float>(got[i]), values<float>(want[i]));
        }
        past = values<float>(want[0]);
        state = values<float>(want[1]);
        ASSERT_EQ(session.state("past").shape, want[0].shape);
        moves += got[0].data != before;
        before = got[0].data;
      }
      if (batch == 1) EXPECT_LT(moves, 12);  // what is appended to lies where it was, but for when its memory is full
      session.reset();
      EXPECT_EQ(session.state("past").data, nullptr);
    }
  }
}

TEST(Bind, AGivenArrayReplacesTheValueAndAFailedRunKeepsIt) {
  Session session(decoder());
  session.bind("present", "past");
  session.bind("next", "state");
  const std::vector<float> x{1}, past{5, 6}, state{0.5f, 1.5f, 2.5f};
  auto out = session.run({floats(x, {1, 1}), floats(past, {1, 2}), floats(state, {3})});
  EXPECT_EQ(values<float>(out[0]), (std::vector<float>{5, 6, 1}));
  EXPECT_THROW(session.run({floats(past, {2, 1}), {}, {}}), Error);  // another batch than that of the state
  out = session.run({floats(x, {1, 1}), {}, {}});
  EXPECT_EQ(values<float>(out[0]), (std::vector<float>{5, 6, 1, 1}));
  EXPECT_EQ(values<float>(out[1]), (std::vector<float>{2.5f, 3.5f, 4.5f}));
}

TEST(Bind, RefusesWhatDoesNotFit) {
  Session session(decoder());
  EXPECT_NE(message([&] { session.bind("gone", "past"); }).find("no output 'gone'"), std::string::npos);
  EXPECT_NE(message([&] { session.bind("present", "gone"); }).find("no input 'gone'"), std::string::npos);
  session.bind("present", "past");
  EXPECT_NE(message([&] { session.bind("y", "past"); }).find("already"), std::string::npos);
  EXPECT_NE(message([&] { session.state("x"); }).find("not bound"), std::string::npos);
  session.bind("y", "state");
  const std::vector<float> x{1};
  EXPECT_NE(message([&] { session.run({floats(x, {1, 1}), {}, {}}); }).find("does not take"), std::string::npos);

  Session other(looping());
  EXPECT_NE(message([&] { other.bind("longer", "trips"); }).find("one type"), std::string::npos);
}

TEST(Bind, CInterface) {
  qgraph_session* session = nullptr;
  ASSERT_EQ(qgraph_open(decoder().c_str(), 1, nullptr, &session), 0) << qgraph_last_error();
  EXPECT_EQ(qgraph_bind(session, "present", "past"), 0);
  EXPECT_EQ(qgraph_bind(session, "next", "state"), 0);
  EXPECT_NE(qgraph_bind(session, "next", "state"), 0);
  const float x = 3;
  qgraph_array in[3] = {{0, 2, {1, 1}, &x}, {}, {}}, out[3];
  for (int64_t step = 1; step < 4; ++step) {
    ASSERT_EQ(qgraph_run(session, in, 3, out, 3), 0) << qgraph_last_error();
    EXPECT_EQ(out[0].shape[1], step);
  }
  EXPECT_EQ(qgraph_reset(session), 0);
  ASSERT_EQ(qgraph_run(session, in, 3, out, 3), 0) << qgraph_last_error();
  EXPECT_EQ(out[0].shape[1], 1);
  qgraph_close(session);
}

}  // namespace
}  // namespace qgraph
