// LSTM, GRU and RNN, in float32 or with int8 weights for the state.
#pragma once

#include "ops/op.h"

namespace qgraph::ops {

using dialect::RecurrentDirection;
using dialect::RecurrentFunction;

enum class Cell { Rnn, Gru, Lstm };

/// Inputs: x, W, R, B in float32; or the product of x and W, codes of R, their multipliers and a bias. Then sequence_lens,
/// initial_h, and of LSTM initial_c and the peepholes P.
class Recurrent : public Op {
 public:
  explicit Recurrent(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override;

  static constexpr size_t kX = 0, kW = 1, kRecurrent = 2, kB = 3;       // float32
  static constexpr size_t kCodes = 1, kMultiplier = 2, kCodesBias = 3;  // int8
  static constexpr size_t kLengths = 4, kInitialH = 5, kInitialC = 6, kPeepholes = 7;

  struct Activation {
    RecurrentFunction function;
    float alpha, beta;
  };

  Cell cell;
  bool codes;     // whether R are int8 codes
  int64_t gates;  // rows of W and R a hidden unit
  int64_t directions;
  bool reverse;  // whether direction 0 is
  bool batch_first, input_forget, linear_before_reset;
  float clip;                           // infinity where there is none
  std::vector<Activation> activations;  // of all directions, one direction after another
  int64_t hidden = 0, inputs = 0, time = 0, batch = 0;

  int64_t functions() const { return static_cast<int64_t>(activations.size()) / directions; }
  /// Whether direction d runs from the last step to the first.
  bool backwards(int64_t d) const { return reverse || d == 1; }

 private:
  void require_shape(const Values& v, size_t i, const Shape& shape, const char* why) const;
};

}  // namespace qgraph::ops
