// The ways to compute a Conv on the CPU.
#pragma once

#include "backend/cpu/ops/kernel.h"
#include "ops/conv.h"

namespace qgraph::cpu {

struct ConvMethod {
  bool (*supports)(const ops::Conv& op, const Kernels& kernels);
  KernelFactory make;
};

/// Pointers to the taps of each pixel, one channel a group.
extern const ConvMethod kDepthwiseConv;
/// A product of the pixels as they lie: 1 x 1.
extern const ConvMethod kPointwiseConv;
/// A product of patches that are read where they lie, for instruction sets that multiply strided rows.
extern const ConvMethod kImplicitGemmConv;
/// A product of copied patches; takes every Conv.
extern const ConvMethod kIm2colConv;

std::unique_ptr<Kernel> make_transposed_conv(const Op& op, const OpSource& source, const Workspace& workspace);

/// The epilogue of a Conv or ConvTranspose, without its residual.
Epilogue conv_epilogue(const ops::ConvBase& op);

/// Walks over output pixels, counted over all images: the first input place of each. Divisions only at the start.
class PixelWalk {
 public:
  PixelWalk(const ops::Conv& op, const uint8_t* input, int64_t pixel)
      : row(pixel % op.pixels / op.out_size[1]),
        column(pixel % op.pixels % op.out_size[1]),
        image(input + pixel / op.pixels * op.size[0] * op.size[1] * op.inputs),
        op_(op),
        extent_{op.window.extent(0), op.window.extent(1)} {
    locate();
  }
  /// On by `pixels` of one line.
  void next(int64_t pixels = 1) {
    x += pixels * op_.window.stride[1];
    column += pixels;
    if (column < op_.out_size[1]) return;
    column = 0;
    if (++row == op_.out_size[0]) {
      row = 0;
      image += op_.size[0] * op_.size[1] * op_.inputs;
    }
    locate();
  }
  /// Whether every tap lies on the input.
  bool inside() const { return y >= 0 && x >= 0 && y + extent_[0] <= op_.size[0] && x + extent_[1] <= op_.size[1]; }
  /// The channels at the first input place.
  const uint8_t* at() const { return image + (y * op_.size[1] + x) * op_.inputs; }

  int64_t row, column, y = 0, x = 0;
  const uint8_t* image;

 private:
  void locate() {
    y = row * op_.window.stride[0] - op_.window.begin[0];
    x = column * op_.window.stride[1] - op_.window.begin[1];
  }
  const ops::Conv& op_;
  int64_t extent_[2];
};

}  // namespace qgraph::cpu
