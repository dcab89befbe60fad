// Fake quantization of float tensors on the CPU, for training: forward and backward in one pass over memory each.
#pragma once

#include <cstdint>

namespace qgraph {

/// A tensor seen as [outer, axis, inner]. A scale belongs to all of it (axis_scales 1, block 0), to one place of the axis
/// (block 0), or to `block` neighbours along the axis of one outer and inner place (axis_scales = ceil(axis / block)).
struct QuantizerShape {
  int64_t outer = 1, axis = 1, inner = 1, axis_scales = 1, block = 0;
  int64_t scales() const { return block == 0 ? axis_scales : outer * axis_scales * inner; }
};

/// y = (clamp(rne(x / s) + z, qmin, qmax) - z) * s; z holds integers. `extremes`, unless null, takes the least and the greatest
/// element of x, which has one scale.
void fake_quantize(const float* x, const float* scale, const float* zero, const QuantizerShape& shape, float qmin, float qmax,
                   float* y, float* extremes, int threads);

/// Each of `rows` rows of n elements in steps of its own, max |x| / 127.
void fake_quantize_tokens(const float* x, int64_t rows, int64_t n, float* y, int threads);

/// Gradients of the input (0 outside the range) and of the scales (Esser et al. 2020, equation 3), summed in double in an order
/// that does not depend on the number of threads.
void fake_quantize_backward(const float* grad, const float* x, const float* scale, const float* zero, const QuantizerShape& shape,
                            float qmin, float qmax, float* grad_x, float* grad_scale, int threads);

}  // namespace qgraph
