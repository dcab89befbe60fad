// float32 products and the gathering of their panels: one of each an instruction set, see Kernels.
#pragma once

#include "backend/cpu/isa/kernels.h"

namespace qgraph {

#define QGRAPH_DECLARE_GEMM_F32(isa, rows, panels)                                                                               \
  namespace isa {                                                                                                                \
  constexpr int64_t kFloatRows = rows, kFloatPanels = panels;                                                                    \
  void gemm_f32(const FloatRows& a, int64_t rows_, const FloatPanels& b, int64_t columns, int64_t k, bool first,                 \
                const FloatEpilogue* e, float* y, int64_t ldy);                                                                  \
  void gather_f32(const float* x, int64_t x_step, int64_t channels, const PanelSegment* segments, int64_t count, int64_t stride, \
                  float* y, int64_t y_step);                                                                                     \
  void depthwise_f32(const float* const* taps, const float* w, int64_t count, int64_t n, const FloatEpilogue& e, float* y);      \
  }
QGRAPH_DECLARE_GEMM_F32(reference, 1, 1)
QGRAPH_DECLARE_GEMM_F32(portable, 4, 1)
QGRAPH_DECLARE_GEMM_F32(avx2, 6, 1)
QGRAPH_DECLARE_GEMM_F32(avx512_vnni, 8, 3)
#undef QGRAPH_DECLARE_GEMM_F32

}  // namespace qgraph
