// Fourier transforms and what goes with them; all of the ONNX standard.
#pragma once

#include "ops/op.h"
#include "ops/shape.h"

namespace qgraph::ops {

/// DFT. Inputs: x, dft_length, axis. STFT. Inputs: signal, frame_step, window, frame_length.
class Fourier : public Op {
 public:
  explicit Fourier(const OpSource& s);
  void infer(const Values& v) override;

  bool frames, inverse, onesided;
  int64_t n = 1;         // the length of a transform
  int64_t given = 1;     // elements along the axis that it reads of the input, at most n (n / 2 + 1 for real results)
  int64_t results = 1;   // elements along the axis of the output
  AxisSplit in_split{};  // the input without its last axis; `inner` counts numbers, which may be complex
  int64_t frame_count = 1, frame_step = 1;

 private:
  int64_t number(const Values& v, size_t i, int64_t otherwise) const;
  void infer_dft(const Values& v);
  void infer_stft(const Values& v);
};

/// Inputs: num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz.
class MelWeightMatrix : public Op {
 public:
  explicit MelWeightMatrix(const OpSource& s) : Op(s) {}
  void infer(const Values& v) override;

  int64_t bins = 1, length = 1;
};

class BitCast : public Op {
 public:
  explicit BitCast(const OpSource& s) : Op(s) {}
  void infer(const Values& v) override;
};

}  // namespace qgraph::ops
