// The definition of the float32 products that every instruction set must equal.
#include <algorithm>
#include <cmath>

#include "backend/cpu/isa/gemm_f32.h"

namespace qgraph::reference {
namespace {

float finished(const FloatEpilogue& e, float t, int64_t r, int64_t c) {
  t = t * e.alpha;
  if (e.row_bias != nullptr) t = t + e.row_bias[r];
  if (e.column_bias != nullptr) t = t + e.column_bias[c];
  if (e.residual != nullptr) t = t + e.residual[r * e.residual_row + c] * e.beta;
  if (!e.clamped) return t;
  t = e.low > t ? e.low : t;
  return e.high < t ? e.high : t;
}

}  // namespace

void gemm_f32(const FloatRows& a, int64_t rows, const FloatPanels& b, int64_t columns, int64_t k, bool first,
              const FloatEpilogue* e, float* y, int64_t ldy) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      const float* column = b.data + c / kPanel * b.panel + c % kPanel;
      float acc = first ? 0.0f : y[r * ldy + c];
      for (int64_t d = 0; d < k; ++d) acc = std::fma(a.data[r * a.row + d * a.step], column[d * b.step], acc);
      y[r * ldy + c] = e == nullptr ? acc : finished(*e, acc, r, c);
    }
}

void gather_f32(const float* x, int64_t x_step, int64_t channels, const PanelSegment* segments, int64_t count, int64_t stride,
                float* y, int64_t y_step) {
  for (int64_t i = 0; i < channels; ++i, x += x_step, y += y_step) {
    std::fill(y, y + kPanel, 0.0f);
    for (const PanelSegment* s = segments; s != segments + count; ++s)
      for (int64_t j = 0; j < s->count; ++j) y[s->lane + j] = x[s->at + j * stride];
  }
}

void depthwise_f32(const float* const* taps, const float* w, int64_t count, int64_t n, const FloatEpilogue& e, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    float acc = 0;
    for (int64_t t = 0; t < count; ++t) acc = std::fma(w[t], taps[t][i], acc);
    y[i] = finished(e, acc, 0, i);
  }
}

}  // namespace qgraph::reference
