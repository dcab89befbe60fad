// Functions on float32 arrays, one table an instruction set; each has one meaning on all of them, byte for byte. Their equations
// are in the rows of the dialect (qgraph/ir/integer_ops/*_float32.py).
#pragma once

#include <cstdint>

namespace qgraph {

/// What is summed: x, x * x or |x|, each exact in double.
enum class SumOf { Values, Squares, Magnitudes };

/// Functions of one value, by the names of their ops or of the activations of LSTM; GeluTanh is Gelu with approximate = tanh.
// clang-format off
enum class Function {
  Exp, Log, Sqrt, Reciprocal, Sin, Cos, Tan, Sinh, Cosh, Asin, Acos, Atan, Asinh, Acosh, Atanh, Tanh, Erf, Sigmoid, Softplus,
  Softsign, Elu, Selu, Celu, LeakyRelu, ThresholdedRelu, HardSigmoid, HardSwish, Mish, Gelu, GeluTanh, Swish, Shrink, Ceil,
  Floor, Round, Sign, Abs, Neg, Relu, Clip, Affine, ScaledTanh
};
// clang-format on

/// Functions of two values, by the names of their ops; FloorMod is Mod without fmod.
enum class Pair { Add, Sub, Mul, Div, Max, Min, Mod, FloorMod, Pow, PRelu };
enum class Comparison { Equal, Greater, Less, GreaterOrEqual, LessOrEqual };

/// Shares of a row: e / sum of e with e = exp(x - max x), or their logarithms.
enum class Shares { Softmax, LogSoftmax };

/// What LSTM, GRU and RNN do with the sums of their gates.
struct RecurrentCell {
  struct Activation {
    Function function = Function::Tanh;
    float alpha = 0, beta = 0;
  };
  int64_t hidden = 0;
  Activation f, g, h;
  float clip = 0;  // infinity where there is none
  bool input_forget = false, linear_before_reset = false;
  const float* peepholes = nullptr;  // [3][hidden]
};

struct Float32Kernels {
  /// The sum of n elements in the order of ordered_sum.h.
  double (*sum)(SumOf of, const float* x, int64_t n);

  /// sums[c] = the same of x[i * stride + c] over i < n, for each column c.
  void (*column_sums)(SumOf of, const float* x, int64_t n, int64_t stride, int64_t columns, double* sums);

  /// y[i] = f(x[i]); a and b are the first and the second attribute of the op, bounds of Clip. y may be x.
  void (*function)(Function f, float a, float b, const float* x, int64_t n, float* y);

  /// y[i] = f(a[i * a_step], b[i * b_step]); steps are 0 or 1. y may be a or b.
  void (*pair)(Pair f, const float* a, int64_t a_step, const float* b, int64_t b_step, int64_t n, float* y);

  /// The same with 1 for true and 0 for false.
  void (*compare)(Comparison f, const float* a, int64_t a_step, const float* b, int64_t b_step, int64_t n, uint8_t* y);

  /// A row of n elements.
  void (*shares)(Shares f, const float* x, int64_t n, float* y);

  /// The same of columns: element i of column c is at [i * stride + c]. `scratch` has 3 doubles a column.
  void (*column_shares)(Shares f, const float* x, int64_t n, int64_t stride, int64_t columns, float* y, double* scratch);

  /// mean = the sum / n; inverse = 1 / sqrt(the sum of (x - mean)^2 / n + epsilon), in double.
  void (*moments)(const float* x, int64_t n, double epsilon, float* mean, float* inverse);

  /// y[i] = ((x[i] - mean[i * step]) * inverse[i * step]) * gamma[i * gamma_step] + beta[i * gamma_step]; beta may be null, step
  /// is 0 where gamma_step is.
  void (*normalize)(const float* x, int64_t n, const float* mean, const float* inverse, int64_t step, const float* gamma,
                    const float* beta, int64_t gamma_step, float* y);

  /// y[p] = x[p] * gain[p], gain = exp(-beta * log(bias + factor * sum of x[p + k * stride]^2 for first <= k <= last)).
  void (*response_norm)(const float* x, int64_t n, int64_t stride, int64_t first, int64_t last, double factor, double bias,
                        double beta, float* y);

  /// A step of one row of an LSTM: x and gates have what the inputs and the state h give to i, o, f, c; the latter is scratch
  /// then.
  void (*lstm)(const RecurrentCell& cell, const float* x, float* gates, float* c, float* h);

  /// The first part of a step of one row of a GRU: x and gates are z, r, h, of which z and r become gates; reset is r * h, or r
  /// times the third of them with linear_before_reset.
  void (*gru_gates)(const RecurrentCell& cell, const float* x, float* gates, const float* h, float* reset);

  /// The second part: `product` is reset, or its product without linear_before_reset, and scratch then.
  void (*gru)(const RecurrentCell& cell, const float* x, const float* gates, float* product, float* h);

  /// A step of one row of an RNN; `product` is scratch then.
  void (*rnn)(const RecurrentCell& cell, const float* x, float* product, float* h);
  /// Rows joined in order: to[i] = the greatest of rows[r][i * step] over r < count, or NaN if there is one; none: -infinity.
  /// With a step, rows have one more element than are joined.
  void (*join_maxima)(const float* const* rows, int64_t count, int64_t n, int64_t step, float* to);

  /// to[i] = the sum of rows[r][i] over r < count, from 0 on.
  void (*join_sums)(const float* const* rows, int64_t count, int64_t n, double* to);

  /// The same of rows[r][i * step]; with a step, rows have one more element than are joined.
  void (*join_double_sums)(const double* const* rows, int64_t count, int64_t n, int64_t step, double* to);
};

namespace reference {
const Float32Kernels& float32_kernels();
}
namespace portable {
const Float32Kernels& float32_kernels();
}
namespace avx2 {
const Float32Kernels& float32_kernels();
}
namespace avx512_vnni {
const Float32Kernels& float32_kernels();
}

}  // namespace qgraph
