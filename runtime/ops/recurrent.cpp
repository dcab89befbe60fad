#include "ops/recurrent.h"

#include <limits>

#include "ops/quantization.h"

namespace qgraph::ops {
namespace {

using F = RecurrentFunction;

Cell cell_of(const std::string& kind) {
  return kind.ends_with("LSTM") ? Cell::Lstm : kind.ends_with("GRU") ? Cell::Gru : Cell::Rnn;
}

std::vector<F> usual(Cell cell) {
  if (cell == Cell::Lstm) return {F::Sigmoid, F::Tanh, F::Tanh};
  if (cell == Cell::Gru) return {F::Sigmoid, F::Tanh};
  return {F::Tanh};
}

}  // namespace

Recurrent::Recurrent(const OpSource& s)
    : Op(s),
      cell(cell_of(kind())),
      codes(!kind().starts_with("ai.onnx.")),
      gates(cell == Cell::Lstm  ? 4
            : cell == Cell::Gru ? 3
                                : 1),
      batch_first(s.attributes.integer("layout", 0) != 0),
      input_forget(s.attributes.integer("input_forget", 0) != 0),
      linear_before_reset(s.attributes.integer("linear_before_reset", 0) != 0),
      clip(s.attributes.number("clip", std::numeric_limits<float>::infinity())) {
  const auto way = choice<RecurrentDirection>(s.attributes, "direction");
  directions = way == RecurrentDirection::Bidirectional ? 2 : 1;
  reverse = way == RecurrentDirection::Reverse;
  const std::vector<F> functions = usual(cell);
  const size_t count = static_cast<size_t>(directions) * functions.size();
  if (s.attributes.has("activations")) {
    const auto chosen = s.attributes.integers("activations");
    const auto alpha = s.attributes.floats("activation_alpha"), beta = s.attributes.floats("activation_beta");
    require(chosen.size() == count && alpha.size() == count && beta.size() == count,
            "it has not the number of activations that its directions need");
    for (size_t i = 0; i < count; ++i) activations.push_back({static_cast<F>(chosen[i]), alpha[i], beta[i]});
  } else {
    for (size_t i = 0; i < count; ++i) activations.push_back({functions[i % functions.size()], 0, 0});
  }
  for (size_t i = 0; i < s.info.outputs.size(); ++i) require(s.output_type(i) == DType::F32, "its outputs must be float32");
  require(s.info.outputs.size() <= (cell == Cell::Lstm ? 3 : 2), "it has too many outputs");
  if (codes) {
    const TensorInfo& r = s.constant(kCodes, DType::I8);
    require(r.shape.size() == 3 && r.shape[0] == directions && r.shape[1] == gates * r.shape[2],
            "the weights of the state must be [directions, gates * hidden, hidden]");
    hidden = r.shape[2];
    require(hidden <= (int64_t{1} << 16), "the state is so wide that it overflows the accumulator");
    finite_constant(s, kMultiplier, directions * gates * hidden);
    if (s.has(kCodesBias)) finite_constant(s, kCodesBias, directions * gates * hidden);
  } else {
    const TensorInfo& r = s.input(kRecurrent);
    hidden = s.attributes.integer("hidden_size", r.data != nullptr && r.shape.size() == 3 ? r.shape[2] : -1);
  }
}

void Recurrent::require_shape(const Values& v, size_t i, const Shape& shape, const char* why) const {
  if (given(v, i)) require(in(v, i, {DType::F32}).shape == shape, why);
}

void Recurrent::infer(const Values& v) {
  const Tensor& x = in(v, kX, {DType::F32});
  require(x.rank() == 3, "its input must have three dims");
  time = x.shape[batch_first ? 1 : 0];
  batch = x.shape[batch_first ? 0 : 1];
  inputs = x.shape[2];
  if (codes) {
    require(inputs == directions * gates * hidden, "its input must have a column for each gate of each direction");
  } else {
    const Tensor& r = in(v, kRecurrent, {DType::F32});
    require(r.rank() == 3, "the weights of the state must have three dims");
    if (hidden < 0) hidden = r.shape[2];
    require(r.shape == Shape{directions, gates * hidden, hidden},
            "the weights of the state must be [directions, gates * hidden_size, hidden_size]");
    require(in(v, kW, {DType::F32}).shape == Shape{directions, gates * hidden, inputs},
            "the weights of the input must be [directions, gates * hidden_size, inputs]");
    require_shape(v, kB, {directions, 2 * gates * hidden}, "the biases must be [directions, 2 * gates * hidden_size]");
  }
  const Shape state = batch_first ? Shape{batch, directions, hidden} : Shape{directions, batch, hidden};
  if (given(v, kLengths))
    require(in(v, kLengths, {DType::I32}).shape == Shape{batch}, "there must be one length a row of the batch");
  require_shape(v, kInitialH, state, "the state does not fit the batch, the directions and hidden_size");
  if (cell == Cell::Lstm) {
    require_shape(v, kInitialC, state, "the state of the cell does not fit the batch, the directions and hidden_size");
    require_shape(v, kPeepholes, {directions, 3 * hidden}, "the peepholes must be [directions, 3 * hidden_size]");
  }
  out(v).shape = batch_first ? Shape{batch, time, directions, hidden} : Shape{time, directions, batch, hidden};
  for (size_t i = 1; i < v.out.size(); ++i) v.out[i]->shape = state;
}

int64_t Recurrent::macs() const { return time * batch * directions * gates * hidden * (hidden + (codes ? 0 : inputs)); }

}  // namespace qgraph::ops
