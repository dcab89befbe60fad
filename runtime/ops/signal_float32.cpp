#include "ops/signal_float32.h"

#include <algorithm>

namespace qgraph::ops {
namespace {

constexpr int64_t kLongest = int64_t{1} << 30;  // transform

}  // namespace

Fourier::Fourier(const OpSource& s)
    : Op(s),
      frames(kind() == "STFT"),
      inverse(s.attributes.integer("inverse", 0) != 0),
      onesided(s.attributes.integer("onesided", frames ? 1 : 0) != 0) {}

int64_t Fourier::number(const Values& v, size_t i, int64_t otherwise) const {
  if (i >= v.in.size() || v.in[i] == nullptr) return otherwise;
  const auto values = known_integers(v, i);
  require(values.size() == 1, "a length, a step or an axis must be one number");
  return values[0];
}

void Fourier::infer(const Values& v) {
  const Tensor& x = in(v, 0, {DType::F32});
  require(x.rank() >= 2 && (x.shape.back() == 1 || x.shape.back() == 2), "the input must be real or complex numbers");
  require(out(v).type == DType::F32, "the output must be float32");
  frames ? infer_stft(v) : infer_dft(v);
}

void Fourier::infer_dft(const Values& v) {
  const Tensor& x = *v.in[0];
  const bool real = inverse && onesided;
  require(!onesided || x.shape.back() == (inverse ? 2 : 1),
          "a onesided transform is of real numbers, its inverse of complex ones");
  const int64_t axis = number(v, 2, -2), at = axis < 0 ? axis + x.rank() : axis;
  require(at >= 0 && at < x.rank() - 1, "the axis is out of range");
  const Shape numbers(x.shape.begin(), x.shape.end() - 1);
  in_split = split_at(numbers, at, what());
  n = number(v, 1, real ? 2 * (in_split.length - 1) : in_split.length);
  require(n >= 1 && n <= kLongest, "the transform has no length, or is too long");
  given = std::min(in_split.length, real ? n / 2 + 1 : n);
  results = onesided && !inverse ? n / 2 + 1 : n;
  frame_count = 1;
  Shape shape = x.shape;
  shape[static_cast<size_t>(at)] = results;
  shape.back() = real ? 1 : 2;
  elements(shape);
  out(v).shape = shape;
}

void Fourier::infer_stft(const Values& v) {
  const Tensor& x = *v.in[0];
  require(x.rank() == 3, "the signal must have a batch, a length and its parts");
  const bool windowed = v.in.size() > 2 && v.in[2] != nullptr;
  if (windowed) require(in(v, 2, {DType::F32}).rank() == 1, "the window must have one axis");
  frame_step = number(v, 1, 1);
  n = number(v, 3, windowed ? v.in[2]->shape[0] : x.shape[1]);
  require(frame_step >= 1, "the frame step must be at least 1");
  require(n >= 1 && n <= x.shape[1], "the signal is shorter than a frame, or a frame has no length");
  require(!windowed || v.in[2]->shape[0] == n, "the window must be as long as a frame");
  in_split = {1, x.shape[0], x.shape[1], 1};
  given = n;
  results = onesided ? n / 2 + 1 : n;
  frame_count = (x.shape[1] - n) / frame_step + 1;
  out(v).shape = {x.shape[0], frame_count, results, 2};
  elements(out(v).shape);
}

void MelWeightMatrix::infer(const Values& v) {
  const auto bin_count = known_integers(v, 0), lengths = known_integers(v, 1);
  require(bin_count.size() == 1 && lengths.size() == 1, "the number of bins and the length must be one number each");
  bins = bin_count[0];
  length = lengths[0];
  require(bins >= 1 && bins <= 1 << 24 && length >= 1 && length <= kLongest, "it has no bins or no length, or too many");
  require(in(v, 2, {DType::I64, DType::I32}).size() == 1, "the sample rate must be one number");
  for (size_t i = 3; i < 5; ++i) require(in(v, i, {DType::F32}).size() == 1, "an edge must be one number");
  require(out(v).type == DType::F32, "the output must be float32");
  out(v).shape = {length / 2 + 1, bins};
  elements(out(v).shape);
}

void BitCast::infer(const Values& v) {
  require(bits(in(v, 0).type) == bits(out(v).type), "the output must be as wide as the input");
  require(out(v).type != DType::Bool || in(v, 0).type == DType::Bool, "not all bits are a bool");
  out(v).shape = in(v, 0).shape;
}

}  // namespace qgraph::ops
